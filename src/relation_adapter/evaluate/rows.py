"""The rows of a batch on disk: `rows.jsonl`, appended to line by line and put in order at the end.

`metrics.json` beside it says how every column of scores was made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from io import FileIO
from pathlib import Path
from typing import Any

from relation_adapter import stores
from relation_adapter.data.schema import PICTURES, Quad
from relation_adapter.errors import InputError
from relation_adapter.evaluate.row_parts import Parts, read_parts, remove_row_parts
from relation_adapter.files import reason, write_whole

Row = dict[str, Any]

ROWS_NAME, HOW_NAME = "rows.jsonl", "metrics.json"


def read_rows(folder: str | os.PathLike[str], name: str = ROWS_NAME) -> list[Row]:
    """The rows of a folder in file order, without a last line torn by a kill. Raises InputError on other bad lines."""
    path = Path(folder) / name
    try:
        lines = (stores.read(path) if stores.address(path) is None else read_parts(path)).split(b"\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}); run the batch into this folder first") from error
    rows: list[Row] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line) if line.strip() else None
            if row is not None and not isinstance(row, dict):
                raise ValueError("not an object")
        except ValueError as error:
            if number == len(lines):
                break
            raise InputError(f"{path}:{number}: not a row ({reason(error)}); mend or remove this line") from error
        if row is not None:
            rows.append(row)
    return rows


def has_rows(folder: Path) -> bool:
    """Whether a batch was begun in a folder."""
    return any(name.startswith(ROWS_NAME) for name in stores.names(folder))


def latest_rows(folder: str | os.PathLike[str]) -> list[Row]:
    """One row a quad, of several lines the last, as a run that was killed leaves them. Raises as `read_rows`."""
    return list({row_key(row): row for row in read_rows(folder)}.values())


def absolute_rows(folder: str | os.PathLike[str]) -> list[Row]:
    """`latest_rows` with every picture's path made absolute, so that rows of several folders can be compared."""
    base = Path(os.path.realpath(folder))
    names = (*PICTURES, "output")
    return [
        row | {name: os.path.normpath(base / row[name]) for name in names if row.get(name)}
        for row in latest_rows(folder)
    ]


def row_key(row: Mapping[str, Any]) -> str:
    """Equal for two rows exactly if they are of the same quad, seed and model."""
    names = (*(field.name for field in fields(Quad)), "seed", "model")
    return json.dumps([row.get(name) for name in names])


def open_rows(folder: Path) -> FileIO | Parts:
    """The rows to append to. Raises InputError when the disk refuses."""
    try:
        if stores.address(folder) is not None:
            return Parts(folder / ROWS_NAME)
        # Unbuffered: a buffer that a full disk refused would be written, and refused, once more on close.
        return (folder / ROWS_NAME).open("ab", buffering=0)
    except OSError as error:
        raise _refused(folder / ROWS_NAME, error) from error


def append_row(file: FileIO | Parts, row: Row) -> None:
    """Add one line that survives a kill right after this call, or in a store (`row_parts`) soon after."""
    try:
        if isinstance(file, Parts):
            file.add(_encoded(row))
            return
        rest = memoryview(_encoded(row))
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    except OSError as error:
        raise _refused(Path(os.fsdecode(file.name)), error) from error


def write_rows(folder: Path, rows: Sequence[Row], name: str = ROWS_NAME) -> None:
    """All rows, whole or not at all. Raises InputError when the disk refuses."""
    try:
        write_whole(folder / name, b"".join(map(_encoded, rows)))
        remove_row_parts(folder / name)
    except OSError as error:
        raise _refused(folder / name, error) from error


def read_how(folder: Path) -> dict[str, str]:
    """How every column of a batch was made, as far as that is known. Raises InputError on a damaged file."""
    path = folder / HOW_NAME
    try:
        return dict(json.loads(stores.read(path))) if stores.is_file(path) else {}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}); remove it to score anew") from error


def add_how(folder: Path, how: Mapping[str, str]) -> None:
    """Say how some columns are made, beside what was said of others. Raises InputError."""
    text = json.dumps(read_how(folder) | dict(how), indent=1, ensure_ascii=False)
    try:
        write_whole(folder / HOW_NAME, text.encode() + b"\n")
    except OSError as error:
        raise InputError(f"{folder / HOW_NAME}: cannot be written ({reason(error)}); free some space") from error


def _encoded(row: Row) -> bytes:
    try:
        return (json.dumps(row, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:  # A file name, or a message that quotes one, may hold bytes that are no text.
        return (json.dumps(row) + "\n").encode()


def _refused(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be written ({reason(error)}); free some space and run the same again")
