"""Errors of a stretch of steps, added up by time and by category; on the device, so that no step waits for them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, get_args

import torch
from torch import Tensor

from relation_adapter.data.cached import FeatureBatch
from relation_adapter.data.dataset import Batch
from relation_adapter.data.schema import Category
from relation_adapter.procedural import TASKS
from relation_adapter.train.presets import TrainConfig

BINS = 10  # of time
CATEGORIES: tuple[str, ...] = (*get_args(Category), "other")


class Tally:
    """Of one process; `taken` adds the processes up. accelerator: None where there is one alone."""

    def __init__(self, config: TrainConfig, accelerator: Any = None) -> None:
        self.accelerator = accelerator
        # From noise, the error of doing nothing says nothing.
        self.measure = "ratio" if config.model.start == "source" else "loss"
        self.batch = config.batch
        self._clear()

    def _clear(self) -> None:
        # Rows: bins of time, then categories. Columns: error, that of doing nothing, quads.
        self.sums: Tensor | None = None
        self.steps, self.seconds, self.waited = 0, 0.0, 0.0

    def add(self, batch: Batch | FeatureBatch, t: Tensor, errors: Tensor, seconds: float, waited: float) -> None:
        """One step: t and errors (B,) of this process's share of the batch."""
        errors, t = errors.detach().float(), t.detach().to(errors.device)
        values = torch.stack([errors, batch.change.to(errors), torch.ones_like(errors)], dim=1)
        if self.sums is None:
            self.sums = values.new_zeros(BINS + len(CATEGORIES), 3)
        self.sums.index_add_(0, (t * BINS).long().clamp(0, BINS - 1), values)
        tasks = batch.tasks or ("",) * len(batch)
        categories = torch.tensor([BINS + CATEGORIES.index(category_of(task)) for task in tasks])
        self.sums.index_add_(0, categories.to(errors.device), values)
        self.steps, self.seconds, self.waited = self.steps + 1, self.seconds + seconds, self.waited + waited

    def taken(self) -> dict[str, Any]:
        """The means since the last time, and how fast it went; every process has to ask."""
        assert self.sums is not None
        sums = self.sums if self.accelerator is None else self.accelerator.reduce(self.sums, "sum")
        spent = max(self.seconds + self.waited, 1e-9)
        rows = sums.double().cpu()
        total = self._mean(rows[:BINS].sum(dim=0))
        found = {
            self.measure: total,
            f"{self.measure}_by_time": self._each(rows[:BINS], {f"{n / BINS:g}": n for n in range(BINS)}),
            f"{self.measure}_by_category": self._each(rows[BINS:], {name: n for n, name in enumerate(CATEGORIES)}),
            "quads_per_second": round(self.steps * self.batch / spent, 3),
            "waiting": round(self.waited / spent, 4),
        }
        self._clear()
        return found

    def _each(self, rows: Tensor, names: Mapping[str, int]) -> dict[str, float]:
        return {name: self._mean(rows[row]) for name, row in names.items() if rows[row, 2] > 0}

    def _mean(self, row: Tensor) -> float:
        error, nothing, quads = row.tolist()
        return round(error / max(nothing if self.measure == "ratio" else quads, 1e-12), 4)


@cache
def category_of(task: str) -> str:
    """Of a procedural task; of others `other`."""
    return TASKS[task].category if task in TASKS else "other"
