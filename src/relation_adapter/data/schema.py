"""The one file form of quads: JSONL, one object a line, picture paths relative to the file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from relation_adapter import stores
from relation_adapter.data.rows import (
    Links,
    inside,
    known_keys,
    lines,
    parsed,
    plain_text,
    shown,
    word,
    write_lines,
    written,
)
from relation_adapter.errors import QuadsError
from relation_adapter.files import reason

Category = Literal["low_level", "style", "editing", "customized"]
Split = Literal["train", "seen", "unseen"]

PICTURES = ("before", "after", "source", "target")
REQUIRED = ("before", "after", "source")
WORDS = {"category": get_args(Category), "split": get_args(Split)}
OURS = {name: name for name in (*PICTURES, "instruction", "task", "category", "split")}
# The run-ready form of gy8888/RelationAdapter: its key -> ours.
PUBLISHED = {"cond1": "before", "cond2": "after", "source": "source", "target": "target", "text": "instruction"}


@dataclass(frozen=True)
class Quad:
    """Before, after, source and, where it is known, target of one task; None where a field was not given."""

    before: Path
    after: Path
    source: Path
    target: Path | None = None
    instruction: str | None = None
    task: str | None = None
    category: Category | None = None
    split: Split | None = None


def read_quads(path: str | os.PathLike[str], with_pictures: bool = False) -> list[Quad]:
    """All quads of a JSONL file, their picture paths joined to the file's folder. Pictures are not opened.

    Reads our form and the published one (cond1, cond2, source, target, text), the latter also as one JSON array.
    A byte-order mark, blank lines and CRLF are fine. with_pictures: every picture must be there, so that a long run
    does not find out late. Raises QuadsError naming file:line, the value and the remedy.
    """
    return list(iter_quads(path, with_pictures))


def iter_quads(path: str | os.PathLike[str], with_pictures: bool = False, refuse_links: bool = False) -> Iterator[Quad]:
    """As `read_quads`, one by one. refuse_links: also those pictures that a link leads to out of the file's folder."""
    path, empty = Path(path), True
    links = Links(path.parent) if refuse_links else None
    try:
        with stores.opened(path) as file:
            is_array = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["
            file.seek(0)
            items = _array(path, file.read()) if is_array else lines(path, file)
            for where, item in items:
                empty = False
                quad = quad_row(where, item, path.parent, with_pictures)
                if links is not None:
                    for name, picture in pictures_of(quad):
                        links.check(f"{where}: {name}", picture)
                yield quad
    except OSError as error:
        raise QuadsError(f"{path}: cannot be read ({reason(error)}); give a JSONL file of quads") from error
    if empty:
        raise QuadsError(f"{path}: holds no quads; write one JSON object a line with {', '.join(REQUIRED)}")


def write_quads(path: str | os.PathLike[str], quads: Iterable[Quad]) -> int:
    """Write our form as the quads come, paths relative to the file's folder, whole or not at all; how many there were.

    Raises QuadsError when a picture lies outside of that folder or the disk refuses.
    """
    path = Path(path)
    rows = (written(quad, path, OURS) for quad in quads)
    return write_lines(path, ({name: value for name, value in row.items() if value is not None} for row in rows))


def _array(path: Path, data: bytes) -> Iterator[tuple[str, object]]:
    """(file: item number, parsed) of every item of a file that is one JSON array."""
    items = parsed(str(path), data.removeprefix(b"\xef\xbb\xbf"))
    if isinstance(items, list):
        for number, item in enumerate(items, start=1):
            yield f"{path}: item {number}", item


def quad_row(where: str, item: object, folder: Path, with_pictures: bool = False) -> Quad:
    """The quad of one parsed line; every field is checked here, at the door."""
    if not isinstance(item, dict):
        raise QuadsError(
            f'{where}: {shown(item)} is not an object; write {{"before": ..., "after": ..., "source": ...}}'
        )
    published = not item.keys().isdisjoint({"cond1", "cond2", "text"})
    names = PUBLISHED if published else OURS
    known_keys(where, item, names)
    values: dict[str, Any] = {}
    for key, field in names.items():
        value = item.get(key)
        if value is not None:
            values[field] = field_value(f"{where}: {key}", field, value, folder)
            if with_pictures and field in PICTURES and not values[field].is_file():
                raise QuadsError(f"{where}: {key} is {shown(value)}; {values[field]}: no such file; mend or remove it")
        elif field in REQUIRED:
            raise QuadsError(
                f"{where}: {key} is missing; every quad needs {', '.join(k for k in names if names[k] in REQUIRED)}"
            )
    return Quad(**values)


def pictures_of(row: object) -> Iterator[tuple[str, Path]]:
    """(field, path) of every picture that a row has."""
    for name in PICTURES:
        picture = getattr(row, name, None)
        if picture is not None:
            yield name, picture


def field_value(where: str, field: str, value: object, folder: Path) -> str | Path:
    """What a row holds in a field, its text checked. Raises QuadsError."""
    text = plain_text(where, value)
    if field in PICTURES:
        return folder / inside(where, text)
    return word(where, text, WORDS[field]) if field in WORDS else text
