"""The one file form of pairs: JSONL, one object a line, picture paths relative to the file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from relation_adapter.data.rows import Links, inside, known_keys, lines, plain_text, shown, word
from relation_adapter.data.schema import WORDS, Category, Split
from relation_adapter.errors import QuadsError
from relation_adapter.files import reason, writing_whole


@dataclass(frozen=True)
class PairRow:
    """Before and after of a task; None where a field is not known.

    instruction: what was done to this very picture. split: of the task or the picture, where it is given from outside.
    """

    before: Path
    after: Path
    task: str | None = None
    category: Category | None = None
    instruction: str | None = None
    before_description: str | None = None
    after_description: str | None = None
    split: Split | None = None


PICTURES = ("before", "after")
FIELDS = tuple(field.name for field in fields(PairRow))


def read_pairs(path: str | os.PathLike[str]) -> Iterator[PairRow]:
    """The pairs of a JSONL file one by one, their picture paths joined to the file's folder. Pictures are not opened.

    A byte-order mark, blank lines and CRLF are fine; null is a field that is not known. Raises QuadsError naming
    file:line, the value and the remedy: for a file that holds no pair, an unknown key, text of the wrong kind, an
    address, an absolute path, one that leaves the folder, also by a link.
    """
    for _, row in numbered_pairs(path):
        yield row


def numbered_pairs(path: str | os.PathLike[str]) -> Iterator[tuple[str, PairRow]]:
    """As `read_pairs`, each with its file:line."""
    path = Path(path)
    links, empty = Links(path.parent), True
    try:
        with path.open("rb") as file:
            for where, item in lines(path, file):
                empty = False
                yield where, pair_row(where, item, path.parent, links)
    except OSError as error:
        raise QuadsError(f"{path}: cannot be read ({reason(error)}); give a JSONL file of pairs") from error
    if empty:
        raise QuadsError(f"{path}: holds no pairs; write one JSON object a line with before, after")


def write_pairs(path: str | os.PathLike[str], rows: Iterable[PairRow]) -> int:
    """Write rows as they come, paths relative to the file's folder, whole or not at all; how many there were.

    Raises QuadsError when a picture lies outside of that folder or the disk refuses.
    """
    path, count = Path(path), 0
    try:
        with writing_whole(path) as part, part.open("wb") as file:
            for row in rows:
                file.write(pair_line(row, path))
                count += 1
    except OSError as error:
        raise QuadsError(
            f"{path}: cannot be written ({reason(error)}); free some space or choose another place"
        ) from error
    return count


def pair_line(row: PairRow, path: Path) -> bytes:
    """A row as one line of the file `path`, line end included."""
    values: dict[str, str | None] = {}
    for field in FIELDS:
        value = getattr(row, field)
        if isinstance(value, Path):
            relative = Path(os.path.relpath(value, path.parent)).as_posix()
            value = inside(f"{path}: {field}", relative)
        values[field] = value
    return (json.dumps(values, ensure_ascii=False) + "\n").encode()


def pair_row(where: str, item: object, folder: Path, links: Links | None = None) -> PairRow:
    """The row of one parsed line; every field is checked here, at the door."""
    if not isinstance(item, dict):
        raise QuadsError(f'{where}: {shown(item)} is not an object; write {{"before": ..., "after": ...}}')
    known_keys(where, item, FIELDS)
    for field in PICTURES:
        if item.get(field) is None:
            raise QuadsError(f"{where}: {field} is missing; every pair needs {', '.join(PICTURES)}")
    values: dict[str, Any] = {}
    for field, value in item.items():
        if value is not None:
            values[field] = _value(f"{where}: {field}", field, value, folder, links)
    return PairRow(**values)


def _value(where: str, field: str, value: object, folder: Path, links: Links | None) -> str | Path:
    text = plain_text(where, value)
    if field in PICTURES:
        picture = folder / inside(where, text)
        if links is not None:
            links.check(where, picture)
        return picture
    return word(where, text, WORDS[field]) if field in WORDS else text
