"""Which pictures to edit, and the file each result goes to; all of it is checked before a model is loaded."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from relation_adapter.errors import PictureError, UsageError
from relation_adapter.files import reason
from relation_adapter.images import WRITE_FORMATS, is_picture_name

SHOWN = 3
WEIGHTS_SUFFIX = ".safetensors"


def all_sources(given: Sequence[Path]) -> list[Path]:
    """The pictures to edit in the order given: a file is itself, a folder the pictures directly in it, each once.

    A file need not exist or be a picture: that is told when its turn comes. Raises PictureError on a folder that has no
    pictures or cannot be read.
    """
    found: dict[str, Path] = {}
    for source in given:
        for path in _pictures_in(source) if source.is_dir() else [source]:
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def plan_outputs(sources: Sequence[Path], given: Sequence[Path], out: Path, is_folder: bool) -> list[Path]:
    """The output file of every source.

    given: the sources as the user wrote them. is_folder: whether `out` was written as one (with a slash at its end).
    One picture goes to the file `out`, or into it where that is a folder or has no suffix; several go into the folder
    `out`, as PNG under the names of their sources. Raises UsageError or PictureError where this cannot be.
    """
    several = len(sources) > 1 or any(source.is_dir() for source in given)
    if not several and not is_folder and not out.is_dir() and out.suffix:
        if out.suffix.lower() not in WRITE_FORMATS:
            known = " ".join(WRITE_FORMATS)
            raise PictureError(f"{out}: cannot save as '{out.suffix}'; end the name in one of {known}")
        return [out]
    if several and out.suffix.lower() in WRITE_FORMATS and not is_folder and not out.is_dir():
        raise UsageError(f"--out {out} names one picture, but there are {len(sources)} sources; give a folder")
    if out.exists() and not out.is_dir():
        raise UsageError(
            f"--out {out} is a file; give a folder, or a name that ends in one of {' '.join(WRITE_FORMATS)}"
        )
    return [out / name for name in _names(sources)]


def check_file(out: Path, what: str, force: bool, also: str = "") -> None:
    """Refuse a file that is not called .safetensors, or that is there and may not be overwritten. Raises UsageError.

    also: another suffix that may be.
    """
    if out.suffix.lower() not in (WEIGHTS_SUFFIX, also or WEIGHTS_SUFFIX):
        ends = f"{WEIGHTS_SUFFIX} or {also}" if also else WEIGHTS_SUFFIX
        raise UsageError(f"--out {out}: {what} is a {ends} file; end the name in {ends}")
    if out.is_dir() or (os.path.lexists(out) and not force):
        raise UsageError(f"{out}: there already; --force overwrites a file")


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path], force: bool, skip: bool) -> None:
    """Refuse to write over a picture that is read, always, and over a result that exists, unless told to.

    Raises UsageError.
    """
    outputs = list(outputs)
    read = {os.path.realpath(path) for path in inputs}
    for output in outputs:
        if os.path.realpath(output) in read:
            raise UsageError(f"--out would overwrite {output}, which is read; choose another name or folder")
    existing = [output for output in outputs if os.path.lexists(output)]
    if existing and not force and not skip:
        shown = ", ".join(map(str, existing[:SHOWN])) + (
            f" and {len(existing) - SHOWN} more" if existing[SHOWN:] else ""
        )
        raise UsageError(f"{shown}: there already; --force overwrites, --skip-existing keeps and makes the others")


def make_folders(outputs: Iterable[Path]) -> None:
    """Create the folders of the outputs, so that a place that cannot be written shows before the work. UsageError."""
    for folder in {output.parent for output in outputs}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--out {folder}: cannot be created ({reason(error)}); choose another place") from error


def _pictures_in(folder: Path) -> list[Path]:
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise PictureError(f"{folder}: cannot be read ({reason(error)}); check its permissions") from error
    files = [path for path in files if is_picture_name(path) and not path.name.startswith(".") and not path.is_dir()]
    if not files:
        raise PictureError(f"{folder}: holds no pictures; give a folder with PNG, JPEG or WebP files in it")
    return files


def _names(sources: Sequence[Path]) -> list[str]:
    """`photo.png` for photo.jpg; `photo-jpg.png` where a photo of another kind has that name too. Raises UsageError."""
    # Folded: some file systems hold Photo.png and photo.png for one.
    stems = Counter(source.stem.casefold() for source in sources)
    names: dict[str, Path] = {}
    result = []
    for source in sources:
        kind = f"-{source.suffix[1:].lower()}" if stems[source.stem.casefold()] > 1 and source.suffix else ""
        name = f"{source.stem}{kind}.png"
        other = names.setdefault(name.casefold(), source)
        if other != source:
            raise UsageError(f"{other} and {source} would both be written as {name}; edit them into two folders")
        result.append(name)
    return result
