"""What the style tasks are made of: grain, strokes, cells, dots, panes, glyphs; lengths in short sides.

Patterns are the same for every picture of a size, so that the pair shows all that the target needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .draws import Draw, choice
from .pixels import (
    FloatPicture,
    as_float32,
    edges,
    gaussian_blur,
    grid,
    half_sides,
    luminance,
    mix,
    short_side,
    to_bytes,
    to_float,
    unit_colour,
    wide,
)
from .task import Change, Task, pixel_task

Shape = tuple[int, ...]
Indices = NDArray[np.intp]
Plane = NDArray[np.floating[Any]]  # (H, W)

LIGHTS = choice([1, 1], [1, -1], [-1, 1], [-1, -1])  # where it comes from: down, across

BICUBIC, BOX = Image.Resampling.BICUBIC, Image.Resampling.BOX


def style_task(name: str, change: Change, seen: bool = True, /, **fields: Draw) -> Task:
    """A style task; it runs on any picture."""
    return pixel_task(name, "style", change, False, seen, **fields)


# Planes


def printed(ink: list[int], paper: list[int], bare: Plane) -> FloatPicture:
    """Ink where the (H, W) plane is 0, paper where it is 1."""
    return mix(unit_colour(ink), unit_colour(paper), as_float32(bare.clip(0, 1))[..., None])


def soft_step(plane: Plane, slope: float) -> FloatPicture:
    """0 below zero, 1 above, with a ramp of 1 / slope between."""
    return as_float32((plane * slope + 0.5).clip(0, 1))


def along(shape: Shape, angle: float) -> FloatPicture:
    """How far every pixel lies in a direction, degrees clockwise from the right."""
    x, y = grid(*shape[:2])
    turn = math.radians(angle)
    return as_float32(math.cos(turn) * x + math.sin(turn) * y)


def inwards(picture: FloatPicture) -> FloatPicture:
    """How far every pixel lies from the nearest border."""
    x, y = grid(*picture.shape[:2])
    half_x, half_y = half_sides(picture)
    return np.minimum(half_x - np.abs(x), half_y - np.abs(y))


def wave(place: FloatPicture, pitch: float) -> FloatPicture:
    """A sine from 0 to 1 with a period of pitch."""
    return as_float32(0.5 + 0.5 * np.sin(wide(place) * (math.tau / pitch)))


def teeth(place: FloatPicture, pitch: float) -> FloatPicture:
    """A triangle from 0 to 1 with a period of pitch."""
    part = place / np.float32(pitch)
    return as_float32(np.abs(part - np.floor(part) - 0.5) * 2)


def ramp(plane: FloatPicture, colours: list[list[int]]) -> FloatPicture:
    """A (H, W) plane in [0, 1] through evenly spaced colours."""
    stops = np.linspace(0, 1, len(colours))
    palette = np.array(colours, np.float32) / 255
    return as_float32(np.stack([np.interp(plane, stops, palette[:, channel]) for channel in range(3)], axis=2))


def tones(picture: FloatPicture, blur: float = 0.008) -> FloatPicture:
    """The luma, blurred, then stretched to fill [0, 1], at most threefold: a drawing needs darks and lights."""
    light = gaussian_blur(luminance(picture), blur)
    low, high = np.percentile(light, (3, 97))
    reach = max(high - low, 0.35)
    return as_float32(((light - np.float32((low + high - reach) / 2)) / np.float32(reach)).clip(0, 1))


def outlines(picture: FloatPicture, gain: float, blur: float = 0.008) -> FloatPicture:
    """Contours of the luma, 0 to 1."""
    return as_float32((edges(gaussian_blur(luminance(picture), blur), 0.012) * gain).clip(0, 1))


def shifted(values: FloatPicture, down: int, across: int) -> FloatPicture:
    """values[y + down, x + across], the rim repeated."""
    rows = (np.arange(values.shape[0]) + down).clip(0, values.shape[0] - 1)
    columns = (np.arange(values.shape[1]) + across).clip(0, values.shape[1] - 1)
    return as_float32(values[rows][:, columns])


def slope(plane: FloatPicture, light: tuple[int, int] | list[int], reach: float = 0.014) -> FloatPicture:
    """How much a plane rises towards the light (down, across)."""
    step = max(1, round(reach * short_side(plane)))
    down, across = light
    return shifted(plane, down * step, across * step) - shifted(plane, -down * step, -across * step)


# Grain


@lru_cache(maxsize=64)
def field(shape: Shape, pitch: float, seed: int = 0) -> FloatPicture:
    """Smooth noise of that wavelength, (H, W) in [0, 1], read-only."""
    height, width = shape[:2]
    unit = max(pitch * min(height, width), 0.5)
    lattice = max(1, round(height / unit)) + 1, max(1, round(width / unit)) + 1
    values = np.random.default_rng(seed).integers(0, 256, lattice, np.uint8)
    return _read_only(Image.fromarray(values).resize((width, height), BICUBIC))


@lru_cache(maxsize=64)
def streaks(shape: Shape, angle: float, pitch: float, length: float, seed: int = 0) -> FloatPicture:
    """Noise drawn out in a direction, degrees clockwise from the right; (H, W) in [0, 1], read-only."""
    height, width = shape[:2]
    short, reach = min(height, width), math.hypot(height, width)
    lattice = max(2, round(reach / max(pitch * short, 0.5))), max(2, round(reach / max(length * short, 0.5)))
    side = math.ceil(reach)
    values = np.random.default_rng(seed).integers(0, 256, lattice, np.uint8)
    turned = Image.fromarray(values).resize((side, side), BICUBIC).rotate(-angle, BICUBIC)
    left, top = (side - width) // 2, (side - height) // 2
    return _read_only(turned.crop((left, top, left + width, top + height)))


def _read_only(image: Image.Image) -> FloatPicture:
    plane = to_float(np.asarray(image))
    plane.setflags(write=False)
    return plane


# Cells


@dataclass(frozen=True)
class Cells:
    """A division into square cells: which one every pixel is in, where in it, and its mean colour."""

    row: Indices  # (H, 1)
    column: Indices  # (1, W)
    x: FloatPicture  # (1, W) in [-1, 1]
    y: FloatPicture  # (H, 1) in [-1, 1]
    colour: FloatPicture  # (H, W, 3)

    def chance(self, seed: int) -> FloatPicture:
        """A number in [0, 1) for every cell, (H, W)."""
        table = np.random.default_rng(seed).random((64, 64), np.float32)
        return table[self.row % 64, self.column % 64]


def cells(picture: FloatPicture, count: float, aspect: float = 1.0) -> Cells:
    """Cells, `count` across the short side, `aspect` times as high as wide."""
    height, width = picture.shape[:2]
    rows = max(1, round(height * count / (short_side(picture) * aspect)))
    columns = max(1, round(width * count / short_side(picture)))
    small = to_float(np.asarray(Image.fromarray(to_bytes(picture)).resize((columns, rows), BOX)))
    down, across = (np.arange(height) + 0.5) * rows / height, (np.arange(width) + 0.5) * columns / width
    row, column = down.astype(np.intp)[:, None], across.astype(np.intp)[None, :]
    x, y = as_float32(across % 1 * 2 - 1)[None, :], as_float32(down % 1 * 2 - 1)[:, None]
    return Cells(row, column, x, y, small[row, column])


@dataclass(frozen=True)
class Dots:
    """One dot in every cell of a staggered, jittered lattice."""

    distance: FloatPicture  # (H, W) to the dot of the own cell, in pitches
    rank: FloatPicture  # (H, W) in [0, 1), a number of the dot
    centre: Indices  # (H, W) the flat index of the pixel under the dot's middle


@lru_cache(maxsize=16)
def dots(shape: Shape, pitch: float, seed: int = 0) -> Dots:
    """Dots about one pitch apart."""
    height, width = shape[:2]
    unit = max(pitch * min(height, width), 1.0)
    down = (np.arange(height) + 0.5)[:, None] / unit
    row = down.astype(np.intp)
    across = (np.arange(width) + 0.5)[None, :] / unit + 0.5 * (row % 2)
    column = across.astype(np.intp)
    jitter = np.random.default_rng(seed).random((3, 64, 64))[:, row % 64, column % 64]
    middle_y, middle_x = row + 0.38 + 0.24 * jitter[0], column + 0.38 + 0.24 * jitter[1]
    distance = as_float32(np.sqrt((down - middle_y) ** 2 + (across - middle_x) ** 2))
    at_y = (middle_y * unit).astype(np.intp).clip(0, height - 1)
    at_x = ((middle_x - 0.5 * (row % 2)) * unit).astype(np.intp).clip(0, width - 1)
    return Dots(distance, as_float32(jitter[2]), at_y * width + at_x)


@dataclass(frozen=True)
class Panes:
    """Irregular polygons about randomly placed middles."""

    edge: FloatPicture  # (H, W) how much further the second nearest middle is, in pitches; 0 on the border
    index: Indices  # (H, W) which pane


@lru_cache(maxsize=16)
def panes(height: int, width: int, count: int, seed: int) -> Panes:
    """About `count` panes across the short side."""
    pitch = min(height, width) / count
    rows, columns = math.ceil(height / pitch), math.ceil(width / pitch)
    jitter = np.random.default_rng(seed).uniform(0.15, 0.85, (2, rows + 2, columns + 2))
    middle_y = as_float32(np.arange(-1, rows + 1)[:, None] + jitter[0]).ravel()
    middle_x = as_float32(np.arange(-1, columns + 1)[None, :] + jitter[1]).ravel()
    y, x = (as_float32((np.arange(side) + 0.5) / pitch) for side in (height, width))
    nearest = np.full((height, width), np.inf, np.float32)
    second, pane = nearest.copy(), np.zeros((height, width), np.intp)
    for row in range(3):
        for column in range(3):
            cell = (y.astype(int) + row)[:, None] * (columns + 2) + x.astype(int)[None, :] + column
            down, across = middle_y[cell] - y[:, None], middle_x[cell] - x[None, :]
            distance = np.sqrt(down * down + across * across)
            closer = distance < nearest
            second = np.where(closer, nearest, np.minimum(second, distance))
            nearest, pane = np.where(closer, distance, nearest), np.where(closer, cell, pane)
    return Panes(second - nearest, pane)


def pane_means(picture: FloatPicture, index: Indices) -> FloatPicture:
    """Every pane in its mean colour."""
    counts = np.bincount(index.ravel())
    sums = [np.bincount(index.ravel(), picture[..., channel].ravel()) for channel in range(3)]
    means = np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None]
    return as_float32(means[index])


# Glyphs: seven rows of five bits

GLYPHS = {
    " ": "00000000000000", ".": "00000000000404", ":": "00000400040000", "-": "0000000E000000",
    "+": "0004041F040400", "=": "00001F001F0000", "*": "0415150E151504", "%": "18190204081303",
    "#": "0A0A1F0A1F0A0A", "@": "0E1117151E100E", "0": "0E11131519110E", "1": "040C040404040E",
    "2": "0E11010204081F", "3": "1F02040201110E", "4": "02060A121F0202", "5": "1F101E0101110E",
    "6": "0608101E11110E", "7": "1F010204080808", "8": "0E11110E11110E", "9": "0E11110F01020C",
    "R": "1E11111E141211", "L": "1010101010101F",
}  # fmt: skip


@lru_cache(maxsize=8)
def glyphs(text: str) -> FloatPicture:
    """One (9, 7) mask for every letter, with a margin of one."""
    rows = np.array([[int(GLYPHS[letter][2 * row : 2 * row + 2], 16) for row in range(7)] for letter in text])
    masks = as_float32(rows[..., None] >> np.arange(4, -1, -1) & 1)
    return np.pad(masks, ((0, 0), (1, 1), (1, 1)))


def glyph_mask(letter: str, x: FloatPicture, y: FloatPicture, height: float) -> FloatPicture:
    """A letter in the middle of the places x, y; (H, W) 0 or 1."""
    mask = glyphs(letter)[0]
    row, column = ((y / height + 0.5) * 9, (x / height * (9 / 7) + 0.5) * 7)
    inside = (row >= 0) & (row < 9) & (column >= 0) & (column < 7)
    return as_float32(mask[row.clip(0, 8).astype(np.intp), column.clip(0, 6).astype(np.intp)] * inside)
