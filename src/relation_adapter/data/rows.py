"""Rows of JSONL, read strictly: bounded lines, plain text, paths that stay in the file's folder."""

from __future__ import annotations

import difflib
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from relation_adapter.errors import QuadsError
from relation_adapter.files import reason, writing_whole

MAX_LINE_BYTES = 1_000_000


def lines(path: Path, file: BinaryIO) -> Iterator[tuple[str, object]]:
    """(file:line, parsed) of every line that is not blank."""
    for number in itertools.count(1):
        # A bounded read: a wrong file without line ends must not fill the memory.
        line = file.readline(MAX_LINE_BYTES + 1)
        if not line:
            return
        where = f"{path}:{number}"
        if len(line) > MAX_LINE_BYTES:
            raise QuadsError(f"{where}: longer than {MAX_LINE_BYTES:,} bytes; write one object a line")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip():
            yield where, parsed(where, line)


def write_lines(path: Path, items: Iterable[Mapping[str, object]]) -> int:
    """Write objects as they come, one a line, whole or not at all; how many there were.

    Raises QuadsError when the disk refuses.
    """
    count = 0
    try:
        with writing_whole(path) as part, part.open("wb") as file:
            for item in items:
                file.write((json.dumps(item, ensure_ascii=False) + "\n").encode())
                count += 1
    except OSError as error:
        raise QuadsError(
            f"{path}: cannot be written ({reason(error)}); free some space or choose another place"
        ) from error
    return count


def written(row: object, path: Path, names: Mapping[str, str]) -> dict[str, str | None]:
    """A row as a line of the file `path` holds it, its pictures relative to that. names: key -> field of the row.

    Raises QuadsError when a picture lies outside of the file's folder, or its name is no text.
    """
    values: dict[str, str | None] = {}
    for key, field in names.items():
        value = getattr(row, field)
        if isinstance(value, Path):
            value = inside(f"{path}: {key}", Path(os.path.relpath(value, path.parent)).as_posix())
        values[key] = value if value is None else plain_text(f"{path}: {key}", value)
    return values


def parsed(where: str, data: bytes) -> object:
    """The JSON value of some bytes."""
    try:
        return json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise QuadsError(f"{where}: byte {error.start + 1} is not UTF-8; save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        start = shown(data[:60].decode(errors="replace").strip())
        raise QuadsError(f"{where}: not valid JSON ({reason(error)}): {start}; mend or remove it") from error


def plain_text(where: str, value: object) -> str:
    """The value, once it is known to be text that any file or screen can hold."""
    if not isinstance(value, str):
        raise QuadsError(f"{where} is {shown(value)}; it must be text")
    if any(0xD800 <= ord(character) <= 0xDFFF or character == "\0" for character in value):
        raise QuadsError(f"{where} is {shown(value)}, which holds characters that are no text; write plain Unicode")
    return value


def word(where: str, value: str, allowed: Iterable[str]) -> str:
    """The value, once it is known to be one of the words allowed."""
    if value not in (allowed := tuple(allowed)):
        raise QuadsError(f"{where} is {shown(value)}; {did_you_mean(value, allowed)}")
    return value


def known_keys(where: str, item: Mapping[str, object], allowed: Iterable[str]) -> None:
    """Refuse a key that is not one of those allowed."""
    allowed = tuple(allowed)
    for key in item:
        if key not in allowed:
            raise QuadsError(f"{where}: unknown key {shown(key)}; {did_you_mean(key, allowed)}")


def inside(where: str, value: str) -> str:
    """The path unchanged, once it is known to stay in the file's folder on every system."""
    if re.match(r"[a-z][a-z0-9+.-]*://|(data|file):", value, re.IGNORECASE):
        raise QuadsError(f"{where} is {shown(value)}, an address; download the picture and write its path")
    windows = PureWindowsPath(value)
    if PurePosixPath(value).is_absolute() or windows.drive or windows.root:
        raise QuadsError(f"{where} is {shown(value)}, an absolute path; write it relative to this file")
    depth = 0
    for part in windows.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            raise QuadsError(
                f"{where} is {shown(value)}, outside of the file's folder; move the file above its pictures"
            )
    if depth == 0:
        raise QuadsError(f"{where} is {shown(value)}, which names no file; write the path of a picture")
    return value


class Links:
    """Tells pictures that symbolic links lead out of a folder. Folders are looked at once."""

    def __init__(self, folder: Path) -> None:
        self.root = os.path.realpath(folder)
        self.known: dict[str, str] = {}

    def check(self, where: str, path: Path) -> None:
        """Raise QuadsError where the path, once its links are followed, lies outside."""
        parent, name = os.path.split(path)
        if parent not in self.known:
            self.known[parent] = os.path.realpath(parent)
        real = os.path.realpath(path) if os.path.islink(path) else os.path.join(self.known[parent], name)
        if not real.startswith(os.path.join(self.root, "")):
            raise QuadsError(f"{where}: {path} is a link out of the file's folder; copy the picture into it")


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """The remedy for a word that is not one of those allowed."""
    near = difflib.get_close_matches(word, allowed := tuple(allowed), n=1)
    return f"did you mean '{near[0]}'?" if near else f"use one of {', '.join(allowed)}"


def shown(value: object) -> str:
    """A value as one short line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
