"""Pairs by task in a temporary file, so that as many as there are can be held out and turned in little memory."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from relation_adapter.data.pairs import PairRow
from relation_adapter.errors import UsageError

_TABLES = """
PRAGMA journal_mode = OFF;
CREATE TABLE pairs (
    task TEXT, draw BLOB, before TEXT, after TEXT, category TEXT, instruction TEXT, held INTEGER DEFAULT 0,
    PRIMARY KEY (task, draw)
) WITHOUT ROWID;
CREATE TABLE pictures (path TEXT PRIMARY KEY, uses INTEGER, closed INTEGER DEFAULT 0) WITHOUT ROWID;
"""
_USES = """
INSERT INTO pictures (path, uses)
SELECT path, count(*) FROM (SELECT before AS path FROM pairs UNION ALL SELECT after FROM pairs) GROUP BY path
"""
_JOINED = """
FROM pairs JOIN pictures AS b ON b.path = pairs.before JOIN pictures AS a ON a.path = pairs.after WHERE task = ?
"""
_TRAIN = _JOINED + "AND held = 0 AND b.closed = 0 AND a.closed = 0"
_FIELDS = "before, after, task, category, instruction"


class PairStore:
    """Pairs of tasks, each in the order of its draw: a new pair changes the order of no others. Doubles go.

    draw(task, before, after): a hash that places a pair among those of its task; paths relative to root.
    """

    def __init__(self, pairs: Iterable[PairRow], root: Path, draw: Callable[..., bytes]) -> None:
        self.root = root
        self._db = sqlite3.connect("")  # a file of its own that the system forgets with the process
        self._db.executescript(_TABLES)
        values = (_values(row, root, draw) for row in pairs)
        self._db.executemany(f"INSERT OR REPLACE INTO pairs ({_FIELDS}, draw) VALUES (?, ?, ?, ?, ?, ?)", values)
        self._db.execute(_USES)
        self.counts: dict[str, int] = dict(self._db.execute("SELECT task, count(*) FROM pairs GROUP BY task"))

    def hold_out(self, task: str, most: int) -> None:
        """Hold some pairs of a task out of training: those first whose pictures are used least elsewhere."""
        found = self._db.execute(
            f"SELECT draw, before, after {_JOINED} ORDER BY b.uses + a.uses, draw LIMIT ?", (task, most)
        ).fetchall()
        for place, (draw, before, after) in enumerate(found, start=1):
            self._db.execute("UPDATE pairs SET held = ? WHERE task = ? AND draw = ?", (place, task, draw))
            self._db.execute("UPDATE pictures SET closed = 1 WHERE path IN (?, ?)", (before, after))

    def count_tested(self, task: str) -> int:
        """How many pairs of a task are held out."""
        return self._count("FROM pairs WHERE task = ? AND held > 0", task)

    def count_train(self, task: str) -> int:
        """How many pairs of a task are not, and share no picture with one that is, of whatever task."""
        return self._count(_TRAIN, task)

    def tested(self, task: str) -> tuple[PairRow, ...]:
        """The pairs of a task that are held out."""
        return tuple(self._rows("FROM pairs WHERE task = ? AND held > 0 ORDER BY held", task))

    def train(self, task: str) -> tuple[PairRow, ...]:
        """Those that `count_train` counts."""
        return tuple(self._rows(f"{_TRAIN} ORDER BY draw", task))

    def _count(self, what: str, task: str) -> int:
        return int(self._db.execute(f"SELECT count(*) {what}", (task,)).fetchone()[0])

    def _rows(self, what: str, task: str) -> Iterator[PairRow]:
        for before, after, *rest in self._db.execute(f"SELECT {_FIELDS} {what}", (task,)):
            yield PairRow(self.root / before, self.root / after, *rest)


def _values(row: PairRow, root: Path, draw: Callable[..., bytes]) -> tuple[str | bytes | None, ...]:
    if row.task is None:
        raise UsageError(f"{row.before}: its task is not known; only pairs of a task make quads, so name it first")
    before, after = (Path(os.path.relpath(picture, root)).as_posix() for picture in (row.before, row.after))
    return before, after, row.task, row.category, row.instruction, draw(row.task, before, after)
