"""The one file form of pairs: JSONL, one object a line, picture paths relative to the file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from relation_adapter import stores
from relation_adapter.data.rows import Links, known_keys, lines, shown, write_lines, written
from relation_adapter.data.schema import Category, Split, field_value, pictures_of
from relation_adapter.errors import QuadsError
from relation_adapter.files import reason


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
    path = Path(path)
    links, empty = Links(path.parent), True
    try:
        with stores.opened(path) as file:
            for where, item in lines(path, file):
                empty = False
                row = pair_row(where, item, path.parent)
                for name, picture in pictures_of(row):
                    links.check(f"{where}: {name}", picture)
                yield row
    except OSError as error:
        raise QuadsError(f"{path}: cannot be read ({reason(error)}); give a JSONL file of pairs") from error
    if empty:
        raise QuadsError(f"{path}: holds no pairs; write one JSON object a line with before, after")


def write_pairs(path: str | os.PathLike[str], rows: Iterable[PairRow]) -> int:
    """Write rows as they come, paths relative to the file's folder, whole or not at all; how many there were.

    Raises QuadsError when a picture lies outside of that folder or the disk refuses.
    """
    path = Path(path)
    return write_lines(path, (pair_values(row, path) for row in rows))


def pair_values(row: PairRow, path: Path) -> dict[str, str | None]:
    """A row as a line of the file `path` holds it. Raises QuadsError when a picture lies outside of its folder."""
    return written(row, path, {field: field for field in FIELDS})


def pair_row(where: str, item: object, folder: Path) -> PairRow:
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
            values[field] = field_value(f"{where}: {field}", field, value, folder)
    return PairRow(**values)
