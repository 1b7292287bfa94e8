"""A border of one colour around a picture: laid over its rim, or around the whole of it made smaller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from relation_adapter.images import resize, to_rgb
from relation_adapter.units import Unit

ALIKE = 32  # of 255, that pixels of a border may be off: JPEG rings beside its inner edge
NEARLY = 0.99  # of a line of pixels, that are of its colour
SIDES = ("left", "top", "right", "bottom")
WIDEST = 0.35  # of a side, that a border takes at most


@dataclass(frozen=True)
class Frame:
    """left, top, right, bottom: px. colour: in [0, 1]. shrunk: whether all of the picture is inside."""

    left: float
    top: float
    right: float
    bottom: float
    colour: tuple[float, float, float]
    shrunk: bool

    def times(self, scale: float) -> Frame:
        """So many times as wide."""
        sides = {name: scale * getattr(self, name) for name in SIDES}
        return replace(self, **sides)

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """What is inside, (left, top, right, bottom), px."""
        left, top, right, bottom = (round(getattr(self, name)) for name in SIDES)
        return left, top, max(left + 1, width - right), max(top + 1, height - bottom)

    def place(self, picture: Image.Image) -> Image.Image:
        """The picture as it lies behind the frame, at the same size."""
        if not self.shrunk:
            return picture
        left, top, right, bottom = self.box(*picture.size)
        placed = Image.new("RGB", picture.size)
        placed.paste(resize(to_rgb(picture), (right - left, bottom - top)), (left, top))
        return placed

    def lay(self, strip: Unit, first: int, height: int) -> Unit:
        """The frame over some rows (h, W, 3), from the first on, of a picture of that height."""
        left, top, right, bottom = self.box(strip.shape[1], height)
        rows, columns = np.arange(first, first + len(strip)), np.arange(strip.shape[1])
        inside = ((rows >= top) & (rows < bottom))[:, None] & ((columns >= left) & (columns < right))
        return np.where(inside[..., None], strip, np.array(self.colour)).astype(np.float32)


def frame_of(before: Image.Image, after: Image.Image) -> Frame | None:
    """The frame of a picture after, which it had not before: on all four sides. Not yet known is whether it shrank."""
    found, had = _widths(after), _widths(before)
    if min(found) < 1 or found == had:
        return None
    width, height = after.size
    left, top, right, bottom = found
    if max(left, right) > WIDEST * width or max(top, bottom) > WIDEST * height:
        return None
    pixels = np.asarray(to_rgb(after), np.float32) / 255
    covered = np.ones((height, width), bool)
    covered[top : height - bottom, left : width - right] = False
    red, green, blue = (float(value) for value in np.median(pixels[covered], axis=0))
    return Frame(left, top, right, bottom, (red, green, blue), False)


def inside_of(frame: Frame, before: Image.Image, after: Image.Image) -> tuple[Image.Image, Image.Image]:
    """The pair without the frame."""
    box = frame.box(*after.size)
    return to_rgb(frame.place(before).crop(box)), to_rgb(after.crop(box))


def _widths(picture: Image.Image) -> tuple[int, int, int, int]:
    """Of a border of the colour of the corner: left, top, right, bottom, px."""
    rgb = to_rgb(picture)
    corners = np.array([rgb.getpixel((x, y)) for x in (0, rgb.width - 1) for y in (0, rgb.height - 1)])
    if np.ptp(corners, axis=0).max() > ALIKE:
        return 0, 0, 0, 0
    pixels = np.asarray(rgb).astype(np.int16)
    near = np.abs(pixels - pixels[0, 0]).max(axis=2) <= ALIKE
    columns, rows = near.mean(axis=0) >= NEARLY, near.mean(axis=1) >= NEARLY
    left, top, right, bottom = (_first(~line) for line in (columns, rows, columns[::-1], rows[::-1]))
    return left, top, right, bottom


def _first(true: Any) -> int:
    """Where something is true first; the length where nothing is."""
    return int(np.argmax(true)) if true.any() else len(true)


def frame_from(values: Mapping[str, Any] | None) -> Frame | None:
    """Of plain JSON, as `asdict` makes it. Raises ValueError on anything else."""
    if values is None:
        return None
    try:
        left, top, right, bottom = sides = [float(values[name]) for name in SIDES]
        red, green, blue = (float(value) for value in values["colour"])
        shrunk = values["shrunk"]
    except (KeyError, TypeError) as error:
        raise ValueError("frame is not understood") from error
    if not (all(0 <= side < 100_000 for side in sides) and all(0 <= value <= 1 for value in (red, green, blue))):
        raise ValueError("frame is out of range")
    return Frame(left, top, right, bottom, (red, green, blue), bool(shrunk))
