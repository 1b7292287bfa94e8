"""The journal of questions: appended to, never rewritten, so that a kill loses nothing that was answered.

One JSON object a line. `asked` before every request, then what came of it: `again` (to be asked once more), or one of
`answered`, `refused`, `bad`, which are final. Of a line the memory holds its place only.
"""

from __future__ import annotations

import json
import os
import threading
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from relation_adapter import stores
from relation_adapter.errors import InputError, UsageError
from relation_adapter.files import locked_folder, reason
from relation_adapter.vlm.spending import Spent, Stopped

NAME = "answers.jsonl"
FINAL = ("answered", "refused", "bad")


@contextmanager
def open_journal(folder: Path, writing: bool = True) -> Iterator[Journal]:
    """The journal of a folder, which nobody else may then write to. writing: False opens it to read, if it is there.

    Raises InputError for a file that is no journal, and UsageError where another process has it.
    """
    if stores.address(folder) is not None:
        raise UsageError(
            f"{folder}: a journal is appended to, which a store knows not; give --answers a folder on a disk"
        )
    if not writing:
        yield Journal(folder / NAME, writing=False)
        return
    with locked_folder(folder):
        journal = Journal(folder / NAME, writing=True)
        try:
            yield journal
        finally:
            journal.close()


class Places:
    """Where the line of each key begins: 16 bytes a slot, a tenth of what a dict of numbers takes.

    Of a key the first 64 bits are held: whoever reads the line looks whether it is the right one.
    """

    def __init__(self, slots: int = 1024) -> None:
        self._keys, self._places, self._count = array("Q", bytes(8 * slots)), array("Q", bytes(8 * slots)), 0

    def get(self, key: str) -> int | None:
        """The place, if there is one."""
        slot = self._slot(_number(key))
        return self._places[slot] if self._keys[slot] else None

    def set(self, key: str, place: int) -> None:
        """Keep a place, instead of an earlier one."""
        if 2 * self._count >= len(self._keys):
            self._grow()
        self._put(_number(key), place)

    def _put(self, number: int, place: int) -> None:
        slot = self._slot(number)
        self._count += not self._keys[slot]
        self._keys[slot], self._places[slot] = number, place

    def _slot(self, number: int) -> int:
        """The one of this number, or the free one that it would get."""
        last = len(self._keys) - 1
        slot = number & last
        while self._keys[slot] not in (0, number):
            slot = (slot + 1) & last
        return slot

    def _grow(self) -> None:
        larger = Places(2 * len(self._keys))
        for number, place in zip(self._keys, self._places, strict=True):
            if number:
                larger._put(number, place)
        self._keys, self._places = larger._keys, larger._places


def _number(key: str) -> int:
    return int(key[:16], 16) or 1


class Journal:
    """Events by question. spent: by all of them. usual: (answers, what they cost) by prompt hash and model."""

    def __init__(self, path: Path, writing: bool) -> None:
        self.path, self.spent = path, Spent()
        self._usual: dict[tuple[str, str], tuple[int, Spent]] = defaultdict(lambda: (0, Spent()))
        self._places = Places()
        self._lock, self._broken = threading.Lock(), False
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND if writing else os.O_RDONLY
        try:
            self._file = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)
        except FileNotFoundError:
            self._file = -1
            return
        except OSError as error:
            raise InputError(f"{path}: cannot be opened ({reason(error)}); choose another folder") from error
        self._end = self._read()
        if writing:
            os.ftruncate(self._file, self._end)  # A last line that a kill cut short is no answer.

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._broken = True
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def final(self, key: str) -> dict[str, Any] | None:
        """What a question came to, the latest where there are several; None while it has come to nothing."""
        with self._lock:
            place = self._places.get(key)
            row = None if place is None else _parsed(self.path, self._line_at(place))
        return row if row is not None and row["key"] == key else None

    def usual(self, prompt: str, model: str) -> tuple[int, Spent]:
        """How many questions of this prompt (its hash) the model has answered, and what these cost together."""
        return self._usual[prompt, model]

    def add(self, event: str, key: str, **more: Any) -> None:
        """Append one line; it is on the disk when this returns (of `asked`: with the next). Raises InputError.

        Raises Stopped once the journal is closed, or was refused by the disk.
        """
        row = {"event": event, "key": key, **more}
        data = (json.dumps(row, ensure_ascii=False) + "\n").encode(errors="surrogateescape")
        with self._lock:
            if self._broken:
                raise Stopped
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(self._file, rest) :]
                if event != "asked":
                    os.fsync(self._file)
            except OSError as error:
                self._broken = True  # A line is torn now; one more would hang on to it.
                raise InputError(
                    f"{self.path}: cannot be written ({reason(error)}); free some space and run the same again"
                ) from error
            self._note(row, self._end)
            self._end += len(data)

    def _read(self) -> int:
        """Take in every whole line; where they end."""
        end = 0
        with open(os.dup(self._file), "rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                self._note(_parsed(f"{self.path}:{number}", line), end)
                end += len(line)
        return end

    def _note(self, row: Mapping[str, Any], place: int) -> None:
        event = row["event"]
        if event == "asked":
            self.spent += Spent(requests=1)
            return
        cost = Spent(0, row.get("input_tokens") or 0, row.get("output_tokens") or 0)
        self.spent += cost
        if event in FINAL:
            self._places.set(row["key"], place)
        if event == "answered":
            kind = (row["prompt"]["sha256"], row["model"])
            count, total = self._usual[kind]
            self._usual[kind] = (count + 1, total + cost)

    def _line_at(self, place: int) -> bytes:
        data = b""
        while b"\n" not in data:
            os.lseek(self._file, place + len(data), os.SEEK_SET)
            more = os.read(self._file, 4096)
            if not more:
                raise InputError(f"{self.path}: became shorter while it was read; let one process at a time use it")
            data += more
        return data[: data.index(b"\n") + 1]


def _parsed(where: object, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
        int(row["key"], 16), row["event"]
        if row["event"] == "answered":
            row["values"], row["prompt"]["sha256"], row["model"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{where}: not a line of a journal ({reason(error)}); mend or remove this line") from error
    return dict(row)
