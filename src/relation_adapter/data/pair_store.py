"""Pairs by task in a temporary file, so that as many as there are can be held out and turned in little memory."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from relation_adapter.data.pairs import PairRow
from relation_adapter.errors import UsageError

RECENT = 256  # pictures whose content is remembered
_TABLES = """
PRAGMA journal_mode = OFF;
CREATE TABLE pairs (
    task TEXT, draw BLOB, before TEXT, after TEXT, category TEXT, instruction TEXT, split TEXT, seen BLOB, made BLOB,
    held INTEGER DEFAULT 0, PRIMARY KEY (task, draw)
) WITHOUT ROWID;
CREATE TABLE pictures (content BLOB PRIMARY KEY, uses INTEGER, closed INTEGER DEFAULT 0) WITHOUT ROWID;
"""
_USES = """
INSERT INTO pictures (content, uses)
SELECT content, count(*) FROM (SELECT seen AS content FROM pairs UNION ALL SELECT made FROM pairs) GROUP BY content
"""
_JOINED = """
FROM pairs JOIN pictures AS b ON b.content = seen JOIN pictures AS a ON a.content = made WHERE task = ?
"""
_TRAIN = _JOINED + "AND held = 0 AND b.closed = 0 AND a.closed = 0"
_HELD = f"""
SELECT draw, seen, made {_JOINED} AND split IS NOT 'train' ORDER BY split IS NULL, b.uses + a.uses, draw
LIMIT max(?, (SELECT count(*) FROM pairs WHERE task = ? AND split IS NOT NULL AND split != 'train'))
"""
_FIELDS = "before, after, task, category, instruction, split"


class PairStore:
    """Pairs of tasks, each in the order of its draw: a new pair changes the order of no others. Doubles go.

    draw(task, before, after): a hash that places a pair among those of its task; paths relative to root. counts: pairs
    by task; doubles: rows beyond them. given: the splits that rows of a task name, by task.
    """

    def __init__(self, pairs: Iterable[PairRow], root: Path, draw: Callable[..., bytes]) -> None:
        self.root = root
        self._db = sqlite3.connect("")  # a file of its own that the system forgets with the process
        self._db.executescript(_TABLES)
        content = lru_cache(maxsize=RECENT)(_content)
        values = (_values(row, root, draw, content) for row in pairs)
        added = self._db.executemany(
            f"INSERT OR REPLACE INTO pairs ({_FIELDS}, draw, seen, made) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        self._db.execute(_USES)
        self.counts: dict[str, int] = dict(self._db.execute("SELECT task, count(*) FROM pairs GROUP BY task"))
        self.doubles = added.rowcount - sum(self.counts.values())
        self.given: dict[str, set[str]] = {}
        for task, split in self._db.execute("SELECT DISTINCT task, split FROM pairs WHERE split IS NOT NULL"):
            self.given.setdefault(task, set()).add(split)

    def hold_out(self, task: str, most: int) -> None:
        """Hold pairs of a task out of training: all that are given so, then those whose pictures are used least."""
        found = self._db.execute(_HELD, (task, most, task)).fetchall()
        for place, (draw, *contents) in enumerate(found, start=1):
            self._db.execute("UPDATE pairs SET held = ? WHERE task = ? AND draw = ?", (place, task, draw))
            self._db.execute("UPDATE pictures SET closed = 1 WHERE content IN (?, ?)", contents)

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
        for before, after, name, category, instruction, split in self._db.execute(f"SELECT {_FIELDS} {what}", (task,)):
            yield PairRow(self.root / before, self.root / after, name, category, instruction, split=split)


def _values(
    row: PairRow, root: Path, draw: Callable[..., bytes], content: Callable[[Path], bytes]
) -> tuple[str | bytes | None, ...]:
    if row.task is None:
        raise UsageError(f"{row.before}: its task is not known; only pairs of a task make quads, so name it first")
    before, after = (Path(os.path.relpath(picture, root)).as_posix() for picture in (row.before, row.after))
    drawn = draw(row.task, before, after)
    texts = (row.task, row.category, row.instruction, row.split)
    return before, after, *texts, drawn, content(row.before), content(row.after)


def _content(path: Path) -> bytes:
    """What a picture is known by: the same one may lie in several places, as where pairs were glued."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return str(path).encode(errors="surrogateescape")
