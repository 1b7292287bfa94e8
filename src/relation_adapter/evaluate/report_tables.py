"""The tables of a report: the paper's, in its own layout beside its numbers, and those that it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from relation_adapter.evaluate import published
from relation_adapter.evaluate.batches import Batch, Judged, shared_quads
from relation_adapter.evaluate.judged import COLUMNS
from relation_adapter.evaluate.stats import DRAWS, Row, compare, mean, per_task, quad_key, where

NONE = "–"  # noqa: RUF001
SPLITS = ("seen", "unseen")
CATEGORIES = {"low_level": "low-level", "style": "style", "editing": "editing", "customized": "customized"}
MAIN = {  # column: head, digits
    "mse": ("MSE ↓", 4),
    "psnr": ("PSNR ↑", 2),
    "ssim": ("SSIM ↑", 3),
    "lpips": ("LPIPS ↓", 3),
    "dreamsim": ("DreamSim ↓", 3),
    "clip_i": ("CLIP-I ↑", 3),
    "dino_i": ("DINO-I ↑", 3),
    "clip_direction": ("CLIP direction ↑", 3),
    "delta_cosine": ("delta cosine ↑", 3),
    "delta_cosine_dino": ("delta cosine, DINO ↑", 3),
}


@dataclass(frozen=True)
class Table:
    """Texts in rows under heads. paper: how many of the first rows are published numbers. notes: below it."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    paper: int = 0
    notes: Sequence[str] = ()
    sortable: bool = False


def present(batches: Sequence[Batch]) -> list[str]:
    """The main columns that some row has."""
    return [name for name in MAIN if any(row.get(name) is not None for batch in batches for row in batch.done)]


def editors(batches: Sequence[Batch]) -> Table:
    """Every editor over all of its own quads, with intervals, and the time and memory it took."""
    columns = present(batches)
    head = ["editor", "tasks", "quads", "failed", "MSE / doing nothing ↓", *(MAIN[name][0] for name in columns)]
    rows = [
        [
            batch.name,
            str(len({row.get("task") for row in batch.done})),
            str(len(batch.done)),
            str(len(batch.rows) - len(batch.done)),
            _ratio(batch.done),
            *(_interval(batch.done, name, MAIN[name][1]) for name in columns),
        ]
        for batch in batches
    ]
    notes = ["Means over tasks; in brackets 95 % intervals from redrawn tasks and quads. Each over its own quads."]
    return Table("All editors", head, rows, notes=notes, sortable=True)


def cost(batches: Sequence[Batch]) -> Table:
    """Seconds and memory."""
    rows = []
    for batch in batches:
        seconds = [row["seconds"] for row in batch.done if row.get("seconds") is not None]
        memory = [row["peak_gib"] for row in batch.done if row.get("peak_gib") is not None]
        rows.append(
            [
                batch.name,
                f"{np.median(seconds):.3f}" if seconds else NONE,
                f"{np.quantile(seconds, 0.95):.3f}" if seconds else NONE,
                f"{sum(seconds):.0f}" if seconds else NONE,
                f"{max(memory):.2f}" if memory else NONE,
            ]
        )
    paper = [[name, seconds, NONE, NONE, memory] for name, seconds, memory in published.COST]
    head = ["editor", "seconds an edit, median", "95 % within", "seconds in all", "peak memory, GiB"]
    notes = [
        "Peak memory is of the GPU where there is one, else of the process; batches made before it was kept have none.",
        "Times compare only on one machine under one load.",
    ]
    return Table("Time and memory", head, [*paper, *rows], len(paper), notes)


def table_1(batches: Sequence[Batch], judges: Sequence[Judged]) -> Table:
    """Editors on what all of them have done."""
    shared = shared_quads(batches)
    rows = [
        [batch.name, *_scores(batch, [row for row in batch.done if quad_key(row) in shared], judges)]
        for batch in batches
    ]
    tasks = {row.get("task") for row in batches[0].done if quad_key(row) in shared}
    notes = [f"Every editor here has a result of {_count(len(shared), 'quad')} of {_count(len(tasks), 'task')}."]
    return Table("Table 1: on shared tasks", ["editor", *published.SCORES], [*published.TABLE_1, *rows], 4, notes)


def table_2(batches: Sequence[Batch], judges: Sequence[Judged]) -> Table:
    """Tasks that training has, and has not, met."""
    rows = [
        [
            batch.name,
            _told(split, batch.done),
            *_scores(batch, where(batch.done, split=split), judges, f"split={split}"),
        ]
        for split in SPLITS
        for batch in batches
        if where(batch.done, split=split)
    ]
    head = ["editor", "tasks", *published.SCORES]
    return Table("Table 2: seen and unseen tasks", head, [*published.TABLE_2, *rows], 4)


def table_3(batches: Sequence[Batch], judges: Sequence[Judged]) -> Table:
    """Categories, with the spread over their tasks."""
    rows = []
    for batch in batches:
        for category, label in CATEGORIES.items():
            if chosen := where(batch.done, category=category):
                judged = _judge_rows(batch, chosen, judges)
                spreads = [_spread(chosen, name) for name in ("mse", "clip_i")]
                spreads += [_spread(judged, name) for name in COLUMNS["paired"]]
                rows.append([batch.name, label, str(len({row.get("task") for row in chosen})), *spreads])
    head = ["editor", "category", "tasks", "MSE ↓", "CLIP-I ↑", "GPT-C ↑", "GPT-A ↑"]
    notes = ["Mean ± standard deviation over the means of the tasks."]
    return Table("Table 3: by category", head, [*published.TABLE_3, *rows], 4, notes)


def dense_tables(batches: Sequence[Batch]) -> list[Table]:
    """Tables 4 to 7, each where some batch has its columns."""
    found = []
    for title, columns, paper in published.DENSE:
        rows = []
        for batch in batches:
            if any(mean(batch.done, name) for name in columns):
                tasks = {row.get("task") for row in batch.done if row.get(next(iter(columns))) is not None}
                rows.append(
                    [
                        f"{batch.name}, {_count(len(tasks), 'task')} here",
                        *(_mean(batch.done, name, 4) for name in columns),
                    ]
                )
        if rows:
            found.append(Table(title, ["editor", *columns.values()], [*paper, *rows], len(paper)))
    return found


def sweeps(batches: Sequence[Batch]) -> dict[str, list[Batch]]:
    """Editors of which there are several strengths: their batches by falling strength."""
    found: dict[str, dict[float, Batch]] = {}
    for batch in batches:
        found.setdefault(batch.base, {}).setdefault(batch.strength, batch)
    return {base: [one[s] for s in sorted(one, reverse=True)] for base, one in found.items() if len(one) > 1}


def table_9(batches: Sequence[Batch], judges: Sequence[Judged]) -> Table:
    """Strengths, on the quads that all strengths of an editor have done."""
    rows, notes = [], []
    for chosen in sweeps(batches).values():
        shared = shared_quads(chosen)
        whole = all(len(batch.done) == len(shared) for batch in chosen)
        notes.append(f"{chosen[-1].base}: the {len(shared)} quads that all of its strengths have done.")
        for split in SPLITS:
            for batch in chosen:
                if own := [row for row in where(batch.done, split=split) if quad_key(row) in shared]:
                    group = f"split={split}" if whole else None
                    told = _told(split, own)
                    rows.append([batch.name, f"{batch.strength:g}", told, *_scores(batch, own, judges, group)])
    if not rows:
        notes = ["No editor here has folders of several strengths: `evaluate generate --strength 0.5`."]
    head = ["editor", "strength", "tasks", *published.SCORES]
    return Table("Table 9: strength", head, [*published.TABLE_9, *rows], 6, notes)


def table_10(batches: Sequence[Batch], judges: Sequence[Judged]) -> Table:
    """LoRAs, as far as the editors' names tell of one."""
    chosen = [batch for batch in batches if "lora" in batch.model]
    rows = [
        [
            batch.name,
            _told(split, batch.done),
            *_scores(batch, where(batch.done, split=split), judges, f"split={split}"),
        ]
        for split in SPLITS
        for batch in chosen
        if where(batch.done, split=split)
    ]
    notes = [] if rows else ["No editor here was given a LoRA: `evaluate generate --lora FILE`."]
    head = ["editor", "tasks", *published.SCORES]
    return Table("Table 10: rank of the LoRA", head, [*published.TABLE_10, *rows], 4, notes)


def differences(batches: Sequence[Batch]) -> Table:
    """Every two editors on the quads that both did; p corrected for the number of tests by Holm."""
    found = [
        (f"{first.name} less {second.name}", name, one)
        for first, second in combinations(batches, 2)
        for name in present(batches)
        if (one := compare(first.done, second.done, name))
    ]
    corrected = _holm([one.p for _, _, one in found])
    rows = [
        [
            names,
            MAIN[name][0],
            f"{one.difference:+.{MAIN[name][1]}f}",
            f"{one.low:+.{MAIN[name][1]}f} to {one.high:+.{MAIN[name][1]}f}",
            f"{p:.4f}",
            str(one.tasks),
            str(one.rows),
        ]
        for (names, name, one), p in zip(found, corrected, strict=True)
    ]
    least = min(1.0, len(found) / (1 + DRAWS))
    notes = [
        f"Paired by quad, random signs; p is corrected for {len(found)} tests by Holm's way; {least:.4f} is the least "
        f"that {DRAWS} draws can tell of the clearest."
    ]
    head = ["editors", "score", "difference", "95 % interval", "p", "tasks", "quads"]
    return Table("Paired tests", head, rows, notes=notes, sortable=True)


def _holm(values: Sequence[float]) -> list[float]:
    """The values of p corrected for their number (Holm 1979)."""
    corrected, worst = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda place: values[place])):
        worst = max(worst, min(1.0, values[place] * (len(values) - rank)))
        corrected[place] = worst
    return corrected


def by_task(batches: Sequence[Batch]) -> Table:
    """A row a task, with every editor's mean squared error, and what doing nothing costs."""
    told: dict[str, Row] = {row.get("task") or "": row for batch in batches for row in batch.done}
    errors = [per_task(batch.done, "mse") for batch in batches]
    nothing = per_task((row for batch in batches for row in batch.done), "nothing_mse")
    rows = []
    for task in sorted(told):
        row = told[task]
        values = [_digits(one.get(task), 4) for one in (nothing, *errors)]
        rows.append([task or NONE, CATEGORIES.get(row.get("category") or "", NONE), row.get("split") or NONE, *values])
    head = ["task", "category", "split", "doing nothing", *(batch.name for batch in batches)]
    return Table("By task: MSE ↓", head, rows, sortable=True)


def judge_tables(batches: Sequence[Batch], judges: Sequence[Judged]) -> list[Table]:
    """What judges said: a table for each paired comparison, and one for each way of judging results alone."""
    names = {str(batch.folder.resolve()): batch.name for batch in batches}
    groups: dict[Any, list[Judged]] = {}
    for one in judges:
        head = one.head
        own = one.folder if head.mode == "paired" else (head.judge, head.prompt_sha256, head.side)
        groups.setdefault((head.mode, own), []).append(one)
    found = []
    for (mode, _), chosen in groups.items():
        rows = []
        for place, side in (side for one in chosen for side in one.sides):
            name = names.get(place) or str(side[0]["model"])
            parts: dict[str, Sequence[Row]] = {"all": side, **{split: where(side, split=split) for split in SPLITS}}
            for label, some in parts.items():
                if mean(some, COLUMNS[mode][0]):
                    count = sum(row.get(COLUMNS[mode][0]) is not None for row in some)
                    rows.append([name, label, str(count), *(_interval(some, column, 3) for column in COLUMNS[mode])])
        beside = "each beside the other: scores depend on the rival" if mode == "paired" else "each seen alone"
        head_row = ["editor", "tasks", "quads", f"{mode} GPT-C ↑", f"{mode} GPT-A ↑"]
        found.append(Table(f"Judged, {mode}", head_row, rows, notes=[f"{chosen[0].head.text()}; {beside}."]))
    return found


def _scores(batch: Batch, rows: Sequence[Row], judges: Sequence[Judged], group: str | None = None) -> list[str]:
    """MSE, CLIP-I, FID, GPT-C, GPT-A of some rows; FID is of a whole group of the batch, and else not known."""
    if group is None and len(rows) == len(batch.done):
        group = "all"
    fid = batch.sets.get("fid", {}).get(group or "", {}).get("value")
    judged = _judge_rows(batch, rows, judges)
    gpt = [_mean(judged, name, 3) for name in COLUMNS["paired"]]
    return [_mean(rows, "mse", 4), _mean(rows, "clip_i", 3), _digits(fid, 3), *gpt]


def _judge_rows(batch: Batch, rows: Iterable[Row], judges: Sequence[Judged]) -> list[Row]:
    """A batch's paired scores of these rows, where there is one paired table alone: scores of two do not compare."""
    paired = [one for one in judges if one.head.mode == "paired"]
    if len(paired) != 1:
        return []
    wanted, place = {quad_key(row) for row in rows}, str(batch.folder.resolve())
    return [row for at, side in paired[0].sides if at == place for row in side if quad_key(row) in wanted]


def _told(split: str, rows: Iterable[Row]) -> str:
    """A split and the number of its tasks."""
    return f"{split} ({len({row.get('task') for row in where(rows, split=split)})})"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _ratio(rows: Sequence[Row]) -> str:
    error, nothing = mean(rows, "mse"), mean(rows, "nothing_mse")
    return f"{error.value / nothing.value:.3f}" if error and nothing and nothing.value else NONE


def _interval(rows: Sequence[Row], column: str, digits: int) -> str:
    found = mean(rows, column)
    return f"{found.value:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})" if found else NONE


def _mean(rows: Sequence[Row], column: str, digits: int) -> str:
    values = per_task(rows, column).values()
    return f"{np.mean(list(values)):.{digits}f}" if values else NONE


def _spread(rows: Sequence[Row], column: str) -> str:
    values = list(per_task(rows, column).values())
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}" if values else NONE


def _digits(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:.{digits}f}"
