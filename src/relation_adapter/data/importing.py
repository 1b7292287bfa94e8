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
from typing import Any

from PIL import Image

from relation_adapter.data.ordered import in_order
from relation_adapter.data.pairs import PairRow, pair_values, write_pairs
from relation_adapter.data.rows import plain_text, word
from relation_adapter.data.schema import WORDS
from relation_adapter.data.sources.found import PICTURES_NAME, SETTINGS_NAME, Found, Picture, Reader, Unusable
from relation_adapter.errors import PictureError, QuadsError, UsageError
from relation_adapter.files import locked_folder, reason, remove_parts, write_whole
from relation_adapter.images import READ_FORMATS, open_picture, quick_png

PAIRS_NAME = "pairs.jsonl"
# What systems refuse in the name of a file, and bytes that are no text.
STRANGE = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f\ud800-\udfff]')
LONGEST = 100  # bytes of a file's name, or of a folder's; most systems take 255
SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}
KEPT = 1000  # ns, to which most disks keep the time of a file


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
    given: Mapping[str, str] | None = None,
) -> Imported:
    """Write the pairs of a source to `pairs.jsonl` in a folder, which appears once all are there.

    Glued pictures become two PNG files, pictures outside of `folder` are copied into it, others stay where they are.
    What cannot be used is told to `bad` in one line and left out. given: task, category or split of all pairs, whatever
    the source says. settings: what else makes the result what it is; another import does not go into the same folder.
    Raises UsageError for that, and what the source or the disk raises.
    """
    done, given = Imported(), given or {}
    with locked_folder(folder):
        _settle(folder, {**settings, **given})
        placed = in_order(partial(_placed, folder, os.path.realpath(folder), given), source, workers)
        write_pairs(folder / PAIRS_NAME, _rows(placed, done, bad, progress))
    return done


def _rows(
    placed: Iterator[_Placed | Unusable], done: Imported, bad: Callable[[str], None], progress: Callable[[], None]
) -> Iterator[PairRow]:
    for one in placed:
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


def _placed(folder: Path, real: str, given: Mapping[str, str], one: Found | Unusable) -> _Placed | Unusable:
    """The row of a pair, its pictures in place."""
    if isinstance(one, Unusable):
        return one
    place = folder / PICTURES_NAME / _portable(_name(one))
    try:
        texts = _checked(one.where, {**one.texts, **given})
        if len(one.pictures) == 1:
            paths, made = _split(one, place)
        else:
            sides = zip(one.pictures, ("before", "after"), strict=True)
            both = [_own(one, picture, f"{place}-{side}", real) for picture, side in sides]
            paths, made = [path for path, _ in both], sum(new for _, new in both)
        row = PairRow(before=paths[0], after=paths[1], **texts)
        pair_values(row, folder / PAIRS_NAME)
    except PictureError as error:
        return Unusable(f"{one.where}: {error}")
    except QuadsError as error:
        return Unusable(str(error))
    return _Placed(row, made, 2 - made)


def _checked(where: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """Texts that any file can hold, and words that are known. Raises QuadsError."""
    for name, text in texts.items():
        plain_text(f"{where}: {name}", text)
        if name in WORDS:
            word(f"{where}: {name}", text, WORDS[name])
    return dict(texts)


def _name(one: Found) -> str:
    """Of its pictures. Those that come as bytes are known by them: a source that changed never meets its old files."""
    found = hashlib.sha256()
    for picture in one.pictures:
        if isinstance(picture, Path):
            return one.name
        found.update(picture)
    return f"{one.name}-{found.hexdigest()[:8]}"


def _portable(name: str) -> str:
    """A name that every system takes; where something had to go, a few letters keep it apart from others."""
    short = (part.encode()[:LONGEST].decode(errors="ignore") for part in STRANGE.sub("_", name).split("/"))
    clean = "/".join(part.rstrip(" .") or "_" for part in short)
    return (
        clean if clean == name else f"{clean}-{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:8]}"
    )


def _split(one: Found, place: Path) -> tuple[list[Path], int]:
    """The halves of a glued picture as two files."""
    paths = [Path(f"{place}-{side}.png") for side in ("before", "after")]
    if all(_is_fresh(path, one.stamp) for path in paths):
        return paths, 0
    for half, path in zip(halves(_opened(one)), paths, strict=True):
        _write(path, quick_png(half), one.stamp)
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
    _write(path, data, one.stamp)
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
    """Whether a file of an earlier call is there, and of the same time as what it is of.

    Not just younger: a picture unpacked over another is often older than the import of that.
    """
    try:
        time = path.stat().st_mtime_ns
        return stamp == 0 or time // KEPT == stamp // KEPT
    except OSError:
        return False


def _write(path: Path, data: bytes, stamp: int) -> None:
    try:
        write_whole(path, data)
        if stamp:
            os.utime(path, ns=(stamp, stamp))
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> UsageError:
    """Of the disk, which the next pair would meet too: the import stops."""
    return UsageError(f"{path}: cannot be written ({reason(error)}); free some space and run the same again")
