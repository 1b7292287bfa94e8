"""Is a file of pairs or quads sound: every picture, and all of them together."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from relation_adapter.data.looks import Look, cut_elsewhere, look, other_shapes
from relation_adapter.data.ordered import in_order
from relation_adapter.data.pairs import PairRow, pair_row
from relation_adapter.data.rows import Links
from relation_adapter.data.schema import PICTURES, Quad, pictures_of, quad_row
from relation_adapter.data.sources.found import Unusable
from relation_adapter.data.sources.objects import json_objects
from relation_adapter.data.verify_between import Prints, between
from relation_adapter.data.verify_journal import Journal, Print, Seen
from relation_adapter.errors import PictureError, QuadsError

Row = PairRow | Quad
SIDES = (("before", "after"), ("source", "target"))
SMALLEST = 16  # px
FORM = b"looks 1"  # to be changed with what is looked for in one row


@dataclass
class Verified:
    """What was counted. known: rows that an earlier call had looked at. tasks: rows of each; categories: of each task.

    quads: whether the rows are quads. splits, described: rows of each split, rows with an instruction.
    """

    rows: int = 0
    known: int = 0
    problems: int = 0
    quads: bool = False
    described: int = 0
    tasks: Counter[str | None] = field(default_factory=Counter)
    splits: Counter[str | None] = field(default_factory=Counter)
    categories: dict[str | None, set[str | None]] = field(default_factory=dict)

    def count(self, row: Row) -> None:
        """One row more."""
        self.rows += 1
        self.quads = isinstance(row, Quad)
        self.tasks[row.task] += 1
        self.splits[row.split] += 1
        self.described += row.instruction is not None
        self.categories.setdefault(row.task, set()).add(row.category)


@dataclass(frozen=True)
class _Job:
    number: int
    row: Row
    key: str
    known: Seen | None


def verify(
    path: Path,
    tell: Callable[[str], None],
    workers: int = 1,
    journal: Journal | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Verified:
    """Look at a file of pairs or quads; every problem goes to `tell` in one line with file:line.

    journal: of an earlier call, so that what has not changed is not opened again. Memory grows by some 50 bytes a row.
    Raises UsageError where the file cannot be read, QuadsError where it holds no rows.
    """
    found, prints = Verified(), Prints()

    def problem(text: str) -> None:
        found.problems += 1
        tell(text)

    for job, seen in in_order(_look, _jobs(path, journal, problem), workers):
        progress()
        found.count(job.row)
        found.known += seen.known
        for text in seen.problems:
            problem(f"{path}:{job.number}: {text}")
        prints.add(job.number, job.row.split, job.row.task, seen.prints)
        if journal is not None:
            journal.add(seen)
    if not found.rows:
        raise QuadsError(f"{path}: holds no rows that could be read; give a JSONL file of pairs or quads")
    for task, categories in found.categories.items():
        if len(categories) > 1:
            problem(
                f"{path}: task {task!r} has several categories: {', '.join(sorted(map(str, categories)))}; settle one"
            )
    for text in between(path, prints, lambda places: _rows_at(path, places), found.quads):
        problem(text)
    return found


def read_rows(path: Path, problem: Callable[[str], None]) -> Iterator[tuple[int, Row]]:
    """Every row of a file of pairs or quads with its line number; what cannot be read is told. Raises UsageError."""
    links = Links(path.parent)
    for one in json_objects(path):
        if isinstance(one, Unusable):
            problem(one.why)
            continue
        where, item = one
        try:
            row = _row(where, item, path.parent)
            for name, picture in pictures_of(row):
                links.check(f"{where}: {name}", picture)
        except QuadsError as error:
            problem(str(error))
            continue
        yield int(where.rpartition(":")[2]), row


def _row(where: str, item: dict[str, object], folder: Path) -> Row:
    is_quad = not item.keys().isdisjoint({"source", "target", "cond1", "cond2"})
    return quad_row(where, item, folder) if is_quad else pair_row(where, item, folder)


def _rows_at(path: Path, places: set[int]) -> dict[int, Row]:
    """Rows by their place among those that can be read: several may stand in one line."""
    return {place: row for place, (_, row) in enumerate(read_rows(path, lambda _: None)) if place in places}


def _jobs(path: Path, journal: Journal | None, problem: Callable[[str], None]) -> Iterator[_Job]:
    for number, row in read_rows(path, problem):
        key = _key(row)
        yield _Job(number, row, key, journal.known(key) if journal is not None else None)


def _key(row: Row) -> str:
    """Of the row and of its files as they are now: another size or time is another key."""
    found = hashlib.sha256(FORM)
    for _, picture in pictures_of(row):
        try:
            status = picture.stat()
            found.update(f"{picture}\0{status.st_size}\0{status.st_mtime_ns}\0".encode(errors="surrogateescape"))
        except OSError:
            found.update(f"{picture}\0-\0".encode(errors="surrogateescape"))
    return found.hexdigest()[:32]


def _look(job: _Job) -> tuple[_Job, Seen]:
    if job.known is not None:
        return job, job.known
    looks: dict[str, Look] = {}
    problems: list[str] = []
    for name, picture in pictures_of(job.row):
        try:
            looks[name] = look(picture)
        except PictureError as error:
            problems.append(f"{name}: {error}")
    problems += [
        f"{name}: {one.width}x{one.height} pixels; too small to show an edit, remove the row"
        for name, one in looks.items()
        if min(one.width, one.height) < SMALLEST
    ]
    for first, second in SIDES:
        if first in looks and second in looks:
            problems += _of_two(first, second, looks[first], looks[second])
    prints: list[Print] = [(PICTURES.index(name), one.digest, one.dhash) for name, one in looks.items()]
    return job, Seen(job.key, tuple(problems), tuple(prints))


def _of_two(first: str, second: str, before: Look, after: Look) -> Iterator[str]:
    if before.digest == after.digest:
        yield f"{second} is the same picture as {first}; it shows no edit, remove the row"
    if sizes := other_shapes(before, after):
        yield f"{first} and {second} differ in shape: {sizes}; crop them alike or remove the row"
    if cut_elsewhere(before, after):
        yield f"{first} and {second} look like one picture cut in the wrong place; glue and split them again"
