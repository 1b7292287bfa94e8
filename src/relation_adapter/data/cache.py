"""Writing a cache of features: safetensors shards, the quads as keys into them, and a manifest that tells how.

The same call again encodes what is missing or has changed, and nothing twice. What lies in a folder depends on the
quads and the encoders alone, not on how often the writing was stopped.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from relation_adapter import stores
from relation_adapter.data.cache_old import OldShards, part_of
from relation_adapter.data.cache_plan import Encoders, Plan, Shard, entry, make_plan, opened
from relation_adapter.data.cached import (
    FORMAT,
    MANIFEST_NAME,
    QUADS_NAME,
    VERSION,
    read_manifest,
    shard_path,
)
from relation_adapter.data.ordered import in_order
from relation_adapter.data.rows import write_lines
from relation_adapter.data.schema import Quad
from relation_adapter.data.spread import Spread, serially
from relation_adapter.errors import InputError, PictureError, UsageError, WeightsError
from relation_adapter.files import file_sum, locked_folder, reason, remove_parts, seen, write_whole, writing_whole
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
    spread: Spread | None = None,
    make: Callable[[], Encoders] | None = None,
) -> Summary:
    """Encode all that the quads need into a folder.

    hear(plan) is called once all pictures were looked at, before the first is encoded; progress(n) for every n
    entries that are there. A quad is left out where a picture of it cannot be used, or it has no target.

    spread: workers that look at the pictures, encode and write the shards, each with encoders of its own that `make`
    makes; `encoders` are then asked for what is known of them alone. This process writes all else.

    Raises:
        UsageError: another process works in the folder, it holds something else, or the disk has no room.
        InputError: the disk refuses. QuadsError: from the quads' own file.
    """
    options = options or CacheOptions()
    with locked_folder(folder):
        if stores.is_file(folder / MANIFEST_NAME):
            read_manifest(folder)
        remove_parts(folder)
        plan = make_plan(quads, encoders, spread or serially)
        if not len(plan):
            raise UsageError(f"{folder}: no quad can be used; {next(iter(plan.wrong), 'there are none')}")
        hear(plan)
        _check_room(plan, folder)
        shards = plan.shards(options.shard_entries, options.shard_bytes)
        if spread is None:
            found = serially(lambda: _Writer(folder, encoders, options, progress), shards, _lost)
        else:
            found = _heard(spread(partial(_far_writer, folder, make, options), shards, _lost), progress)
        brought = sorted(found, key=lambda one: one.place)
        failed = {name: why for one in brought for name, why in one.failed.items()}
        kept = write_lines(folder / QUADS_NAME, _rows(plan, failed))
        _finish(folder, brought, encoders, kept, plan)
    encoded, there = sum(one.encoded for one in brought), sum(one.found for one in brought)
    return Summary(encoded, there, kept, _problems(plan, failed), folder / MANIFEST_NAME)


def _heard(brought: Iterable[_Brought], progress: Callable[[int], None]) -> Iterator[_Brought]:
    for one in brought:
        progress(one.encoded + one.found)
        yield one


def _far_writer(folder: Path, make: Callable[[], Encoders] | None, options: CacheOptions) -> _Writer:
    assert make is not None
    if not seen(folder):
        raise UsageError(f"{folder}: a worker does not see it; give a folder on a disk that all machines share")
    return _Writer(folder, make(), options, lambda _: None)


def _lost(shard: Shard, why: str) -> _Brought:
    raise UsageError(f"{shard.name}: {why}")


@dataclass(frozen=True)
class _Brought:
    """A shard that is there: its checksum, how many entries were encoded and found, and by name what failed."""

    shard: str
    kind: str
    size: Size | None
    checksum: str
    encoded: int
    found: int
    failed: Mapping[str, str]

    @property
    def place(self) -> tuple[Any, ...]:
        """Of its group among all, and of it in that: as `Plan.shards` has them."""
        return (self.kind, "" if self.size is None else f"{self.size[0]}x{self.size[1]}", part_of(self.shard)[1])


class _Writer:
    """Brings the shards of a folder up to date, one by one."""

    def __init__(
        self, folder: Path, encoders: Encoders, options: CacheOptions, progress: Callable[[int], None]
    ) -> None:
        self.folder, self.encoders, self.options, self.progress = folder, encoders, options, progress
        self.sums: dict[str, str] = dict(_shards_of(folder))
        self.old = OldShards(folder, encoders, self.sums if options.check else {})

    def __call__(self, shard: Shard) -> _Brought:
        """Leave a shard that is right as it is, or write it, with what others of the folder hold already."""
        path = shard_path(self.folder, shard.name)
        header = self.old.header(shard.name)
        failed = {} if header is None else header["failed"]
        found = len(shard.keys)
        if header is not None and sorted([*header["keys"], *failed]) == shard.keys and not _mended(shard, failed):
            self.progress(found)
            checksum = self.sums.get(shard.name) or file_sum(path)
        else:
            made = self.old.rows(shard)
            found = len(made)
            self.progress(found)
            failed = self._write(shard, path, made)
            checksum = file_sum(path)
        why = {entry(shard.kind, key, shard.size): text for key, text in failed.items()}
        return _Brought(shard.name, shard.kind, shard.size, checksum, len(shard.keys) - found, found, why)

    def _write(self, shard: Shard, path: Path, made: dict[str, dict[str, Tensor]]) -> dict[str, str]:
        """Encode what is not made yet, and save all; what is wrong with pictures that cannot be opened."""
        failed: dict[str, str] = {}
        missing = [key for key in shard.keys if key not in made]
        for key, value in _encoded(shard, missing, self.encoders, self.options.workers):
            if isinstance(value, str):
                failed[key] = value
            else:
                made[key] = value
            self.progress(1)
        keys = sorted(made)
        tensors = {name: torch.stack([made[key][name] for key in keys]) for name in made[keys[0]]} if keys else {}
        metadata = {"mark": self.encoders.marks[shard.kind], "keys": keys, "failed": failed}
        try:
            with writing_whole(path) as part:
                save_file(tensors, part, {FORMAT: json.dumps(metadata, sort_keys=True)})
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"{path}: cannot be written ({reason(error)}); free some space and run the same again"
            ) from error
        return failed


def _finish(folder: Path, brought: Sequence[_Brought], encoders: Encoders, quads: int, plan: Plan) -> None:
    """Write the manifest, then remove shards that nothing asks for any more."""
    sums = {one.shard: one.checksum for one in brought}
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "design": dict(encoders.told),
        "marks": dict(encoders.marks),
        "dtype": str(encoders.dtype).removeprefix("torch."),
        "quads": quads,
        "entries": plan.entries(),
        "bytes": plan.bytes(),
        "shards": sums,
    }
    _save(folder / MANIFEST_NAME, json.dumps(manifest, indent=1, sort_keys=True).encode())
    for path in (folder / name for name in stores.names(folder) if name.endswith(".safetensors")):
        if path.stem not in sums and _is_ours(path):
            stores.remove(path)


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
    if stores.address(folder) is not None:
        return
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


def _save(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({reason(error)}); free some space") from error
