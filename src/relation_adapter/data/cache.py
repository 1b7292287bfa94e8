"""Writing a cache of features: safetensors shards, the quads as keys into them, and a manifest that tells how.

The same call again encodes what is missing or has changed, and nothing twice. What lies in a folder depends on the
quads and the encoders alone, not on how often the writing was stopped.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from relation_adapter.data.cache_plan import Encoders, Plan, Shard, entry, make_plan, opened
from relation_adapter.data.cached import (
    FORMAT,
    MANIFEST_NAME,
    QUADS_NAME,
    VERSION,
    read_manifest,
    shard_metadata,
    shard_path,
)
from relation_adapter.data.ordered import in_order
from relation_adapter.data.rows import write_lines
from relation_adapter.data.schema import Quad
from relation_adapter.errors import InputError, PictureError, UsageError, WeightsError
from relation_adapter.files import locked_folder, reason, remove_parts, write_whole, writing_whole
from relation_adapter.header import read_header
from relation_adapter.images import Size, open_picture


@dataclass(frozen=True)
class CacheOptions:
    """shard_entries, shard_bytes: of one file at most; a kill loses the work on one. workers: threads that open
    pictures. check: read every shard and compare its checksum, not its header alone.
    """

    shard_entries: int = 512
    shard_bytes: int = 256_000_000
    workers: int = 2
    check: bool = False


@dataclass(frozen=True)
class Summary:
    """What a call did: pictures and texts encoded and found, quads kept, and what was wrong with the quads left out."""

    encoded: int
    found: int
    quads: int
    problems: tuple[str, ...]
    manifest: Path


def write_cache(
    quads: Iterable[Quad],
    folder: Path,
    encoders: Encoders,
    options: CacheOptions | None = None,
    hear: Callable[[Plan], None] = lambda _: None,
    progress: Callable[[int], None] = lambda _: None,
) -> Summary:
    """Encode all that the quads need into a folder.

    hear(plan) is called once all pictures were looked at, before the first is encoded; progress(n) for every n
    entries that are there. A quad is left out where a picture of it cannot be used, or it has no target.

    Raises:
        UsageError: another process works in the folder, it holds something else, or the disk has no room.
        InputError: the disk refuses. QuadsError: from the quads' own file.
    """
    options = options or CacheOptions()
    with locked_folder(folder):
        if (folder / MANIFEST_NAME).exists():
            read_manifest(folder)
        remove_parts(folder)
        plan = make_plan(quads, encoders)
        if not len(plan):
            raise UsageError(f"{folder}: no quad can be used; {next(iter(plan.wrong), 'there are none')}")
        hear(plan)
        _check_room(plan, folder)
        writer = _Writer(folder, encoders, options, progress)
        for shard in plan.shards(options.shard_entries, options.shard_bytes):
            writer.bring(shard)
        kept = write_lines(folder / QUADS_NAME, _rows(plan, writer.failed))
        writer.finish(kept, plan)
    return Summary(writer.encoded, writer.found, kept, _problems(plan, writer.failed), folder / MANIFEST_NAME)


class _Writer:
    """Brings the shards of a folder up to date, one by one."""

    def __init__(
        self, folder: Path, encoders: Encoders, options: CacheOptions, progress: Callable[[int], None]
    ) -> None:
        self.folder, self.encoders, self.options, self.progress = folder, encoders, options, progress
        self.encoded = self.found = 0
        self.failed: dict[str, str] = {}
        self.names: list[str] = []
        self.sums: dict[str, str] = dict(_shards_of(folder))
        self.old = _Old(folder, encoders, self.sums if options.check else {})

    def bring(self, shard: Shard) -> None:
        """Leave a shard that is right as it is, or write it, with what others of the folder hold already."""
        path = shard_path(self.folder, shard.name)
        self.names.append(shard.name)
        header = self.old.header(shard.name)
        failed = {} if header is None else header["failed"]
        if header is not None and sorted([*header["keys"], *failed]) == shard.keys and not _mended(shard, failed):
            self.found += len(shard.keys)
            self.progress(len(shard.keys))
        else:
            failed = self._write(shard, path)
        self.failed |= {entry(shard.kind, key, shard.size): why for key, why in failed.items()}

    def _write(self, shard: Shard, path: Path) -> dict[str, str]:
        """Encode, save, and note the checksum; what is wrong with pictures that cannot be opened."""
        made, failed = self.old.rows(shard), {}
        self.found += len(made)
        self.progress(len(made))
        missing = [key for key in shard.keys if key not in made]
        for key, value in _encoded(shard, missing, self.encoders, self.options.workers):
            if isinstance(value, str):
                failed[key] = value
            else:
                made[key] = value
            self.encoded += 1
            self.progress(1)
        keys = sorted(made)
        tensors = {name: torch.stack([made[key][name] for key in keys]) for name in made[keys[0]]} if keys else {}
        metadata = {"mark": self.encoders.marks[shard.kind], "keys": keys, "failed": failed}
        try:
            with writing_whole(path) as part:
                save_file(tensors, part, {FORMAT: json.dumps(metadata, sort_keys=True)})
            self.sums[shard.name] = _sum(path)
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"{path}: cannot be written ({reason(error)}); free some space and run the same again"
            ) from error
        return failed

    def finish(self, quads: int, plan: Plan) -> None:
        """Write the manifest, then remove shards that nothing asks for any more."""
        for name in self.names:
            if name not in self.sums:
                self.sums[name] = _sum(shard_path(self.folder, name))
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "design": dict(self.encoders.told),
            "marks": dict(self.encoders.marks),
            "dtype": str(self.encoders.dtype).removeprefix("torch."),
            "quads": quads,
            "entries": plan.entries(),
            "bytes": plan.bytes(),
            "shards": {name: self.sums[name] for name in self.names},
        }
        _save(self.folder / MANIFEST_NAME, json.dumps(manifest, indent=1, sort_keys=True).encode())
        for path in self.folder.glob("*.safetensors"):
            if path.stem not in self.names and _is_ours(path):
                path.unlink()


class _Old:
    """What the shards that lay in a folder hold for these encoders. sums: to compare them with, where known."""

    def __init__(self, folder: Path, encoders: Encoders, sums: Mapping[str, str]) -> None:
        self.folder, self.encoders, self.sums = folder, encoders, dict(sums)
        self.names: dict[str, list[str]] = {}
        for path in sorted(folder.glob("*-of-*.safetensors")):
            self.names.setdefault(_part_of(path.stem)[0], []).append(path.stem)
        self.header = lru_cache(maxsize=64)(self._header)

    def _header(self, name: str) -> dict[str, Any] | None:
        """What a shard says of itself; None where it is not there, damaged, or of other encoders."""
        path = shard_path(self.folder, name)
        if name in self.sums and path.exists() and self.sums[name] != _sum(path):
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
                tensors = load_file(shard_path(self.folder, name))
                # Copies: the file may be replaced while they are in use.
                found |= {key: {k: v[number].clone() for k, v in tensors.items()} for number, key in wanted}
        return found


def _part_of(name: str) -> tuple[str, int, int]:
    """Group, number and count of a shard's name."""
    start, _, parts = name.rpartition("-of-")
    group, _, number = start.rpartition("-")
    return (group, int(number), int(parts)) if number.isdecimal() and parts.isdecimal() else (name, 0, 1)


def _overlap(first: str, second: str) -> bool:
    """Whether two shards of one group may hold the same keys."""
    (_, one, parts), (_, two, others) = _part_of(first), _part_of(second)
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


def _encoded(
    shard: Shard, keys: Sequence[str], encoders: Encoders, workers: int
) -> Iterator[tuple[str, dict[str, Tensor] | str]]:
    """Every key with its tensors, each encoded alone (batches round differently), or with what is wrong with it."""
    encode = encoders.encode[shard.kind]
    for key, given in in_order(partial(_given, shard), keys, workers):
        if isinstance(given, PictureError):
            yield key, str(given)
        else:
            made = encode(given)
            yield key, {name: value.detach().to("cpu", encoders.dtype).contiguous() for name, value in made.items()}


def _given(shard: Shard, key: str) -> tuple[str, Image.Image | str | PictureError]:
    try:
        return key, opened(shard, shard.wanted[key], open_picture)
    except PictureError as error:
        return key, error


def _mended(shard: Shard, failed: Iterable[str]) -> bool:
    """Whether a picture that could not be opened now can: the disk may have been away, the file the same."""
    return any(not isinstance(_given(shard, key)[1], PictureError) for key in failed)


def _rows(plan: Plan, failed: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The quads whose pictures could all be encoded, as keys."""
    for row in plan.rows():
        if failed and (wrong := [failed[name] for name in row.entries if name in failed]):
            plan.leave(wrong[0])
        else:
            yield asdict(row)


def _problems(plan: Plan, failed: dict[str, str]) -> tuple[str, ...]:
    unused = set(failed.values()) - plan.wrong.keys()
    told = [f"{why} ({count:,} quad{'s' if count > 1 else ''} left out)" for why, count in plan.wrong.items()]
    return (*told, *sorted(unused))


def _is_ours(path: Path) -> bool:
    """Whether a file is a shard: others that lie in the folder are nobody's to remove."""
    try:
        return FORMAT in read_header(path).metadata
    except WeightsError:
        return bool(re.fullmatch(r"(features|latents|text)-.*-of-\d+", path.stem))


def _check_room(plan: Plan, folder: Path) -> None:
    """Raise UsageError where what is still to be written does not fit on the disk."""
    there = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    needs, free = sum(plan.bytes().values()) - there, shutil.disk_usage(folder).free
    if needs > free:
        raise UsageError(
            f"{folder}: {needs / 1e9:.1f} GB are still to be written and {free / 1e9:.1f} GB are free; choose another "
            "disk, or fewer quads"
        )


def _shards_of(folder: Path) -> dict[str, str]:
    try:
        return dict(read_manifest(folder)["shards"])
    except InputError:
        return {}


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _save(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({reason(error)}); free some space") from error
