"""What customized tasks share: distances, filled shapes, the picture put somewhere else, a pen over any picture.

Lengths are in short sides from the middle, x to the right and y down.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from .brush import OVERSAMPLING, Pen
from .draws import Colour, Draw, colour, tint
from .objects import darker
from .pixels import FloatPicture, as_float32, coverage, grid, mix, resize, short_side, unit_colour
from .task import Change, Task, pixel_task
from .textures import paint_over

Half = tuple[float, float]

PAPER = tint(colour(saturation=(0.0, 0.15), value=(0.88, 1.0)))
SKY = tint(colour((0.5, 0.68), (0.15, 0.7), (0.7, 1.0)))
METAL = tint(colour((0.04, 0.16), (0.1, 0.75), (0.75, 1.0)))


def print_task(name: str, change: Change, *, seen: bool = True, **fields: Draw) -> Task:
    """A customized task that runs on any picture."""
    return pixel_task(name, "customized", change, False, seen, **fields)


def places(picture: FloatPicture) -> tuple[FloatPicture, FloatPicture]:
    """Where every pixel is: x, y."""
    return grid(*picture.shape[:2])


def radial(x: FloatPicture, y: FloatPicture) -> FloatPicture:
    """Distance from (0, 0); of a root of products, which all processors agree on."""
    return as_float32(np.sqrt(x * x + y * y))


def fill_outside(picture: FloatPicture, distance: FloatPicture, tone: list[int]) -> FloatPicture:
    """One colour wherever the signed distance is positive."""
    return mix(unit_colour(tone), picture, coverage(distance))


def fill_inside(picture: FloatPicture, distance: FloatPicture, tone: list[int]) -> FloatPicture:
    """One colour wherever the signed distance is negative."""
    return mix(picture, unit_colour(tone), coverage(distance))


def plain(picture: FloatPicture, tone: list[int]) -> FloatPicture:
    """A picture of one colour, as large as the given one."""
    return np.tile(unit_colour(tone), (*picture.shape[:2], 1))


def show(ground: FloatPicture, shown: FloatPicture, distance: FloatPicture) -> FloatPicture:
    """The second picture over the first wherever the signed distance is negative."""
    return mix(ground, shown, coverage(distance))


def sample(picture: FloatPicture, u: FloatPicture, v: FloatPicture) -> FloatPicture:
    """Colours at (u, v), fractions of width and height, bilinear; what lies outside repeats the rim."""
    height, width = picture.shape[:2]
    across = as_float32(u * width - 0.5).clip(0, width - 1)
    down = as_float32(v * height - 0.5).clip(0, height - 1)
    left, top = across.astype(np.intp), down.astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    beside, below = (across - left)[..., None], (down - top)[..., None]
    flat = picture.reshape(-1, 3)
    upper = mix(flat.take(top * width + left, 0), flat.take(top * width + right, 0), beside)
    lower = mix(flat.take(bottom * width + left, 0), flat.take(bottom * width + right, 0), beside)
    return mix(upper, lower, below)


def _between(picture: FloatPicture, at: FloatPicture, axis: int) -> FloatPicture:
    """Rows (axis 0) or columns (axis 1) at fractions of the height or width, linear."""
    count = picture.shape[axis]
    place = as_float32(at * count - 0.5).clip(0, count - 1)
    first = place.astype(np.intp)
    weight = (place - first)[:, None, None] if axis == 0 else (place - first)[:, None]
    return mix(picture.take(first, axis), picture.take(np.minimum(first + 1, count - 1), axis), weight)


def shrunk(picture: FloatPicture, half: Half) -> FloatPicture:
    """The largest middle part of the shape of a window with these half sides, at the size it has there."""
    height, width = picture.shape[:2]
    short = short_side(picture)
    factor = min(width / half[0], height / half[1]) / 2
    rows, columns = min(height, max(1, round(2 * half[1] * factor))), min(width, max(1, round(2 * half[0] * factor)))
    top, left = (height - rows) // 2, (width - columns) // 2
    part = picture[top : top + rows, left : left + columns]
    return resize(part, max(1, round(2 * half[1] * short)), max(1, round(2 * half[0] * short)))


def placed(picture: FloatPicture, half: Half, x: FloatPicture, y: FloatPicture) -> FloatPicture:
    """The picture in an upright window of these half sides; x and y are places counted from the window's middle."""
    small = shrunk(picture, half)
    rows = _between(small, y[:, 0] / (2 * half[1]) + 0.5, 0)
    return _between(rows, x[0] / (2 * half[0]) + 0.5, 1)


def bent(picture: FloatPicture, half: Half, x: FloatPicture, y: FloatPicture) -> FloatPicture:
    """As `placed`, for places that are bent."""
    return sample(shrunk(picture, half), x / (2 * half[0]) + 0.5, y / (2 * half[1]) + 0.5)


class SheetPen(Pen):
    """A pen over a picture of any shape: (0, 0) is the middle, 1 the short side."""

    def __init__(self, height: int, width: int) -> None:
        self.image = Image.new("RGBA", (width * OVERSAMPLING, height * OVERSAMPLING), (0, 0, 0, 0))
        self.canvas = ImageDraw.Draw(self.image)
        self.frame = (
            width * OVERSAMPLING / 2,
            height * OVERSAMPLING / 2,
            float(min(height, width) * OVERSAMPLING),
            0.0,
        )


def painted(picture: FloatPicture, paint: Callable[[Pen], None]) -> FloatPicture:
    """The picture with something painted over it."""
    pen = SheetPen(*picture.shape[:2])
    paint(pen)
    return paint_over(picture, pen.layer())


def tone(values: list[int], factor: float = 1.0) -> Colour:
    """A colour of the parameters for a pen, darkened by the factor."""
    red, green, blue = values
    return darker((red, green, blue), factor)


def contrast(values: list[int]) -> Colour:
    """Black or white, whichever is farther from the colour."""
    red, green, blue = values
    return (24, 22, 26) if 0.3 * red + 0.59 * green + 0.11 * blue > 130 else (248, 246, 240)


def fitting(text: str, width: float, highest: float) -> float:
    """Height of capitals for a line of a given width."""
    return min(highest, width * 6 / (len(text) * 6 - 2))


def barcode(pen: Pen, left: float, top: float, right: float, bottom: float) -> None:
    """Bars on a pale field."""
    pen.box(left, top, right, bottom, (250, 250, 250))
    step = (right - left) / 15
    for number, bars in enumerate((2, 1, 3, 1, 1, 2, 1)):
        start = left + step * (0.8 + 2 * number)
        pen.box(start, top + step, start + step * 0.45 * bars, bottom - step, (20, 20, 24))


def writing(pen: Pen, left: float, right: float, tops: list[float], ink: Colour, breadth: float = 0.012) -> None:
    """Lines of small print, their ends ragged."""
    for number, y in enumerate(tops):
        end = right - (right - left) * (0.0, 0.12, 0.05, 0.3)[number % 4]
        pen.box(left, y, end, y + breadth, ink)


def circle(x: float, y: float, radius: float, turn: float) -> tuple[float, float]:
    """A point of a circle, turn in degrees clockwise from the right."""
    return x + radius * math.cos(math.radians(turn)), y + radius * math.sin(math.radians(turn))
