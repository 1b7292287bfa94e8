"""What is laid over every picture at the same place: a caption, a logo, a watermark, bars, a drawn border.

Each pixel keeps a share of what was there, and something is added to it. `stamp_fit.py` tells it from a pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from relation_adapter.images import Size, resampling
from relation_adapter.units import Unit

Values = npt.NDArray[np.float32]  # (H, W, 4): the share that is kept, and what is added to red, green and blue
Span = tuple[float, float]  # px, from where to where along a side

PLACES = ("left", "top", "width", "height")
ALIKE = 1.1  # times as wide, to its height, one picture may be as the other, where both have the same form
CENTRED = 0.05  # of a side, that the middle of a stamp may be off the picture's where it is centred
WIDE = 0.8  # of both sides, from which on a stamp is one of the whole picture
BLANK = 3  # px around a stamp, where nothing is changed


@dataclass(frozen=True, eq=False)
class Stamp:
    """values: in a box of a picture of that width and height, px, whose corner is at left and top, px."""

    values: Values
    left: int
    top: int
    width: int
    height: int

    @property
    def place(self) -> dict[str, int]:
        """Where it lies, as plain JSON."""
        return {name: getattr(self, name) for name in PLACES}

    @property
    def fits(self) -> bool:
        """Whether it is one, and inside of its picture."""
        height, width, each = self.values.shape
        inside = self.left + width <= self.width and self.top + height <= self.height
        return each == 4 and inside and bool(np.abs(self.values).max() <= 2)

    def lay(self, strip: Unit, first: int, height: int) -> Unit:
        """The stamp over some rows (h, W, 3), from the first on, of a picture of that height."""
        columns, rows = self._spans((strip.shape[1], height))
        left, right = max(0, int(np.floor(columns[0]))), min(strip.shape[1], int(np.ceil(columns[1])))
        top, bottom = max(first, int(np.floor(rows[0]))), min(first + len(strip), int(np.ceil(rows[1])))
        if left >= right or top >= bottom:
            return strip
        values = self._sampled(columns, rows, (left, top, right, bottom))
        found, part = strip.copy(), np.s_[top - first : bottom - first, left:right]
        found[part] = (values[..., :1] * strip[part] + values[..., 1:]).clip(0, 1)
        return found

    def _spans(self, size: Size) -> tuple[Span, Span]:
        """Where its box lies in a picture of that size: from left to right, and from top to bottom.

        In one of another form what goes from side to side, or over nearly the whole, is stretched with it; else it
        keeps its form, and lies as near to the middle or to the nearer border.
        """
        width, height = size
        box = self.left, self.left + self.values.shape[1], self.top, self.top + self.values.shape[0]
        across, down = (box[0], box[1], self.width, width), (box[2], box[3], self.height, height)
        alike = 1 / ALIKE < (width / height) / (self.width / self.height) < ALIKE
        whole = all(high - low - 2 * BLANK >= WIDE * side for low, high, side, _ in (across, down))
        scale = min(width, height) / min(self.width, self.height)
        free = [axis for axis in (across, down) if not _from_side_to_side(*axis[:3])]
        scale = min([scale, *(wanted / (high - low) for low, high, _, wanted in free)])
        return tuple(  # type: ignore[return-value]
            _stretched(*axis) if alike or whole or _from_side_to_side(*axis[:3]) else _anchored(*axis, scale)
            for axis in (across, down)
        )

    def _sampled(self, columns: Span, rows: Span, box: tuple[int, int, int, int]) -> Values:
        """(bottom - top, right - left, 4): the values of those pixels of a picture, where its box has those spans."""
        height, width = self.values.shape[:2]
        if columns == (box[0], box[2]) and (columns[1] - columns[0], rows[1] - rows[0]) == (width, height):
            return self.values[box[1] - round(rows[0]) : box[3] - round(rows[0])]
        down, across = height / (rows[1] - rows[0]), width / (columns[1] - columns[0])
        more = int(np.ceil(max(down, across))) + 1  # a pixel at the border may reach beyond
        part = (
            more + across * (box[0] - columns[0]),
            more + down * (box[1] - rows[0]),
            more + across * (box[2] - columns[0]),
            more + down * (box[3] - rows[0]),
        )
        size = box[2] - box[0], box[3] - box[1]
        how = resampling((width, height), (round(columns[1] - columns[0]), round(rows[1] - rows[0])))
        padded = np.pad(self.values, ((more, more), (more, more), (0, 0)), mode="edge")
        bands = [Image.fromarray(np.ascontiguousarray(band)) for band in np.moveaxis(padded, 2, 0)]
        return np.stack([np.asarray(band.resize(size, how, box=part)) for band in bands], axis=-1)


def _from_side_to_side(low: float, high: float, side: int) -> bool:
    return low == 0 and high == side


def _stretched(low: float, high: float, side: int, wanted: int) -> Span:
    return low * wanted / side, high * wanted / side


def _anchored(low: float, high: float, side: int, wanted: int, scale: float) -> Span:
    """So many times as long, in the middle or as far from the nearer border, in shares of the side."""
    length = scale * (high - low)
    if abs((low + high) / 2 - side / 2) < CENTRED * side:
        start = (low + high) / 2 / side * wanted - length / 2
    elif low < side - high:
        start = low / side * wanted
    else:
        start = high / side * wanted - length
    start = min(max(0.0, start), wanted - length)
    return start, start + length


def place_from(values: Mapping[str, Any] | None) -> dict[str, int] | None:
    """Left, top, width and height of plain JSON; None for None. Raises ValueError on anything else."""
    if values is None:
        return None
    try:
        found = {name: int(values[name]) for name in PLACES}
    except (KeyError, TypeError) as error:
        raise ValueError("stamp is not understood") from error
    if not all(0 <= value < 100_000 for value in found.values()) or not found["width"] * found["height"]:
        raise ValueError("stamp is out of range")
    return found
