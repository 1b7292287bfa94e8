"""What `verify` has seen, kept beside the file, so that what has not changed since is not opened again."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

Print = tuple[int, int, int]  # role, digest, dHash


@dataclass(frozen=True)
class Seen:
    """What one row's pictures showed. key: of the row and its files' sizes and times. known: from an earlier call."""

    key: str
    problems: tuple[str, ...]
    prints: tuple[Print, ...]
    known: bool = False


class Journal:
    """Lines in the order of the rows, read along with them, and written anew from the first one that differs.

    A kill costs the line it was in. In a folder that cannot be written there is none, which is no error.
    """

    def __init__(self, path: Path, fresh: bool = False) -> None:
        self.file: BinaryIO | None = None
        with suppress(OSError):
            self.file = path.open("r+b" if path.exists() and not fresh else "w+b")
        self.good = 0  # where the last line ends that still holds
        self.reading = self.file is not None

    def known(self, key: str) -> Seen | None:
        """What was seen of the next row, where it has this key; asked row after row."""
        if self.file is None or not self.reading:
            return None
        line = self.file.readline()
        try:
            held = json.loads(line)
            if line.endswith(b"\n") and held["key"] == key:
                self.good += len(line)
                prints = tuple((role, digest, dhash) for role, digest, dhash in held["prints"])
                return Seen(key, tuple(held["problems"]), prints, known=True)
        except (ValueError, TypeError, KeyError):
            pass
        self.reading = False
        return None

    def add(self, seen: Seen) -> None:
        """Keep what was seen of a row that was not known; row after row."""
        if self.file is None or seen.known:
            return
        line = json.dumps({"key": seen.key, "problems": seen.problems, "prints": seen.prints}).encode() + b"\n"
        with suppress(OSError):
            self.file.seek(self.good)
            self.file.write(line)
            self.file.truncate()
            self.good += len(line)

    def close(self) -> None:
        """Let go of the file."""
        if self.file is not None:
            with suppress(OSError):
                self.file.close()
