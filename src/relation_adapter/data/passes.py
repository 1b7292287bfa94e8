"""Passes over quads in batches of one size each; the batch of a step is a function of (seed, step) alone."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from relation_adapter.images import Size

FIELDS = 6  # numbers of a quad: before, after, source, target, text, task


class Quads(Protocol):
    """Quads by the size of their source and target: a `FeatureCache`, or a `QuadPictures`."""

    @property
    def buckets(self) -> Mapping[Size, array[int]]:
        """FIELDS numbers of every quad."""
        ...

    def batch(self, bucket: Size, numbers: Sequence[int], without_text: Sequence[bool] = ()) -> Any:
        """Some quads of a bucket, as a dataclass with the field `has_relation`."""
        ...


class BucketBatches(Dataset[Any]):
    """Item `step` is the batch of that step; every quad comes once a pass, all of a batch of one size.

    Where a bucket's quads do not fill its last batch, quads from the pass's beginning do. relation_dropout,
    text_dropout: shares of the quads that come without their relation, without their instruction.
    """

    def __init__(
        self,
        quads: Quads,
        batch: int,
        steps: int,
        seed: int,
        relation_dropout: float = 0.0,
        text_dropout: float = 0.0,
    ) -> None:
        self.quads, self.batch, self.steps, self.seed = quads, batch, steps, seed
        self.relation_dropout, self.text_dropout = relation_dropout, text_dropout
        self.sizes = sorted(quads.buckets)
        self.per_pass = sum(-(-self._count(size) // batch) for size in self.sizes)
        self._last: tuple[int, list[tuple[int, npt.NDArray[np.int64]]]] = (-1, [])

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Any:
        return self.part(step, slice(None))

    def part(self, step: int, where: slice) -> Any:
        """Some quads of the batch of a step; the others are not read."""
        turn, place = divmod(step, self.per_pass)
        if self._last[0] != turn:
            self._last = turn, self._shuffled(turn)
        size, numbers = self._last[1][place]
        no_relation, no_text = (drop[where] for drop in self._dropped(step))
        batch = self.quads.batch(self.sizes[size], numbers[where].tolist(), no_text.tolist())
        return replace(batch, has_relation=torch.from_numpy(~no_relation)) if no_relation.any() else batch

    def _dropped(self, step: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Which quads of a step come without their relation, and without their text."""
        drawn = np.random.default_rng([self.seed, step, 1]).random((2, self.batch))
        return drawn[0] < self.relation_dropout, drawn[1] < self.text_dropout

    def _shuffled(self, turn: int) -> list[tuple[int, npt.NDArray[np.int64]]]:
        """The batches of one pass: bucket and numbers."""
        rng = np.random.default_rng([self.seed, turn])
        batches = []
        for number, size in enumerate(self.sizes):
            order = rng.permutation(self._count(size))
            whole = np.resize(order, -(-len(order) // self.batch) * self.batch)
            batches += [(number, part) for part in whole.reshape(-1, self.batch)]
        return [batches[place] for place in rng.permutation(len(batches))]

    def _count(self, size: Size) -> int:
        return len(self.quads.buckets[size]) // FIELDS


def quad_numbers(bucket: array[int], numbers: Sequence[int]) -> list[list[int]]:
    """The FIELDS numbers of some quads of a bucket."""
    found: list[list[int]] = np.frombuffer(bucket, dtype=np.int32).reshape(-1, FIELDS)[list(numbers)].tolist()
    return found
