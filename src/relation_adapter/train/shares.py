"""Which quads of a step each process takes: all together they do what one process alone would do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from relation_adapter.errors import UsageError

B = TypeVar("B")


class Batches(Protocol):
    """What training draws from: item `step` is the whole batch of that step."""

    def part(self, step: int, rows: slice) -> Any:
        """These quads of the batch of a step."""


class Share(Dataset[Any]):
    """Item `step` is one process's share of the batch of that step."""

    def __init__(self, batches: Batches, rows: slice) -> None:
        self.batches, self.rows = batches, rows

    def __getitem__(self, step: int) -> Any:
        return self.batches.part(step, self.rows)


def share_of(batch: int, process: int, processes: int, accumulate: int) -> list[slice]:
    """The rows of a batch that a process takes, in parts that it takes one after the other.

    Raises UsageError where they cannot all be of one size.
    """
    size, left = divmod(batch, processes * accumulate)
    if left or not size:
        by = f"{processes} processes" if accumulate == 1 else f"{processes} processes and accumulate={accumulate}"
        raise UsageError(f"batch={batch} cannot be shared evenly by {by}; give a batch that is a multiple of both")
    first = process * accumulate * size
    return [slice(first + part * size, first + (part + 1) * size) for part in range(accumulate)]


def moved(batch: B, device: torch.device) -> B:
    """A batch on a device."""
    given: Any = batch
    tensors = {name: value for name, value in vars(batch).items() if isinstance(value, Tensor)}
    changed: B = replace(given, **{name: value.to(device, non_blocking=True) for name, value in tensors.items()})
    return changed
