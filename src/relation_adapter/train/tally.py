"""Errors of a stretch of steps, added up by time and by category; on the device, so that no step waits for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from relation_adapter.data.cached import QUADS_NAME, FeatureBatch
from relation_adapter.data.dataset import Batch
from relation_adapter.data.schema import Category, iter_quads
from relation_adapter.procedural import TASKS
from relation_adapter.train.presets import TrainConfig

BINS = 10  # of time
OTHER = "other"
CATEGORIES: tuple[str, ...] = (*get_args(Category), OTHER)


class Tally:
    """Of one process; `taken` adds the processes up. accelerator: None where there is one alone."""

    def __init__(self, config: TrainConfig, accelerator: Any = None) -> None:
        self.accelerator = accelerator
        # From noise, the error of doing nothing says nothing.
        self.measure = "ratio" if config.model.start == "source" else "loss"
        self.batch = config.batch
        self.categories = categories(config)
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
        rows = torch.tensor([BINS + CATEGORIES.index(self.categories.get(task, OTHER)) for task in tasks])
        self.sums.index_add_(0, rows.to(errors.device), values)
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


def categories(config: TrainConfig) -> dict[str, str]:
    """The category of every task that a run can meet, where it is known."""
    rows: Iterable[tuple[Any, Any]] = ((name, task.category) for name, task in TASKS.items())
    if config.cache is not None:
        with (Path(config.cache) / QUADS_NAME).open(encoding="utf-8") as file:
            found = [json.loads(line) for line in file]
        rows = ((row["task"], row["category"]) for row in found)
    elif config.quads is not None:
        rows = ((quad.task, quad.category) for quad in iter_quads(config.quads))
    return {task or "": category for task, category in rows if category}
