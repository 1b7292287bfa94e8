"""From a number per row to what a table says: means per task, then over tasks, with intervals and paired tests.

A task counts once however many rows it has. Rows with an error, or without the number, are left out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Row = Mapping[str, Any]
DRAWS = 2000  # of the bootstrap and of the random signs
LEVEL = 0.95


@dataclass(frozen=True)
class Mean:
    """A mean over tasks, the bounds of its 95 % interval, and what it rests on."""

    value: float
    low: float
    high: float
    tasks: int
    rows: int


@dataclass(frozen=True)
class Comparison:
    """The mean difference over tasks of two editors on the same quads: first less second.

    p: how often random signs of the rows' differences give a difference as large, in [0, 1]; rows: quads that both did.
    """

    difference: float
    low: float
    high: float
    p: float
    tasks: int
    rows: int


def per_task(rows: Iterable[Row], column: str) -> dict[str, float]:
    """The mean of a column for every task, by its name; a row without a task counts to the task ''."""
    return {task: float(np.mean(values)) for task, values in _by_task(rows, column).items()}


def mean(rows: Iterable[Row], column: str, seed: int = 0) -> Mean | None:
    """The mean over tasks; None where no row has the number. The interval redraws tasks, and rows within them."""
    groups = list(_by_task(rows, column).values())
    if not groups:
        return None
    drawn = _bootstrap(groups, np.random.default_rng(seed))
    low, high = _bounds(drawn)
    return Mean(_over_tasks(groups), low, high, len(groups), sum(map(len, groups)))


def compare(first: Iterable[Row], second: Iterable[Row], column: str, seed: int = 0) -> Comparison | None:
    """Two editors on the quads that both did, paired by quad; None where there is none."""
    values, others = ({quad_key(row): row for row in rows if _has(row, column)} for rows in (first, second))
    both = [key for key in values if key in others]
    if not both:
        return None
    differences: dict[str, list[float]] = defaultdict(list)
    for key in both:
        differences[values[key].get("task") or ""].append(values[key][column] - others[key][column])
    groups = [np.asarray(group) for group in differences.values()]
    rng = np.random.default_rng(seed)
    low, high = _bounds(_bootstrap(groups, rng))
    found = _over_tasks(groups)
    signed = [(group * rng.choice((-1.0, 1.0), (DRAWS, len(group)))).mean(axis=1) for group in groups]
    by_chance = np.abs(np.mean(signed, axis=0))
    # One more draw, the one seen: a p of zero would claim more than the draws can tell.
    p = float(1 + np.sum(by_chance >= abs(found) - 1e-12)) / (1 + DRAWS)
    return Comparison(found, low, high, p, len(groups), len(both))


def where(rows: Iterable[Row], **fields: Any) -> list[Row]:
    """The rows whose fields have these values."""
    return [row for row in rows if all(row.get(name) == value for name, value in fields.items())]


def quad_key(row: Row) -> tuple[Any, ...]:
    """What the rows of one quad share, whatever editor made them: its pictures (`absolute_rows`) and words."""
    return tuple(row.get(name) for name in ("before", "after", "source", "instruction"))


def _by_task(rows: Iterable[Row], column: str) -> dict[str, np.ndarray]:
    groups: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if _has(row, column):
            groups[row.get("task") or ""].append(float(row[column]))
    return {task: np.asarray(values) for task, values in groups.items()}


def _has(row: Row, column: str) -> bool:
    value = row.get(column)
    return row.get("error") is None and isinstance(value, (int, float)) and math.isfinite(value)


def _over_tasks(groups: Sequence[np.ndarray]) -> float:
    return float(np.mean([group.mean() for group in groups]))


def _bootstrap(groups: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Means over tasks of DRAWS redrawn sets: tasks with replacement, and in every task its rows (DRAWS,)."""
    redrawn = np.stack([group[rng.integers(len(group), size=(DRAWS, len(group)))].mean(axis=1) for group in groups])
    tasks = rng.integers(len(groups), size=(len(groups), DRAWS))
    means: np.ndarray = np.take_along_axis(redrawn, tasks, axis=0).mean(axis=0)
    return means


def _bounds(drawn: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
