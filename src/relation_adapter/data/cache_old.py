"""What the shards that lie in a cache's folder hold already, in files of the same or of other bounds."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from relation_adapter import stores
from relation_adapter.data.cache_plan import Encoders, Shard
from relation_adapter.data.cached import shard_metadata, shard_path
from relation_adapter.errors import WeightsError
from relation_adapter.files import file_sum
from relation_adapter.header import read_header
from relation_adapter.images import Size


class OldShards:
    """What the shards that lay in a folder hold for these encoders. sums: to compare them with, where known."""

    def __init__(self, folder: Path, encoders: Encoders, sums: Mapping[str, str]) -> None:
        self.folder, self.encoders, self.sums = folder, encoders, dict(sums)
        self.names: dict[str, list[str]] = {}
        for stem in sorted(Path(name).stem for name in stores.names(folder) if name.endswith(".safetensors")):
            if "-of-" in stem:
                self.names.setdefault(part_of(stem)[0], []).append(stem)
        self.header = lru_cache(maxsize=64)(self._header)

    def _header(self, name: str) -> dict[str, Any] | None:
        """What a shard says of itself; None where it is not there, damaged, or of other encoders."""
        path = shard_path(self.folder, name)
        if name in self.sums and stores.is_file(path) and self.sums[name] != file_sum(path):
            return None
        return _usable(path, self.encoders)

    def rows(self, shard: Shard) -> dict[str, dict[str, Tensor]]:
        """What is there of a shard, by key: in its own file, or in those of a cache with fewer or more shards."""
        found: dict[str, dict[str, Tensor]] = {}
        for name in self.names.get(shard.group, []):
            header = self.header(name) if _overlap(name, shard.name) else None
            if header is None:
                continue
            wanted = [(number, key) for number, key in enumerate(header["keys"]) if key in shard.wanted]
            if wanted:
                tensors = _tensors(shard_path(self.folder, name))
                # Copies: the file may be replaced while they are in use.
                found |= {key: {k: v[number].clone() for k, v in tensors.items()} for number, key in wanted}
        return found


def _tensors(path: Path) -> dict[str, Tensor]:
    if stores.address(path) is None:
        return load_file(path)
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / path.name
        stores.fetch(path, local)
        return load_file(local)


def part_of(name: str) -> tuple[str, int, int]:
    """Group, number and count of a shard's name."""
    start, _, parts = name.rpartition("-of-")
    group, _, number = start.rpartition("-")
    return (group, int(number), int(parts)) if number.isdecimal() and parts.isdecimal() else (name, 0, 1)


def _overlap(first: str, second: str) -> bool:
    """Whether two shards of one group may hold the same keys."""
    (_, one, parts), (_, two, others) = part_of(first), part_of(second)
    return one * others < (two + 1) * parts and two * parts < (one + 1) * others


def _usable(path: Path, encoders: Encoders) -> dict[str, Any] | None:
    """What a shard says of itself that these encoders wrote, whole and of the right shapes."""
    try:
        header = read_header(path)
        metadata = shard_metadata(header)
    except (WeightsError, KeyError, ValueError):
        return None
    kind, size = _group_of(path.stem)
    if kind not in encoders.marks or metadata["mark"] != encoders.marks[kind]:
        return None
    count = len(metadata["keys"])
    shapes = {name: (count, *shape) for name, shape in encoders.shapes(kind, size).items()} if count else {}
    return metadata if {name: shape for name, (_, shape) in header.tensors.items()} == shapes else None


def _group_of(stem: str) -> tuple[Any, Size | None]:
    """Kind and bucket of a shard's name."""
    kind, *rest = stem.split("-")
    sides = rest[0].split("x") if len(rest) == 4 else []
    return kind, (int(sides[0]), int(sides[1])) if len(sides) == 2 and "".join(sides).isdecimal() else None
