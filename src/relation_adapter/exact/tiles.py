"""A picture in tiles: in rows and columns, each with all of it made small, in colours of its own: collages, pop art."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from relation_adapter.correction import LUMA, Known
from relation_adapter.editor import Pair
from relation_adapter.exact.curves import BY_PIXEL, LEVELS, curves_of, fit_curves
from relation_adapter.exact.families import family_of, rows_of
from relation_adapter.exact.linear import fitted, linear_of
from relation_adapter.exact.turns import SIDEWAYS, TURNS, turned
from relation_adapter.images import resize, to_rgb
from relation_adapter.units import from_unit, to_unit

Numbers = tuple[tuple[float, ...], ...]
Span = tuple[float, float]  # from and to
Values = npt.NDArray[np.floating[Any]]

MOST = 4  # tiles in a row, or a column
SMALL = 16  # px, of tiles that are compared with the picture
LIKE = 0.5  # correlation of luma, that each of them has at least
ALIKE = 32  # of 255, that pixels of a line between tiles may be off its median: JPEG rings beside its edges
NEARLY = (0.95, 0.8)  # of its pixels, that are so; the rest rings more than that
UNEVEN = 0.04  # of a tile's side, that another's may have more or less
LEAST = 8  # px, of a tile's side
PIXELS = 16384  # of a tile, that are looked at
SIMPLER = 1.5  # times the error of curves, that a mix may have
SURE = 1e-5  # mean square error, with which a mix is right


@dataclass(frozen=True)
class Tile:
    """How the picture is turned in it, a name of TURNS, and what becomes of its colours.

    driver: "", and numbers (5, 3) are a mix of colours, as `linear_of` takes it; or what levels are of, a name of
    BY_PIXEL, and numbers (LEVELS, 3) are what they become, in [0, 1].
    """

    turn: str
    driver: str
    numbers: Numbers

    def of(self, picture: Image.Image, width: int, height: int) -> Image.Image:
        """The picture as this tile shows it, of that size in px."""
        small = to_unit(resize(turned(picture, self.turn), (width, height)))
        numbers = np.array(self.numbers, np.float32)
        if not self.driver:
            return from_unit(linear_of(small, numbers, "colours"))
        table = np.concatenate([numbers, np.ones_like(numbers)], axis=1)
        return from_unit(curves_of(small, small, table, self.driver))


@dataclass(frozen=True)
class Tiles:
    """columns, rows: from where to where each goes, in widths and heights. between: the colour there, in [0, 1].

    each: the tiles, row by row.
    """

    columns: tuple[Span, ...]
    rows: tuple[Span, ...]
    between: tuple[float, ...]
    each: tuple[Tile, ...]

    def place(self, picture: Image.Image) -> Image.Image:
        """A picture of any size in tiles, of the same size."""
        picture = to_rgb(picture)
        placed = Image.new("RGB", picture.size, tuple(round(255 * value) for value in self.between))
        for tile, (left, top, right, bottom) in zip(self.each, self.boxes(*picture.size), strict=True):
            placed.paste(tile.of(picture, right - left, bottom - top), (left, top))
        return placed

    def boxes(self, width: int, height: int) -> list[tuple[int, int, int, int]]:
        """(left, top, right, bottom) of every tile, px, of a picture of that size; none is empty."""
        across, down = (
            [(start := min(round(side * first), side - 1), max(start + 1, round(side * last))) for first, last in spans]
            for side, spans in ((width, self.columns), (height, self.rows))
        )
        return [(left, top, right, bottom) for top, bottom in down for left, right in across]


def tiles_of(pairs: Sequence[Pair]) -> tuple[Tiles, float] | None:
    """The tiles that pictures after are made of, and the mean square error in blocks that no fit has seen."""
    before, after = (to_rgb(each) for each in pairs[0])
    like, spans = max((_like(before, after, grid), grid) for grid in _grids(after))
    if not like:
        return None
    blank = Tiles(*spans, _between(after, *spans), ())
    told = [_tile(pairs, blank, number) for number in range(len(spans[0]) * len(spans[1]))]
    error = float(np.mean([each[1] for each in told]))
    return Tiles(blank.columns, blank.rows, blank.between, tuple(each[0] for each in told)), error


def _grids(after: Image.Image) -> list[tuple[tuple[Span, ...], tuple[Span, ...]]]:
    """Columns and rows that a picture may be made of: between lines of one colour, or else side by side."""
    pixels = np.asarray(after).astype(np.int16)
    off = [np.abs(pixels - np.median(pixels, axis=axis, keepdims=True)).max(axis=2) for axis in (0, 1)]
    near = [(each <= ALIKE).mean(axis=axis) for axis, each in enumerate(off)]
    parted = []
    for share in NEARLY if min(each.max() for each in near) >= NEARLY[0] else ():
        columns, rows = (_spans(each >= share) for each in near)
        if len(columns) * len(rows) > 1:
            parted.append((columns, rows))
    if parted:
        return parted
    even = [tuple((one / count, (one + 1) / count) for one in range(count)) for count in range(1, MOST + 1)]
    return [(across, down) for across in even for down in even if len(across) * len(down) > 1]


def _spans(flat: npt.NDArray[np.bool_]) -> tuple[Span, ...]:
    """Where lines are not of one colour, if that is in parts of about one length; in shares of the side."""
    ends = np.flatnonzero(np.diff(np.concatenate([[True], flat, [True]]).astype(np.int8)))
    lengths = np.diff(ends)[::2]
    if not 0 < len(lengths) <= MOST or lengths.min() < LEAST or np.ptp(lengths) > max(1, UNEVEN * lengths.max()):
        return ()
    return tuple(
        (int(first) / len(flat), int(last) / len(flat)) for first, last in zip(ends[::2], ends[1::2], strict=True)
    )


def _between(after: Image.Image, columns: tuple[Span, ...], rows: tuple[Span, ...]) -> tuple[float, ...]:
    """The colour beside the tiles; black where they fill the picture."""
    pixels = to_unit(after)
    beside = np.ones(pixels.shape[:2], bool)
    for left, top, right, bottom in Tiles(columns, rows, (), ()).boxes(*after.size):
        beside[top:bottom, left:right] = False
    colour = np.median(pixels[beside], axis=0) if beside.any() else np.zeros(3)
    return tuple(float(value) for value in colour)


def _small(picture: Image.Image) -> Values:
    values = np.asarray(picture.resize((SMALL, SMALL), Image.Resampling.BOX), np.float64) @ LUMA
    return values - values.mean()


def _like(before: Image.Image, after: Image.Image, grid: tuple[tuple[Span, ...], tuple[Span, ...]]) -> float:
    """How like the picture the tile is that is least so; 0 where one is more like what was there before."""
    small, least = _small(before), 1.0
    seen = resize(before, after.size)
    for box in Tiles(*grid, (), ()).boxes(*after.size):
        tile = _small(after.crop(box))
        there = _small(seen.crop(box))
        least = min(least, max(_likeness(small, tile).values()))
        if least < max(LIKE, abs(_correlation(there, tile))):
            return 0.0
    return least


def _likeness(small: Values, tile: Values) -> dict[str, float]:
    """Of every turn."""
    return {name: abs(_correlation(turn(small), tile)) for name, turn in _upright().items()}


def _correlation(first: Values, second: Values) -> float:
    return float((first * second).sum() / (np.linalg.norm(first) * np.linalg.norm(second) + 1e-9))


def _upright() -> dict[str, Any]:
    return {name: turn for name, turn in TURNS.items() if name not in SIDEWAYS}


def _tile(pairs: Sequence[Pair], blank: Tiles, number: int) -> tuple[Tile, float]:
    """What one tile shows, and its error."""
    crops = [to_rgb(after).crop(blank.boxes(*after.size)[number]) for _, after in pairs]
    likeness = _likeness(_small(to_rgb(pairs[0][0])), _small(crops[0]))
    turn = max(likeness, key=likeness.__getitem__)  # the first of equals: as it is
    known = []
    for (before, _), crop in zip(pairs, crops, strict=True):
        source = to_unit(resize(turned(to_rgb(before), turn), crop.size))
        known.append(Known(source, source, to_unit(crop)))
    every = max(1, sum(one.target[..., 0].size for one in known) // PIXELS)
    mix, error = fitted(known, family_of("colours"), every)
    if error > SURE:
        curves, driver, curved = fit_curves(known)
        if SIMPLER * curved < error:
            return Tile(turn, driver, _rounded(curves[:, :3].clip(0, 1))), curved
    return Tile(turn, "", _rounded(mix)), error


def _rounded(values: Values) -> Numbers:
    return tuple(tuple(row) for row in values.astype(np.float64).round(5).tolist())


def tiles_from(values: Mapping[str, Any] | None) -> Tiles | None:
    """Of plain JSON, as `asdict` makes it. Raises ValueError on anything else."""
    if values is None:
        return None
    try:
        columns, rows = (
            tuple((float(first), float(last)) for first, last in values[name]) for name in ("columns", "rows")
        )
        between = tuple(float(value) for value in values["between"])
        each = tuple(
            Tile(str(one["turn"]), str(one["driver"]), tuple(tuple(map(float, row)) for row in one["numbers"]))
            for one in values["each"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("tiles are not understood") from error
    within = all(0 <= first < last <= 1 for first, last in (*columns, *rows))
    counted = 0 < len(columns) <= MOST and 0 < len(rows) <= MOST and len(each) == len(columns) * len(rows)
    colour = len(between) == 3 and all(0 <= value <= 1 for value in between)
    if not (within and counted and colour and all(map(_sound, each))):
        raise ValueError("tiles are out of range")
    return Tiles(columns, rows, between, each)


def _sound(tile: Tile) -> bool:
    rows = LEVELS if tile.driver else rows_of("colours")
    known = tile.turn in _upright() and tile.driver in ("", *BY_PIXEL) and len(tile.numbers) == rows
    return known and all(len(row) == 3 and all(abs(number) < 1000 for number in row) for row in tile.numbers)
