"""From any source to Pair JSONL and the pictures that it names; the same call again goes on where it was stopped."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from PIL import Image

from relation_adapter.data.ordered import in_order
from relation_adapter.data.pairs import PairRow, write_pairs
from relation_adapter.data.sources.found import PICTURES_NAME, SETTINGS_NAME, Found, Picture, Reader, Unusable
from relation_adapter.errors import PictureError, UsageError
from relation_adapter.files import locked_folder, reason, remove_parts, write_whole
from relation_adapter.images import READ_FORMATS, open_picture, quick_png

PAIRS_NAME = "pairs.jsonl"
# What systems refuse in the name of a file.
STRANGE = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f]')
SUFFIXES = {"JPEG": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}


@dataclass
class Imported:
    """What an import did: rows written, pictures made now and found there, and what could not be used."""

    rows: int = 0
    made: int = 0
    kept: int = 0
    unusable: int = 0
    tasks: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Placed:
    row: PairRow
    made: int
    kept: int


def import_pairs(
    source: Reader,
    folder: Path,
    settings: Mapping[str, object],
    bad: Callable[[str], None],
    workers: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> Imported:
    """Write the pairs of a source to `pairs.jsonl` in a folder, which appears once all are there.

    Glued pictures become two PNG files, pictures outside of `folder` are copied into it, others stay where they are.
    What cannot be used is told to `bad` in one line and left out. settings: what makes the result what it is; another
    import does not go into the same folder. Raises UsageError for that, and what the source or the disk raises.
    """
    done = Imported()
    with locked_folder(folder):
        _settle(folder, settings)
        write_pairs(folder / PAIRS_NAME, _rows(source, folder, done, bad, workers, progress))
    return done


def _rows(
    source: Reader, folder: Path, done: Imported, bad: Callable[[str], None], workers: int, progress: Callable[[], None]
) -> Iterator[PairRow]:
    for one in in_order(partial(_placed, folder, os.path.realpath(folder)), source, workers):
        progress()
        if isinstance(one, Unusable):
            done.unusable += 1
            bad(one.why)
            continue
        done.rows, done.made, done.kept = done.rows + 1, done.made + one.made, done.kept + one.kept
        if one.row.task is not None:
            done.tasks.add(one.row.task)
        yield one.row
    if not done.rows:
        raise UsageError("nothing that could be imported was found; check the place and its form (--form)")


def _settle(folder: Path, settings: Mapping[str, object]) -> None:
    """See to it that a folder never mixes two imports, and clear what a kill left."""
    path = folder / SETTINGS_NAME
    text = (json.dumps(settings, indent=2, ensure_ascii=False) + "\n").encode(errors="surrogateescape")
    try:
        begun = (folder / PAIRS_NAME).exists() or (folder / PICTURES_NAME).exists()
        if begun and path.exists() and path.read_bytes() != text:
            raise UsageError(f"{folder}: holds another import (see {SETTINGS_NAME}); choose another folder")
        if not path.exists() and (folder / PAIRS_NAME).exists():
            raise UsageError(f"{folder}: holds a {PAIRS_NAME} of another origin; choose another folder")
        for place, _, _ in os.walk(folder / PICTURES_NAME):
            remove_parts(Path(place))
        remove_parts(folder)
        write_whole(path, text)
    except OSError as error:
        raise _refused(path, error) from error


def _placed(folder: Path, real: str, one: Found | Unusable) -> _Placed | Unusable:
    """The row of a pair, its pictures in place."""
    if isinstance(one, Unusable):
        return one
    place = folder / PICTURES_NAME / _portable(one.name)
    try:
        if len(one.pictures) == 1:
            paths, made = _split(one, place)
        else:
            sides = zip(one.pictures, ("before", "after"), strict=True)
            both = [_own(one, picture, f"{place}-{side}", real) for picture, side in sides]
            paths, made = [path for path, _ in both], sum(new for _, new in both)
    except PictureError as error:
        return Unusable(f"{one.where}: {error}")
    texts = dict(one.texts)
    return _Placed(PairRow(*paths, **texts), made, 2 - made)  # type: ignore[arg-type]


def _portable(name: str) -> str:
    """A name that every system takes; where something had to go, a few letters keep it apart from others."""
    clean = "/".join(part.rstrip(" .") or "_" for part in STRANGE.sub("_", name).split("/"))
    return (
        clean if clean == name else f"{clean}-{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:8]}"
    )


def _split(one: Found, place: Path) -> tuple[list[Path], int]:
    """The halves of a glued picture as two files."""
    paths = [Path(f"{place}-{side}.png") for side in ("before", "after")]
    if all(_is_fresh(path, one.stamp) for path in paths):
        return paths, 0
    for half, path in zip(halves(_opened(one)), paths, strict=True):
        _write(path, quick_png(half))
    return paths, 2


def halves(glued: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Left and right of a picture, both of one size: the middle column of an odd width is in neither.

    Raises PictureError where it is one pixel wide.
    """
    width = glued.width // 2
    if width < 1:
        raise PictureError(f"{glued.width}x{glued.height} pixels: too narrow for two pictures; remove it")
    left = glued.crop((0, 0, width, glued.height))
    return left, glued.crop((glued.width - width, 0, glued.width, glued.height))


def _own(one: Found, picture: Picture, place: str, real: str) -> tuple[Path, bool]:
    """A picture of its own, where it lies if that is in the folder, else copied; and whether it was copied now."""
    if isinstance(picture, Path) and os.path.realpath(picture).startswith(os.path.join(real, "")):
        return picture, False
    suffix = picture.suffix.lower() if isinstance(picture, Path) else _suffix(picture)
    path = Path(f"{place}{suffix}")
    if _is_fresh(path, one.stamp):
        return path, False
    try:
        data = picture.read_bytes() if isinstance(picture, Path) else picture
    except OSError as error:
        raise PictureError(f"cannot be read ({reason(error)}); check its permissions") from error
    _write(path, data)
    return path, True


def _opened(one: Found) -> Image.Image:
    picture = one.pictures[0]
    if isinstance(picture, Path):
        return open_picture(picture)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture")
        path.write_bytes(picture)
        try:
            return open_picture(path)
        except PictureError as error:
            raise PictureError(str(error).removeprefix(f"{path}: ")) from error


def _suffix(data: bytes) -> str:
    Image.init()
    try:
        with Image.open(io.BytesIO(data), formats=[known for known in READ_FORMATS if known in Image.OPEN]) as image:
            known = image.format or ""
    except Exception as error:  # as in images.py: decoders raise almost anything on damaged bytes
        raise PictureError("not a picture in a known format; remove it") from error
    return SUFFIXES.get(known, f".{known.lower()}")


def _is_fresh(path: Path, stamp: int) -> bool:
    """Whether a file of an earlier call is there, and younger than what it is of."""
    try:
        return path.stat().st_mtime_ns >= stamp
    except OSError:
        return False


def _write(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data)
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> UsageError:
    """Of the disk, which the next pair would meet too: the import stops."""
    return UsageError(f"{path}: cannot be written ({reason(error)}); free some space and run the same again")
