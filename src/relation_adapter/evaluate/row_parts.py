"""Rows in a store that knows no appending: beside `rows.jsonl` lie parts, each of some rows, until all are one file.

The last part is put there again with what has come since, at most once in INTERVAL, until it is as large as a part may
be. A kill loses the rows of that time, which are then made again.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from relation_adapter import stores

INTERVAL = 1.0  # seconds
PART_BYTES = 256_000


class Parts:
    """What `rows.jsonl` is appended to by, in a store; leaving the block puts what has not been put yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = max((_number(one) for one in _parts(path)), default=-1) + 1
        self._held, self._is_put, self._at = b"", True, 0.0

    @property
    def name(self) -> str:
        """Of the file that the parts will be."""
        return str(self._path)

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_: object) -> None:
        self._put()

    def add(self, line: bytes) -> None:
        """Add a row. Raises OSError."""
        self._held += line
        self._is_put = False
        if time.monotonic() >= self._at + INTERVAL or len(self._held) >= PART_BYTES:
            self._put()
            self._at = time.monotonic()

    def _put(self) -> None:
        if self._is_put:
            return
        stores.put(self._path.with_name(f"{self._path.name}.part{self._number:06d}"), self._held)
        self._is_put = True
        if len(self._held) >= PART_BYTES:
            self._number, self._held = self._number + 1, b""


def read_parts(path: Path) -> bytes:
    """The file, and after it its parts. Raises OSError where there is neither."""
    parts = _parts(path)
    whole = stores.read(path) if not parts or stores.is_file(path) else b""
    return whole + b"".join(map(stores.read, parts))


def remove_row_parts(path: Path) -> None:
    """Remove the parts, where the file lies in a store. Raises OSError."""
    if stores.address(path) is not None:
        for part in _parts(path):
            stores.remove(part)


def _parts(path: Path) -> list[Path]:
    names = stores.names(path.parent)
    found = [name for name in names if re.fullmatch(re.escape(path.name) + r"\.part\d{6,}", name)]
    return sorted((path.with_name(name) for name in found), key=_number)


def _number(part: Path) -> int:
    return int(part.name.rpartition("part")[2])
