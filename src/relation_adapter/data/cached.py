"""Reading a cache of features: batches for training, without an encoder and without a picture."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from relation_adapter import stores
from relation_adapter.data.cache_plan import CacheRow, entry, text_key
from relation_adapter.data.passes import FIELDS, quad_numbers
from relation_adapter.errors import InputError, UsageError, WeightsError
from relation_adapter.files import reason
from relation_adapter.header import Header, read_header
from relation_adapter.images import Size

FORMAT, VERSION = "relation-adapter-cache", 1
MANIFEST_NAME, QUADS_NAME = "manifest.json", "quads.jsonl"
AGAIN = "run `data cache` again; it makes what is missing"


@dataclass(frozen=True)
class FeatureBatch:
    """Quads as encoders leave them.

    before, after: features (B, K, N, F). source, target: latents (B, M, C, h, w), where M is 1, or 2 for the mean and
    the deviation that a sample is drawn from. text (B, T, J), pooled (B, P): of the instructions, None where the model
    reads none; has_text (B,): False where the model's learned null is to stand in. has_relation (B,): False where the
    pair is not to be seen; None: all are. other (B, M, C, h, w): as of `Batch`.
    """

    before: Tensor
    after: Tensor
    source: Tensor
    target: Tensor
    text: Tensor | None = None
    pooled: Tensor | None = None
    has_text: Tensor | None = None
    has_relation: Tensor | None = None
    tasks: tuple[str, ...] = ()
    other: Tensor | None = None

    def __len__(self) -> int:
        return self.source.shape[0]

    @property
    def change(self) -> Tensor:
        """Mean square (B,) between source and target latents: the error of doing nothing."""
        return (self.source[:, 0].float() - self.target[:, 0].float()).square().mean(dim=(1, 2, 3))


class FeatureCache:
    """The quads of one split, and their features on disk.

    Raises:
        InputError: no cache, one of another form, or shards that are missing or damaged.
        UsageError: no quads of this split.
    """

    def __init__(self, folder: str | os.PathLike[str], splits: Sequence[str | None] = ("train",)) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        self.shards = sorted(self.manifest["shards"])
        self._places = _places(self.folder, self.shards)
        self._files: tuple[int, dict[int, Any]] = (os.getpid(), {})
        self.tasks: list[str] = []
        self.buckets: dict[Size, array[int]] = {}
        self._read_quads(splits)
        self.empty = self._places.numbers.get(entry("text", text_key("")), -1)
        self._places.numbers.clear()  # names are needed no more, and are most of what this takes
        if not self.buckets:
            raise UsageError(f"{self.folder}: holds no quads of {' or '.join(map(str, splits))}; build them first")

    def __len__(self) -> int:
        return sum(map(len, self.buckets.values())) // FIELDS

    def check_design(self, wanted: Mapping[str, Any]) -> None:
        """Raise UsageError where the features are not those that a design reads. wanted: as `Encoders.told`."""
        told = self.manifest["design"]
        for name in sorted(wanted.keys() & told.keys()):
            if wanted[name] != told[name]:
                raise UsageError(
                    f"{self.folder}: was made with {name}={told[name]}, the model has {wanted[name]}; make a cache for "
                    "this model"
                )

    def batch(self, bucket: Size, numbers: Sequence[int], without_text: Sequence[bool] = ()) -> FeatureBatch:
        """The quads of these numbers within a bucket; without_text: which of them as if they had no instruction."""
        rows = quad_numbers(self.buckets[bucket], numbers)
        before, after, source, target = (
            torch.stack([self._tensors(row[side])[name] for row in rows])
            for side, name in enumerate(("features", "features", "latents", "latents"))
        )
        texts = [row[4] for row in rows]
        for place in np.flatnonzero(without_text):
            texts[place] = self.empty
        text = stacked_texts([self._tensors(number) if number >= 0 else None for number in texts])
        tasks = tuple(self.tasks[row[5]] for row in rows)
        return FeatureBatch(before[:, None], after[:, None], source, target, *text, tasks=tasks)

    def _tensors(self, number: int) -> dict[str, Tensor]:
        """One encoded picture or text."""
        shard, row = self._places.at(number)
        # A worker process opens the files itself: a mapping of the parent's is none of its own.
        if self._files[0] != os.getpid():
            self._files = (os.getpid(), {})
        files = self._files[1]
        if shard not in files:
            files[shard] = safe_open(shard_path(self.folder, self.shards[shard]), "pt")
        file = files[shard]
        return {name: file.get_slice(name)[row] for name in file.keys()}  # noqa: SIM118

    def _read_quads(self, splits: Sequence[str | None]) -> None:
        known: dict[str, int] = {}
        path = self.folder / QUADS_NAME
        try:
            with path.open(encoding="utf-8") as file:
                for line in file:
                    row = CacheRow(**json.loads(line))
                    if row.split in splits:
                        size = (row.size[0], row.size[1])
                        task = known.setdefault(row.task or "", len(known))
                        self.buckets.setdefault(size, array("i")).extend([*self._numbers(row, size), task])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path}: cannot be used ({reason(error)}); {AGAIN}") from error
        self.tasks = list(known)

    def _numbers(self, row: CacheRow, size: tuple[int, int]) -> list[int]:
        numbers = self._places.numbers
        names = [entry("features", key) for key in (row.before, row.after)]
        names += [entry("latents", key, size) for key in (row.source, row.target)]
        return [*(numbers[name] for name in names), -1 if row.text is None else numbers[entry("text", row.text)]]


def stacked_texts(
    each: Sequence[Mapping[str, Tensor] | None],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Encoded texts, None where the learned null is to stand in, as text, pooled and has_text of a `FeatureBatch`."""
    like = next((one for one in each if one is not None), None)
    if like is None:
        return None, None, None
    none = {name: torch.zeros_like(value) for name, value in like.items()}
    text, pooled = (torch.stack([(one or none)[name] for one in each]) for name in ("text", "pooled"))
    return text, pooled, torch.tensor([one is not None for one in each], device=text.device)


class _Places:
    """Where every entry lies: numbers by name, and shard and row by number."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self._where = array("i")

    def add(self, name: str, shard: int, row: int) -> None:
        self.numbers[name] = len(self.numbers)
        self._where.extend((shard, row))

    def at(self, number: int) -> tuple[int, int]:
        return self._where[2 * number], self._where[2 * number + 1]


def _places(folder: Path, shards: Sequence[str]) -> _Places:
    places = _Places()
    for number, name in enumerate(shards):
        try:
            keys = shard_metadata(read_header(shard_path(folder, name)))["keys"]
        except (WeightsError, KeyError, ValueError) as error:
            raise InputError(f"{shard_path(folder, name)}: cannot be used ({reason(error)}); {AGAIN}") from error
        group = name.partition("-of-")[0].rpartition("-")[0]
        for row, key in enumerate(keys):
            places.add(f"{group} {key}", number, row)
    return places


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a cache says of itself. Raises InputError where there is none, or it is of another form."""
    path = folder / MANIFEST_NAME
    try:
        manifest = json.loads(stores.read(path))
        if manifest["format"] != FORMAT:
            raise ValueError("another form")
        version = manifest["version"]
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; `data cache` writes it, once all is encoded") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not the manifest of a cache ({reason(error)}); choose another folder") from error
    if version != VERSION:
        raise InputError(f"{path}: version {version}, this program has {VERSION}; make the cache in another folder")
    values: dict[str, Any] = manifest
    return values


def shard_metadata(header: Header) -> dict[str, Any]:
    """What a shard says of itself: mark, keys, failed. One field, since safetensors writes several in random order.

    Raises KeyError or ValueError where it is no shard.
    """
    values: dict[str, Any] = json.loads(header.metadata[FORMAT])
    return values


def shard_path(folder: Path, name: str) -> Path:
    """The file of a shard."""
    return folder / f"{name}.safetensors"
