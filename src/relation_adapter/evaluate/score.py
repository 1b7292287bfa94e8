"""Scores as new columns of a batch's `rows.jsonl`; safe to kill and run again.

`metrics.json` beside it says how every column was made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from relation_adapter.data.schema import PICTURES
from relation_adapter.data.spread import Spread, serially
from relation_adapter.errors import PictureError
from relation_adapter.evaluate.metrics import DEFAULT, METRICS, choose
from relation_adapter.evaluate.networks import Networks
from relation_adapter.evaluate.rows import Row, add_how, append_row, latest_rows, open_rows, read_how, write_rows
from relation_adapter.evaluate.seen import Metric, Scorer, Seen
from relation_adapter.files import locked_folder, remove_parts

DIGITS = 8
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Scored:
    """Counts of one call: rows scored now, rows that had their scores, rows that can have none; and what failed."""

    done: int
    skipped: int
    without: int
    failed: tuple[str, ...] = ()


def score(
    folder: Path,
    names: Sequence[str] = DEFAULT,
    progress: Progress | None = None,
    networks: Networks | None = None,
    spread: Spread = serially,
) -> Scored:
    """Add the columns of these metrics to every row of `folder/rows.jsonl` that has an output and lacks them.

    A column that was made in another way (`metrics.json`) is made anew. A row without output has no scores, one without
    target those that need none, and what is for some tasks only those rows have; a column is None where a picture shows
    nothing to score. The same call again goes on where it was stopped; a picture that cannot be read fails its row
    alone. progress(number, count) is called after every row. networks: where those of the metrics are looked for.
    spread: who scores; this process alone writes.

    Raises:
        InputError: there is no batch in the folder, or the disk refuses.
        UsageError: an unknown metric, or another process works in the folder.
        WeightsError, MissingExtraError: a network, or a library, that is not there; what is scored stays.
    """
    metrics, networks = choose(names), networks or Networks()
    how = {column: metric.told(networks) for metric in metrics.values() for column in metric.columns}
    latest_rows(folder)  # a wrong name is told before locking makes a folder of it
    with locked_folder(folder):
        remove_parts(folder)
        rows = _without_stale(latest_rows(folder), read_how(folder), how)
        write_rows(folder, rows)
        add_how(folder, how)
        wanted = {index: _missing(row, metrics) for index, row in enumerate(rows)}
        todo = [index for index, missing in wanted.items() if missing]
        failed = _score(folder, rows, {index: wanted[index] for index in todo}, networks, spread, progress)
        write_rows(folder, rows)
    without = sum(not any(metric.fits(row) for metric in metrics.values()) for row in rows)
    return Scored(len(todo) - len(failed), len(rows) - without - len(todo), without, tuple(failed))


def _score(
    folder: Path,
    rows: list[Row],
    wanted: Mapping[int, Sequence[str]],
    networks: Networks,
    spread: Spread,
    progress: Progress | None,
) -> list[str]:
    """Score the wanted rows in place and on disk, each once it is done; what failed, a line each."""
    failed = []
    todo = (Task(index, _places(folder, rows[index]), tuple(names)) for index, names in wanted.items())
    with open_rows(folder) as file:
        for number, (index, scores, error) in enumerate(spread(partial(Scores, networks), todo, _lost), start=1):
            rows[index] |= scores
            if error is not None:
                failed.append(error)
            append_row(file, rows[index])
            if progress is not None:
                progress(number, len(wanted))
    return failed


@dataclass(frozen=True)
class Task:
    """One row to be scored: where its pictures lie, and the names of the metrics."""

    index: int
    places: Mapping[str, Path]
    names: tuple[str, ...]


class Scores:
    """What a worker does: row after row, by networks that it opens once."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._scorers: dict[str, Scorer] = {}

    def __call__(self, task: Task) -> tuple[int, Row, str | None]:
        """The columns of a row, those before a picture that cannot be read, and what is wrong with it."""
        seen, scores = Seen(task.places), Row()
        try:
            for name in task.names:
                metric = METRICS[name]
                scorer = self._scorers[name] = self._scorers.get(name) or metric.load(self._networks)
                found = {column: round(value, DIGITS) for column, value in scorer(seen).items()}
                scores |= {column: found.get(column) for column in metric.columns}
        except PictureError as error:
            return task.index, scores, str(error)
        return task.index, scores, None


def _places(folder: Path, row: Row) -> dict[str, Path]:
    return {name: folder / row[name] for name in (*PICTURES, "output") if row.get(name)}


def _lost(task: Task, why: str) -> tuple[int, Row, str | None]:
    return task.index, {}, f"{task.places['output']}: {why}"


def _missing(row: Row, metrics: Mapping[str, Metric]) -> list[str]:
    """The metrics that this row can have and lacks."""
    return [
        name
        for name, metric in metrics.items()
        if metric.fits(row) and any(column not in row for column in metric.columns)
    ]


def _without_stale(rows: Sequence[Row], then: Mapping[str, str], now: Mapping[str, str]) -> list[Row]:
    """The rows without those columns that an earlier call made in another way."""
    stale = {column for column, how in now.items() if then.get(column, how) != how}
    return [{name: value for name, value in row.items() if name not in stale} for row in rows]
