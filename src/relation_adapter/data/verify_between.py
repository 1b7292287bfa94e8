"""What only shows when rows are compared: pairs that come twice, and held-out pictures that training sees."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from relation_adapter.data.looks import NEAR_BITS, alike, near
from relation_adapter.data.schema import PICTURES
from relation_adapter.data.verify_journal import Print
from relation_adapter.errors import PictureError

MOST = 1000  # problems of one kind that are told
CANDIDATES = 20_000  # rows whose pictures are opened again
COMPARED = 3_000_000  # near hashes: in a set of one picture over and over there is no end of them
MANY = "more pictures have near hashes than are opened again; verify some tasks at a time to see all"
SPLITS = (None, "train", "seen", "unseen")
Rows = Callable[[set[int]], Mapping[int, Any]]
Numbers = npt.NDArray[Any]


class Prints:
    """What comparing rows needs, in flat arrays: of every row its line, split and task, of every picture its hashes."""

    def __init__(self) -> None:
        self._lines, self._splits, self._tasks = array("Q"), array("b"), array("Q")
        self._owners, self._roles = array("Q"), array("b")
        self._digests, self._dhashes = array("Q"), array("Q")
        self._numbers: dict[str | None, int] = {}

    def add(self, line: int, split: str | None, task: str | None, prints: Iterable[Print]) -> None:
        """One row."""
        for role, digest, dhash in prints:
            self._owners.append(len(self._lines))
            self._roles.append(role)
            self._digests.append(digest)
            self._dhashes.append(dhash)
        self._lines.append(line)
        self._splits.append(SPLITS.index(split))
        self._tasks.append(self._numbers.setdefault(task, len(self._numbers)))

    def arrays(self) -> dict[str, Numbers]:
        """By name, without a copy."""
        names = ("lines", "splits", "tasks", "owners", "roles", "digests", "dhashes")
        return {name: np.asarray(getattr(self, f"_{name}")) for name in names}


def between(path: Path, prints: Prints, rows_at: Rows, quads: bool) -> Iterator[str]:
    """Every problem, in one line. rows_at: rows by place, in order, to look at pictures whose hashes are near."""
    held = prints.arrays()
    yield from _twice(path, held)
    if not quads:
        yield from _nearly_twice(path, held, rows_at)
    yield from _leaks(path, held, rows_at)


def _wholes(held: dict[str, Numbers]) -> Numbers:
    """A number for every row that is the same where all of its pictures are; 0 where they could not be opened."""
    whole = np.zeros(len(held["lines"]), dtype=np.uint64)
    for role in range(len(PICTURES)):
        here = held["roles"] == role
        # Odd factors, so that the same pictures in other roles make another sum; it wraps around.
        whole[held["owners"][here]] += held["digests"][here] * np.uint64(0x9E3779B97F4A7C15 + 2 * role)
    whole[np.bincount(held["owners"].astype(np.int64), minlength=len(whole)) < 2] = 0
    return whole


def _twice(path: Path, held: dict[str, Numbers]) -> Iterator[str]:
    """Rows whose pictures are all those of an earlier row, pixel for pixel."""
    whole = _wholes(held)
    _, firsts, places = np.unique(whole, return_index=True, return_inverse=True)
    again = np.flatnonzero((firsts[places] != np.arange(len(whole))) & (whole != 0))
    texts = (
        f"{path}:{held['lines'][row]}: the same pictures as in line {held['lines'][firsts[places[row]]]}; remove one"
        for row in again
    )
    yield from _at_most(path, texts, len(again))


def _nearly_twice(path: Path, held: dict[str, Numbers], rows_at: Rows) -> Iterator[str]:
    """Pairs of one task, both of whose pictures nearly are those of another pair."""
    before, after = (_of_role(held, role) for role in (0, 1))
    once = np.unique(_wholes(held), return_index=True)[1]  # doubles are told already
    both = once[(before[once] >= 0) & (after[once] >= 0)]
    hashes = held["dhashes"][before[both]]
    close: list[tuple[int, int]] = []
    for count, (first, second) in enumerate(near(hashes, hashes)):
        if count == COMPARED or len(close) == CANDIDATES:
            yield f"{path}: {MANY} near duplicates"
            break
        one, two = int(both[first]), int(both[second])
        apart = held["dhashes"][after[one]] ^ held["dhashes"][after[two]]
        same_task = held["tasks"][one] == held["tasks"][two]
        if one < two and same_task and np.bitwise_count(apart) <= NEAR_BITS:
            close.append((one, two))
    lines = held["lines"]
    rows = rows_at({row for pair in close for row in pair}) if close else {}
    told: set[int] = set()
    for one, two in close:
        first, second = rows[one], rows[two]
        if two not in told and _alike(first.before, second.before) and _alike(first.after, second.after):
            told.add(two)
            yield f"{path}:{lines[two]}: nearly the same pictures as in line {lines[one]}; keep one"
        if len(told) == MOST:
            yield f"{path}: {MOST:,} near duplicates told; there may be more"
            return


def _of_role(held: dict[str, Numbers], role: int) -> Numbers:
    """For every row the place of its picture of a role, -1 where it has none."""
    places = np.full(len(held["lines"]), -1, dtype=np.int64)
    here = np.flatnonzero(held["roles"] == role)
    places[held["owners"][here]] = here
    return places


def _leaks(path: Path, held: dict[str, Numbers], rows_at: Rows) -> Iterator[str]:
    """Pictures of rows held out that are, or nearly are, in a row to train on."""
    splits = held["splits"][held["owners"]]
    train, tested = np.flatnonzero(splits == 1), np.flatnonzero(splits >= 2)
    if not len(train) or not len(tested):
        return
    _, first = np.unique(held["digests"][train], return_index=True)
    train = train[np.sort(first)]
    _, first = np.unique(held["digests"][tested], return_index=True)
    tested = tested[np.sort(first)]
    pairs: dict[int, list[int]] = defaultdict(list)
    where = {int(held["digests"][place]): int(place) for place in train}
    for place in tested:
        if (other := where.get(int(held["digests"][place]))) is not None:
            pairs[int(place)].append(other)
    exact = set(pairs)
    for count, (one, two) in enumerate(near(held["dhashes"][tested], held["dhashes"][train])):
        if count == CANDIDATES:
            yield f"{path}: {MANY} pictures held out"
            break
        if int(tested[one]) not in exact:
            pairs[int(tested[one])].append(int(train[two]))
    texts = _leak_texts(path, held, pairs, exact, rows_at)
    yield from _at_most(path, texts, len(pairs))


def _leak_texts(
    path: Path, held: dict[str, Numbers], pairs: dict[int, list[int]], exact: set[int], rows_at: Rows
) -> Iterator[str]:
    owners, line_of = held["owners"], held["lines"][held["owners"]]
    wanted = {int(owners[place]) for one, others in pairs.items() if one not in exact for place in (one, *others)}
    rows = rows_at(wanted) if wanted else {}

    def picture(place: int) -> Path:
        return Path(getattr(rows[int(owners[place])], PICTURES[held["roles"][place]]))

    for one in sorted(pairs):
        for other in pairs[one]:
            if one in exact or _alike(picture(one), picture(other)):
                how = "the same picture as" if one in exact else "nearly the same picture as"
                mine, theirs = (PICTURES[held["roles"][place]] for place in (one, other))
                yield (
                    f"{path}:{line_of[one]}: {mine} is held out, but {how} {theirs} in line {line_of[other]}, "
                    "which is to train on; remove one of the rows"
                )
                break


def _alike(first: Path, second: Path) -> bool:
    try:
        return alike(first, second)
    except PictureError:  # told already
        return False


def _at_most(path: Path, texts: Iterator[str], total: int) -> Iterator[str]:
    yield from islice(texts, MOST)
    if next(texts, None) is not None:
        yield f"{path}: {MOST:,} of up to {total:,} problems like this told"
