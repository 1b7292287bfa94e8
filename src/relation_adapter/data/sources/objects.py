"""JSON objects out of a file of any size: an array, one a line, or with nothing but commas between them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from relation_adapter.data.rows import shown
from relation_adapter.data.sources.found import Unusable
from relation_adapter.errors import UsageError
from relation_adapter.files import reason

CHUNK = 65_536  # characters
LONGEST = 1_000_000  # characters of one object
BETWEEN = re.compile(r"[\s,\[\]\ufeff]*")
NEXT = re.compile(r"\n[\s,\[]*(?=\{)")


def json_objects(path: Path) -> Iterator[tuple[str, dict[str, object]] | Unusable]:
    """(file:line, object) one by one. What is no JSON is told, and reading goes on at the next object.

    Raises UsageError where the file cannot be read.
    """
    try:
        # Bytes that are no UTF-8 become surrogates here, which every text is checked for.
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            yield from _Objects(path, file)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({reason(error)}); check the path and its permissions") from error


class _Objects:
    """A window that moves over the text."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self.path, self.file = path, file
        self.text, self.place, self.line, self.ended = "", 0, 1, False
        self.decoder = json.JSONDecoder()

    def __iter__(self) -> Iterator[tuple[str, dict[str, object]] | Unusable]:
        while self._to_next_value():
            where = f"{self.path}:{self.line}"
            try:
                value, end = self._decoded()
            except (ValueError, RecursionError) as error:
                why = error.msg if isinstance(error, json.JSONDecodeError) else reason(error)
                start = shown(self.text[self.place : self.place + 60])
                yield Unusable(f"{where}: not valid JSON ({why}): {start}; mend or remove it")
                self._to_next_object()
                continue
            self._move(end)
            if isinstance(value, dict):
                yield where, value
            else:
                yield Unusable(f"{where}: {shown(value)} is not an object; mend or remove it")

    def _to_next_value(self) -> bool:
        while True:
            found = BETWEEN.match(self.text, self.place)
            self._move(found.end() if found else self.place)
            if self.place < len(self.text):
                return True
            if not self._read():
                return False

    def _decoded(self) -> tuple[object, int]:
        """The value at the place and where it ends. An object that is cut off by the window's end is read further."""
        while True:
            try:
                return self.decoder.raw_decode(self.text, self.place)
            except json.JSONDecodeError:
                if len(self.text) - self.place > LONGEST or not self._read():
                    raise

    def _to_next_object(self) -> None:
        while True:
            found = NEXT.search(self.text, self.place)
            if found:
                self._move(found.end())
                return
            self._move(max(self.place, len(self.text) - 1))
            if not self._read():
                self._move(len(self.text))
                return

    def _read(self) -> bool:
        more = "" if self.ended else self.file.read(CHUNK)
        self.ended = not more
        self.text, self.place = self.text[self.place :] + more, 0
        return bool(more)

    def _move(self, place: int) -> None:
        self.line += self.text.count("\n", self.place, place)
        self.place = place
