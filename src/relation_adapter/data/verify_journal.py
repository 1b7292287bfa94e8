"""What `verify` has seen, kept beside the file, so that what has not changed since is not opened again."""

from __future__ import annotations

import json
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

Print = tuple[int, int, int]  # role, digest, dHash
AT_ONCE = 100  # rows that a kill may cost
_TABLE = """
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
CREATE TABLE IF NOT EXISTS seen (key TEXT PRIMARY KEY, problems TEXT, prints TEXT) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Seen:
    """What one row's pictures showed. key: of the row and its files' sizes and times. known: from an earlier call."""

    key: str
    problems: tuple[str, ...]
    prints: tuple[Print, ...]
    known: bool = False


class Journal:
    """Rows by key, wherever they now stand in their file.

    Where it cannot be kept (a folder that cannot be written, a full disk, another process that has it) there is none,
    which is no error.
    """

    def __init__(self, path: Path, fresh: bool = False) -> None:
        self._db: sqlite3.Connection | None = None
        self._added = 0
        with suppress(sqlite3.OperationalError, OSError):
            try:
                self._db = _opened(path, fresh)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                self._db = _opened(path, fresh=True)  # it is damaged, or of another form

    def known(self, key: str) -> Seen | None:
        """What was seen of a row with this key."""
        row = self._run("SELECT problems, prints FROM seen WHERE key = ?", key)
        if row is None:
            return None
        problems, prints = map(json.loads, row)
        return Seen(key, tuple(problems), tuple((role, digest, dhash) for role, digest, dhash in prints), known=True)

    def add(self, seen: Seen) -> None:
        """Keep what was seen of a row."""
        if not seen.known:
            values = (seen.key, json.dumps(seen.problems), json.dumps(seen.prints))
            self._run("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", *values)
            self._added += 1
            if self._added % AT_ONCE == 0:
                self._commit()

    def close(self) -> None:
        """Let go of the file."""
        self._commit()
        if self._db is not None:
            self._db.close()
            self._db = None

    def _run(self, what: str, *values: str) -> tuple[str, ...] | None:
        if self._db is not None:
            try:
                row: tuple[str, ...] | None = self._db.execute(what, values).fetchone()
                return row
            except sqlite3.Error:
                self._db = None
        return None

    def _commit(self) -> None:
        if self._db is not None:
            try:
                self._db.commit()
            except sqlite3.Error:
                self._db = None


def _opened(path: Path, fresh: bool) -> sqlite3.Connection:
    if fresh:
        path.unlink(missing_ok=True)
    db = sqlite3.connect(path, timeout=0)
    try:
        db.executescript(_TABLE)
    except sqlite3.Error:
        db.close()
        raise
    return db
