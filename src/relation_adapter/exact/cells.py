"""Edits drawn in a regular grid: bricks, tiles, lamps, stitches, threads, letters, scan lines, dots, ordered dithering.

What a pixel becomes is told by its place in a cell of the grid, and by its own colour or the mean colour of its cell.
Told (`cells_fit.py`) and done at a picture's own size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from relation_adapter.correction import LUMA, Values
from relation_adapter.exact.blurs import blurred
from relation_adapter.images import Size
from relation_adapter.units import STRIP_PIXELS, Unit

Indices = npt.NDArray[np.intp]

KNOTS = 16  # of a curve, even steps from 0 to 1
WAYS = {"mix": 4, "luma": KNOTS, "colours": KNOTS}  # how colours become others, and numbers of each place for that
# What is looked at: a pixel's own colour; that of a blur; the mean of its cell, of cells as they lie or, as where a
# picture was made small and large again, of as many as are begun, or as fit in whole, stretched over the picture.
SHOWN = ("own", "soft", "means", "means of more", "means of fewer")
SOFT = 0.25  # of the shorter side of a cell, the sigma of that blur
LONGEST = 512  # px, of a cell, and places of a period
EVERY = (1, 2, 4)  # cells after which the grid repeats itself
NEAR = 1e-6  # of a cell, that a pixel may lie beyond its end by rounding


@dataclass(frozen=True)
class Cells:
    """A grid from the top left corner on. height, width: of a cell, px; 0: cells are endless that way.

    tall, wide: whether a whole number of cells fits the picture, down and across. places: that are told apart, down and
    across, in a period of so many cells as `every` says. shown: what is looked at, of SHOWN. way: of WAYS.
    """

    height: float
    width: float
    tall: bool
    wide: bool
    every: int
    places: tuple[int, int]
    shown: str
    way: str

    @property
    def form(self) -> tuple[int, int, int]:
        """Of the table of what becomes of colours: places, numbers of each, colours."""
        return self.places[0] * self.places[1], WAYS[self.way], 3

    def fitting(self, size: Size, scale: float) -> Cells:
        """So many times as large, for a picture of that size."""
        width, height = (scale * side for side in (self.width, self.height))
        if self.wide and width:
            width = size[0] / max(1, round(size[0] / width))
        if self.tall and height:
            height = size[1] / max(1, round(size[1] / height))
        return replace(self, width=width, height=height)


def in_cells(source: Unit, cells: Cells, table: Values, scale: float = 1.0) -> Unit:
    """A picture (H, W, 3), edited; scale: how many of its pixels one of the grid's is."""
    height, width = source.shape[:2]
    cells = cells.fitting((width, height), scale)
    shown, made = shown_of(source, cells, (width, height)), np.empty_like(source)
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        part = slice(top, min(top + rows, height))
        places = places_of(cells, part.stop, width)[part].reshape(-1)
        levels = levels_of(shown[part].reshape(-1, 3), cells.way)
        made[part] = numbers_made(levels, places, table, cells.way).reshape(made[part].shape)
    return made.clip(0, 1)


def shown_of(source: Unit, cells: Cells, size: Size) -> Unit:
    """(H, W, 3): what is looked at of a picture of that size, or of its upper left part."""
    if cells.shown == "own":
        return source
    if cells.shown == "soft":
        return blurred(source, SOFT * min(side for side in (cells.height, cells.width) if side))
    taken = [_taken(*each, cells.shown) for each in zip(source.shape[:2], size[::-1], _sides(cells), strict=True)]
    means: Values = source
    for axis, cell in enumerate(taken):
        starts = np.flatnonzero(np.diff(cell, prepend=-1))
        counts = np.diff(starts, append=len(cell)).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        means = np.add.reduceat(means, starts, axis=axis) / np.float32(counts)
    own = [_taken(*each, "") for each in zip(source.shape[:2], size[::-1], _sides(cells), strict=True)]
    down, across = (cell.clip(0, many - 1) for cell, many in zip(own, means.shape[:2], strict=True))
    return means[down][:, across].astype(np.float32)


def places_of(cells: Cells, height: int, width: int) -> Indices:
    """(H, W): the number of every pixel's place in the period."""
    down, across = (
        _phase(count, side * cells.every, many)
        for count, side, many in zip((height, width), _sides(cells), cells.places, strict=True)
    )
    return down[:, None] * cells.places[1] + across


def levels_of(shown: Values, way: str) -> Values:
    """(N, 3): the colours (N, 3), or luma thrice."""
    return np.repeat((shown @ LUMA)[:, None], 3, axis=1) if way == "luma" else shown


def numbers_made(levels: Values, places: Indices, table: Values, way: str) -> Values:
    """(N, 3): what becomes of levels (N, 3), each in its place (N,)."""
    if way == "mix":
        kept = table[places]
        return kept[:, 0] + (levels[:, None] @ kept[:, 1:])[:, 0]
    index, low, high = between_knots(levels)
    flat, at = table.reshape(-1, 3), places[:, None] * KNOTS + index
    colours = np.arange(3)
    return low * flat[at, colours] + high * flat[at + 1, colours]


def between_knots(levels: Values) -> tuple[Indices, Values, Values]:
    """Of levels in [0, 1]: the knot below, how much that counts, and how much the next one."""
    place = levels.clip(0, 1) * np.float32(KNOTS - 1)
    index = np.minimum(place.astype(np.intp), KNOTS - 2)
    return index, 1 - (place - index), place - index


def _sides(cells: Cells) -> tuple[float, float]:
    return cells.height, cells.width


def _taken(seen: int, whole: int, side: float, shown: str) -> Indices:
    """(seen,): of the first pixels of that many, in which cell each is."""
    if not side:
        return np.zeros(seen, np.intp)
    if shown == "means of more":
        side = whole / math.ceil(whole / side - NEAR)
    elif shown == "means of fewer":
        side = whole / max(1, math.floor(whole / side + NEAR))
    return np.floor((np.arange(seen) + 0.5) / side + NEAR).astype(np.intp)


def _phase(count: int, period: float, places: int) -> Indices:
    """(count,): the place in the period of each pixel."""
    if not period:
        return np.zeros(count, np.intp)
    phase = ((np.arange(count) + 0.5) / period + NEAR) % 1
    return np.minimum((phase * places).astype(np.intp), places - 1)


def cells_from(values: Mapping[str, Any] | None) -> Cells | None:
    """Of plain JSON, as `asdict` makes it. Raises ValueError on anything else."""
    if values is None:
        return None
    try:
        down, across = (int(many) for many in values["places"])
        height, width, every = float(values["height"]), float(values["width"]), int(values["every"])
        shown, way = str(values["shown"]), str(values["way"])
        tall, wide = bool(values["tall"]), bool(values["wide"])
    except (KeyError, TypeError) as error:
        raise ValueError("cells are not understood") from error
    sides = all(side == 0 or 1 <= side <= LONGEST for side in (height, width)) and height + width > 0
    if not (sides and shown in SHOWN and way in WAYS and every in EVERY):
        raise ValueError("cells are out of range")
    if not (1 <= down <= LONGEST and 1 <= across <= LONGEST):
        raise ValueError("cells are out of range")
    return Cells(height, width, tall, wide, every, (down, across), shown, way)
