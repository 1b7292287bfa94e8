"""Hugging Face data sets, streamed: on the hub or in a folder, their columns mapped to the fields of a pair."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from relation_adapter.data.rows import shown
from relation_adapter.data.sources.found import TEXTS, Found, Reader, Unusable, texts_of
from relation_adapter.errors import MissingExtraError, QuadsError, UsageError
from relation_adapter.files import reason

PICTURES = ("before", "after", "glued")
# Columns that need no mapping, beside those of TEXTS.
USUAL = {"before": "before", "after": "after", "source": "before", "target": "after"}


def hub_datasets() -> Any:
    """The package `datasets`. Raises MissingExtraError."""
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(
            "Hugging Face data sets need a package more: pip install 'relation-adapter[datasets]'"
        ) from error
    return datasets


def read_hub(name: str, split: str = "train", columns: Mapping[str, str] | None = None) -> Reader:
    """The pairs of a data set's split. columns: our field -> their column; None: those with the names of ours.

    A pair has `before` and `after`, or `glued`, one column of pictures with both side by side. Raises UsageError.
    """
    datasets = hub_datasets()
    try:
        stream = datasets.load_dataset(name, split=split, streaming=True)
        known = list(stream.features or next(iter(stream)))
    except Exception as error:  # The package raises almost anything.
        raise UsageError(
            f"{name}: cannot be opened as a data set ({reason(error)}); check its name and split"
        ) from error
    mapping = _mapping(name, known, columns or {})
    for field in PICTURES:
        if field in mapping:
            stream = stream.cast_column(mapping[field], datasets.Image(decode=False))
    for number, row in enumerate(_rows(name, stream)):
        yield _pair(name, number, {field: row.get(column) for field, column in mapping.items()})


def _rows(name: str, stream: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    try:
        yield from stream
    except Exception as error:
        raise UsageError(f"{name}: broke off ({reason(error)}); run the same again to go on") from error


def _mapping(name: str, known: list[str], given: Mapping[str, str]) -> dict[str, str]:
    fields = {*PICTURES, *TEXTS.values()}
    for field, column in given.items():
        if field not in fields:
            raise UsageError(f"columns: no field is called {field!r}; use one of {', '.join(sorted(fields))}")
        if column not in known:
            raise UsageError(f"columns: {name} has no column {column!r}; it has {', '.join(known)}")
    usual = {field: column for column, field in (TEXTS | USUAL).items() if column in known}
    mapping = dict(given or usual)
    if ("glued" in mapping) == ({"before", "after"} <= mapping.keys()):
        raise UsageError(
            f"{name} has the columns {', '.join(known)}; say which are the pictures: --columns before=...,after=..., "
            "or --columns glued=... where one picture holds both"
        )
    return mapping


def _bytes(name: str, value: Any) -> bytes:
    """A picture that a row holds, or names within the data set itself: never another file or address. OSError."""
    if not isinstance(value, dict):
        raise OSError("empty")
    if value.get("bytes"):
        return bytes(value["bytes"])
    path = str(value.get("path"))
    if os.path.realpath(path).startswith(os.path.join(os.path.realpath(name), "")):
        return Path(path).read_bytes()
    if path.startswith(f"hf://datasets/{name}@"):
        import fsspec

        with fsspec.open(path) as file:
            return bytes(file.read())
    raise OSError(f"it names {shown(path)}, which is not in the data set")


def _pair(name: str, number: int, row: Mapping[str, Any]) -> Found | Unusable:
    where, pictures = f"{name}: row {number}", []
    for field in PICTURES:
        if field in row:
            try:
                pictures.append(_bytes(name, row[field]))
            except OSError as error:
                why = f"{where}: {field}: holds no picture ({reason(error)}); remove the row or map another column"
                return Unusable(why)
    try:
        texts = texts_of(where, row)
    except QuadsError as error:
        return Unusable(str(error))
    folder = re.sub(r"[^\w .-]", "_", texts.get("task", "")).strip(". ") or "rows"
    return Found(where, f"{folder}/{number:08d}", tuple(pictures), texts)
