"""What visitors drop: looked at before anything is made of it, kept under names of ours, and shown as small views."""

from __future__ import annotations

import io
import os
import re
import secrets
import shutil
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from relation_adapter.errors import InputError, PictureError, WeightsError
from relation_adapter.files import reason, write_whole
from relation_adapter.header import read_header
from relation_adapter.images import open_picture, resize
from relation_adapter.relation import Relation
from relation_adapter.web.limits import MIB, VIEW_SIDE, Limits
from relation_adapter.web.visits import Kept, Saved, Visit

VIEW_QUALITY = 90
RELATION_BYTES = 64 * MIB
RELATION_TOKENS = 4096  # of one relation; every token is read at every step
# A picture is decoded whole; many at once would fill the memory.
_DECODERS = threading.BoundedSemaphore(2)


def keep_picture(visit: Visit, path: Path, limits: Limits, name: str | None = None) -> Kept:
    """Keep a picture that was uploaded to `path`: checked, hardlinked or copied, with a view.

    name: what the visitor called it; default: the file's. Raises PictureError in that name, with nothing kept.
    """
    name = name or path.name
    if path.is_file() and path.stat().st_size > limits.upload_bytes:
        raise PictureError(f"{tidy(name)}: more than {limits.upload_mib} MiB, the most for one file here")
    with _DECODERS:
        picture = _named(open_picture, path, name, limits.pixels)
        view = small(picture)
    original = visit.folder / f"{secrets.token_hex(6)}{_suffix(path)}"
    _copy(path, original)
    return remember(visit, Path(tidy(name)).stem or "picture", original, view, picture.size)


def remember(visit: Visit, name: str, path: Path, view: Image.Image, size: tuple[int, int]) -> Kept:
    """Keep a picture whose file lies in the visit's folder already, with its view."""
    view_path = visit.folder / f"{secrets.token_hex(6)}.view.jpg"
    buffer = io.BytesIO()
    view.save(buffer, "JPEG", quality=VIEW_QUALITY)
    _write(view_path, buffer.getvalue())
    kept = Kept(name, path, view_path, size)
    visit.pictures[str(view_path)] = kept
    return kept


def keep_relation(visit: Visit, pipe: Any, path: Path, name: str | None = None) -> Saved:
    """Keep a relation file that was uploaded to `path`. Raises WeightsError in its name on one that cannot be used."""
    name = tidy(name or path.name)
    known = visit.saved.get(str(path))
    if known is not None:
        return known
    relation = _named(_open_relation, path, name, pipe)
    stem = Path(name).stem or "relation"
    copy = visit.folder / secrets.token_hex(6) / f"{stem}.safetensors"  # the page shows the file's name
    _copy(path, copy)
    visit.saved[str(path)] = visit.saved[str(copy)] = saved = Saved(stem, copy, relation)
    return saved


def small(picture: Image.Image, side: int = VIEW_SIDE) -> Image.Image:
    """The picture with sides of at most `side`."""
    scale = side / max(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(length * scale)) for length in picture.size)
    return resize(picture, (width, height))


def tidy(name: str) -> str:
    """A file's name that is safe anywhere: no folders, no control characters, not hidden, not long."""
    base = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    base = re.sub(r"[^\w .,()+-]", "_", base).strip(" .")
    stem, dot, suffix = base.rpartition(".")
    return f"{stem[:80]}.{suffix[:16]}" if dot else base[:80] or "picture"


def _open_relation(path: Path, pipe: Any) -> Relation:
    """A relation of this model, looked at by its header before its numbers are read."""
    if path.is_file() and path.stat().st_size > RELATION_BYTES:
        raise WeightsError(f"{path}: more than {RELATION_BYTES // MIB} MiB, too large for a relation")
    header = read_header(path)
    tokens = header.tensors.get("tokens", ("", ()))[1]
    if len(tokens) == 3 and tokens[1] > RELATION_TOKENS:
        raise WeightsError(f"{path}: {tokens[1]} tokens, more than {RELATION_TOKENS}, the most for a relation here")
    relation = Relation.load(path)
    pipe.check_relation(relation)
    return relation


def _named(function: Any, path: Path, name: str, *more: Any) -> Any:
    """Call a function of a path; what it says of the path it says of the name, and nothing of our folders."""
    try:
        return function(path, *more)
    except InputError as error:
        raise type(error)(str(error).replace(str(path), tidy(name))) from error


def _suffix(path: Path) -> str:
    """The suffix where it is a plain one."""
    return path.suffix.lower() if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", path.suffix) else ""


def _copy(source: Path, target: Path) -> None:
    """A second name for the same file, or a copy; the first may vanish. Raises InputError on a full disk."""
    with disk():
        target.parent.mkdir(exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)


def _write(path: Path, data: bytes) -> None:
    with disk():
        write_whole(path, data)


@contextmanager
def disk() -> Iterator[None]:
    """What the disk refuses, as one line for the visitor."""
    try:
        yield
    except OSError as error:
        raise InputError(f"this server cannot keep the file ({reason(error)}); try again later") from error


def write_picture(folder: Path, data: bytes) -> Path:
    """Write a PNG under a new name. Raises InputError on a full disk."""
    path = folder / f"{secrets.token_hex(6)}.png"
    _write(path, data)
    return path
