"""From the rows of `ablation.py` to its tables: means per task, then over tasks, then over seeds."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relation_adapter.procedural import CATEGORIES

PAGE = Path(__file__).parents[1] / "docs" / "ablation.md"
START, END = "<!-- table: benchmarks/ablation.py --write -->", "<!-- end of table -->"
SPLITS = ("seen", "unseen")
Row = Mapping[str, Any]
Runs = Mapping[str, Sequence[Mapping[str, Any]]]


def by_design(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """All finished runs of a folder, one list of seeds a design."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(folder.glob("*/rows.json")):
        one = json.loads(path.read_bytes())
        found[one["design"]].append(one)
    return dict(found)


def ranked(folder: Path) -> list[str]:
    """Designs from the best to the worst: error over that of doing nothing, seen tasks, mean of the seeds."""
    runs = by_design(folder)
    return sorted(runs, key=lambda name: float(np.mean([ratio(_of(one["rows"], "seen")) for one in runs[name]])))


def table(runs: Runs, told: Mapping[str, str]) -> str:
    """Markdown of all runs, designs in the order of `told`."""
    names = [name for name in told if name in runs]
    if not names:
        return "No run is finished."
    shown = [one for name in names for one in runs[name]]
    return "\n\n".join(
        [
            _settings(shown),
            _designs(runs, names, told),
            *(f"**{split} tasks**\n\n{_scores(runs, names, split)}" for split in SPLITS),
            *(f"**{title}**\n\n{_categories(runs, names, score)}" for title, score in _BY_CATEGORY),
        ]
    )


def task_means(rows: Iterable[Row], column: str) -> dict[str, float]:
    """Mean of a column per task, over the rows that have it."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row[column] is not None:
            values[row["task"]].append(row[column])
    return {task: float(np.mean(found)) for task, found in values.items()}


def mean(rows: Iterable[Row], column: str) -> float:
    """Mean over tasks of the means per task."""
    return float(np.mean(list(task_means(rows, column).values()) or [np.nan]))


def ratio(rows: Sequence[Row], column: str = "mse") -> float:
    """Mean error over the mean error of doing nothing."""
    return mean(rows, column) / mean(rows, "nothing")


def task_ratio(rows: Sequence[Row]) -> float:
    """Median over tasks of the same for each task: tasks that change little count like those that change much."""
    nothing = task_means(rows, "nothing")
    return float(np.median([error / nothing[task] for task, error in task_means(rows, "mse").items()]))


def _of(rows: Sequence[Row], split: str, category: str | None = None) -> list[Row]:
    return [row for row in rows if row["split"] == split and category in (None, row["category"])]


Score = Callable[[Sequence[Row]], float]
_COLUMNS: tuple[tuple[str, Score, str], ...] = (
    ("MSE", lambda rows: mean(rows, "mse"), ".4f"),
    ("MSE / nothing", ratio, ".3f"),
    ("median task's", task_ratio, ".3f"),
    ("PSNR", lambda rows: mean(rows, "psnr"), ".2f"),
    ("SSIM", lambda rows: mean(rows, "ssim"), ".3f"),
    ("direction right", lambda rows: mean(rows, "direction"), ".1%"),
    ("relation right", lambda rows: mean(rows, "relation"), ".1%"),
    ("swapped pair: MSE / nothing", lambda rows: ratio(rows, "swapped"), ".2f"),
    ("another task's: MSE / nothing", lambda rows: ratio(rows, "mixed"), ".2f"),
)
_BY_CATEGORY: tuple[tuple[str, tuple[Score, str]], ...] = (
    ("MSE / nothing by category, seen and unseen", (ratio, ".3f")),
    ("Direction right by category, seen and unseen", (lambda rows: mean(rows, "direction"), ".0%")),
    ("Relation right by category, seen and unseen", (lambda rows: mean(rows, "relation"), ".0%")),
)


def _settings(shown: Sequence[Mapping[str, Any]]) -> str:
    """What all runs share, and what the numbers are of."""
    settings = sorted({json.dumps(one["settings"], sort_keys=True) for one in shown})
    if len(settings) > 1:
        raise SystemExit(f"The folder holds runs of different budgets, which do not compare: {'; '.join(settings)}")
    one, rows = json.loads(settings[0]), shown[0]["rows"]
    counts = {split: _of(rows, split) for split in SPLITS}
    tasks = " and ".join(f"{len({row['task'] for row in found})} {split}" for split, found in counts.items())
    told = {column: len(task_means(rows, column)) for column in ("direction", "relation")}
    return (
        f"Every run: {one['steps']:,} steps of {one['batch']} quads, {one['steps'] * one['batch']:,} in all, the same "
        f"for every design. Measured on {len(rows):,} quads, the first {one['per_task']} of the benchmark's 30 of "
        f"{tasks} tasks. Direction is told of {told['direction']} tasks, the others undo themselves; relation of "
        f"{told['relation']}, where parameters change the target, by chance right in {mean(rows, 'chance'):.0%}."
    )


def _designs(runs: Runs, names: Sequence[str], told: Mapping[str, str]) -> str:
    lines = ["| design | what it is | seeds | weights | tokens a step | once | s an edit | quads/s |", _rule(8)]
    for name in names:
        first = runs[name][0]
        seeds = ", ".join(str(one["seed"]) for one in runs[name])
        step, once = first["sequence"]["step"], first["sequence"]["once"]
        seconds, speed = (np.mean([one[key] for one in runs[name]]) for key in ("seconds", "quads_per_second"))
        lines.append(
            f"| {name} | {told[name]} | {seeds} | {first['weights'] / 1e6:.2f} M | {step} | {once} | {seconds:.3f} "
            f"| {speed:.0f} |"
        )
    return "\n".join(lines)


def _scores(runs: Runs, names: Sequence[str], split: str) -> str:
    return scores("design", {name: [_of(one["rows"], split) for one in runs[name]] for name in names})


def scores(title: str, parts: Mapping[str, Sequence[Sequence[Row]]]) -> str:
    """Markdown: a line a part, named under `title`, with all scores; of a part the rows of every seed."""
    lines = [f"| {title} | " + " | ".join(name for name, *_ in _COLUMNS) + " |", _rule(1 + len(_COLUMNS))]
    for name, seeds in parts.items():
        cells = [_cell([score(rows) for rows in seeds], form) for _, score, form in _COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _categories(runs: Runs, names: Sequence[str], scored: tuple[Score, str]) -> str:
    score, form = scored
    kinds = [(split, category) for split in SPLITS for category in CATEGORIES]
    lines = ["| design | " + " | ".join(f"{category}, {split}" for split, category in kinds) + " |"]
    lines.append(_rule(1 + len(kinds)))
    for name in names:
        cells = [_cell([score(_of(one["rows"], *kind)) for one in runs[name]], form) for kind in kinds]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: Sequence[float], form: str) -> str:
    """The mean over the seeds and, where there are several, how far the farthest one is from it."""
    if np.isnan(values).any():
        return "-"
    middle = float(np.mean(values))
    spread = max(abs(value - middle) for value in values)
    return format(middle, form) + (f" ± {format(spread, form)}" if len(values) > 1 else "")


def _rule(columns: int) -> str:
    return "|" + "---|" * columns


def write_table(text: str) -> None:
    """Put the tables into the page."""
    page = PAGE.read_text()
    head, rest = page.split(START)
    PAGE.write_text(f"{head}{START}\n\n{text}\n\n{END}{rest.split(END)[1]}")
