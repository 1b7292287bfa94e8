"""The forms that pairs come in, by name, and which of them a place has."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from relation_adapter.data.sources.folders import SIDE, read_folders
from relation_adapter.data.sources.found import Reader, folders_in
from relation_adapter.data.sources.labels import NAMES, read_labels
from relation_adapter.data.sources.run_ready import read_run_ready
from relation_adapter.data.sources.shards import SUFFIXES, read_shards
from relation_adapter.errors import UsageError
from relation_adapter.files import reason
from relation_adapter.images import is_picture_name

LocalForm = Literal["labels", "run-ready", "folders", "webdataset"]
LOCAL = get_args(LocalForm)
HUB = "datasets"
READERS = {"labels": read_labels, "run-ready": read_run_ready, "folders": read_folders, "webdataset": read_shards}


def form_of(path: Path) -> LocalForm:
    """The form of what lies at a place, by the names of its files. Raises UsageError where it has none."""
    if path.is_file():
        if path.name.endswith(SUFFIXES):
            return "webdataset"
        if path.suffix in (".json", ".jsonl"):
            return "run-ready"
        raise UsageError(f"{path}: no form of pairs is known by this name; give a folder, .json, .jsonl or .tar")
    for folder, names in folders_in(path):
        if set(NAMES) & set(names):
            return "labels"
        if any(name.endswith(SUFFIXES) for name in names):
            return "webdataset"
        stems = [Path(name).stem for name in filter(is_picture_name, names)]
        if folder.name.lower() == "before" or any(map(SIDE.fullmatch, stems)):
            return "folders"
    raise UsageError(
        f"{path}: holds no labels.json, no *_before and *_after pictures, no before/ and after/ folders and no .tar; "
        "name its form with --form"
    )


def read_form(path: Path, form: LocalForm) -> Reader:
    """The pairs of a place on disk. Raises UsageError where it is not there, or a file in place of a folder."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; check the path, or use --form {HUB} for one on the hub")
    wants_file = form == "run-ready"
    if form != "webdataset" and path.is_file() != wants_file:
        raise UsageError(f"{path}: form {form} is read from a {'file' if wants_file else 'folder'}; give one")
    return _guarded(READERS[form](path))


def _guarded(reader: Reader) -> Reader:
    try:
        yield from reader
    except OSError as error:
        raise UsageError(f"{error.filename}: cannot be read ({reason(error)}); check its permissions") from error
