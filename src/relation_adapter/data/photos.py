"""A folder of photos as the pictures that procedural quads are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import overload

import numpy as np

from relation_adapter.errors import PictureError
from relation_adapter.files import reason
from relation_adapter.images import is_picture_name, open_picture, resize
from relation_adapter.procedural.pixels import Picture

KEPT = 64  # photos held in memory; at 128 px each takes about 1 MB


@dataclass(frozen=True)
class Photos(Sequence[Picture]):
    """Photos by place, uint8 (H, W, 3), opened when asked for; the short side is at most `short` px.

    fingerprint: of their relative paths and bytes.
    """

    paths: tuple[Path, ...]
    short: int
    fingerprint: str

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, place: int) -> Picture: ...
    @overload
    def __getitem__(self, place: slice) -> list[Picture]: ...
    def __getitem__(self, place: int | slice) -> Picture | list[Picture]:
        if isinstance(place, slice):
            return [_opened(path, self.short) for path in self.paths[place]]
        return _opened(self.paths[place], self.short)


def find_photos(folder: Path, size: int, bad: Callable[[str], None]) -> Photos:
    """All photos in a folder and the folders in it, in the order of their relative paths, for quads of `size` px.

    Each is opened once: one that cannot be used is told to `bad`, in one line, and left out, so that a long run does
    not find out late. Hidden files are left out. Raises PictureError where none is left or the folder cannot be read.
    """
    found, sound = hashlib.sha256(), []
    for path in _picture_files(folder):
        try:
            open_picture(path)
            data = path.read_bytes()
        except (PictureError, OSError) as error:
            bad(str(error))
            continue
        name = path.relative_to(folder).as_posix()
        found.update(f"{name}\0{len(data)}\0".encode(errors="surrogateescape") + data)
        sound.append(path)
    if not sound:
        raise PictureError(f"{folder}: holds no pictures; give a folder with PNG, JPEG or WebP files in it")
    # A crop takes at least half of the short side, so it is never enlarged, and shrunk by two at least.
    return Photos(tuple(sound), 4 * size, found.hexdigest())


def _picture_files(folder: Path) -> list[Path]:
    try:
        if not folder.is_dir():
            raise PictureError(f"{folder}: no such folder; check the path")
        names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    except OSError as error:
        raise PictureError(f"{folder}: cannot be read ({reason(error)}); check its permissions") from error
    visible = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    paths = [names[name] for name in sorted(visible)]
    return [path for path in paths if is_picture_name(path) and path.is_file()]


@lru_cache(maxsize=KEPT)
def _opened(path: Path, short: int) -> Picture:
    image = open_picture(path)
    scale = short / min(image.size)
    if scale < 1:
        image = resize(image, (max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    picture: Picture = np.asarray(image)
    return picture
