"""A pair as a model of language and vision sees it: side by side, as in the paper's own annotation (its figure 9)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from relation_adapter import stores
from relation_adapter.contact_sheet import contact_sheet
from relation_adapter.errors import PictureError
from relation_adapter.files import reason
from relation_adapter.images import Size, open_picture, resize

# Part of what identifies what is shown: to be changed with what it looks like.
STRIP, SHEET = "strip 1", "sheet 1"


def strip(before: Image.Image, after: Image.Image, side: int) -> Image.Image:
    """Before on the left, after on the right, of one height and without a gap; no side of either is over `side`."""
    left, right = strip_sizes(before.size, after.size, side)
    return glue(resize(before, left), resize(after, right))


def glue(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two pictures of one height side by side."""
    glued = Image.new("RGB", (left.width + right.width, left.height))
    glued.paste(left, (0, 0))
    glued.paste(right, (left.width, 0))
    return glued


def strip_sizes(before: Size, after: Size, side: int) -> tuple[Size, Size]:
    """(width, height) in pixels of both halves: the height of the lower one, or less where `side` asks for it."""
    ratios = [width / height for width, height in (before, after)]
    height = min(before[1], after[1], side, *(side / ratio for ratio in ratios))
    left, right = ((min(side, max(1, round(height * ratio))), max(1, round(height))) for ratio in ratios)
    return left, right


def open_strip(before: Path, after: Path, side: int) -> Image.Image:
    """`strip` of two files. Raises PictureError."""
    return strip(open_picture(before), open_picture(after), side)


def open_sheet(pairs: Sequence[tuple[Path, Path]], side: int) -> Image.Image:
    """Pairs below each other, each picture within side x side pixels. Raises PictureError."""
    return contact_sheet([[open_picture(before), open_picture(after)] for before, after in pairs], cell=side)


def pictures_hash(files: Sequence[Path], form: str, side: int) -> str:
    """Of the content of the files, in order, and how they are shown; the place of the files does not matter.

    Raises PictureError for a file that cannot be read.
    """
    total = hashlib.sha256(f"{form} {side}".encode())
    for path in files:
        try:
            with stores.opened(path) as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise PictureError(f"{path}: cannot be read ({reason(error)}); check the path") from error
    return total.hexdigest()
