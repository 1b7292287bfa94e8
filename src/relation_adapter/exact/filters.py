"""Filters of a photo program, told of pairs at their own size: they count single pixels.

What sharpens, softens, embosses, smears or takes medians of a few pixels is hardly to be seen in the small picture that
a model sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image, ImageChops

from relation_adapter.correction import Coefficients, Known
from relation_adapter.editor import Pair
from relation_adapter.exact.families import FILTERS, FINE, Family, family_of
from relation_adapter.exact.jpeg import GRID, Jpeg
from relation_adapter.exact.linear import GLANCE, fit_family, fitted, linear_of
from relation_adapter.images import Size, to_rgb
from relation_adapter.units import Unit, from_unit, to_unit

Box = tuple[int, int, int, int]

PART = 192  # px, the side of the part of a picture that filters are told of: where it changes most
WHOLE = 640  # px, the side of what they have to do, too
NEAREST = "around"  # the family that explains something of what any filter does
WORTH = 0.5  # of the error of doing nothing, that it may leave
MOST = 0.02  # of the error of doing nothing, that a filter may leave
ON_THE_WHOLE = 0.04  # of it, on the whole
OF_JPEGS = 0.25  # in place of MOST, for LIKELY ones
WHOLE_JPEGS = 1.25  # in place of ON_THE_WHOLE
LIKELY = (NEAREST, *FINE)
ONCE_SAVED = 0.8  # times the error before it is saved like the target, that a filter has afterwards
ROUNDING = (0.5 / 255) ** 2  # of bytes
SURELY = 0.001  # of the error of doing nothing: with less, nothing else is tried
SIMPLER = 1.15  # times the error of a later filter, that an earlier one may have


def fit_filter(
    pairs: Sequence[Pair], jpegs: Sequence[Jpeg | None], fine: bool
) -> tuple[Coefficients, str, float] | None:
    """(F, 3) of a family that counts pixels, its name, and the share of the error of doing nothing that it leaves.

    Of pairs that are as large before as after. jpegs: how those after were saved; what a filter makes is saved so, too,
    before it is compared. fine: only families that no small picture is tried for. None where nothing fits.
    """
    parts = [_cut(*pair, _most_changed(*pair)) for pair in pairs]
    nothing = _off([one.source for one in parts], parts)
    if nothing < ROUNDING or fitted(parts, _inside(NEAREST), GLANCE)[1] > WORTH * nothing:
        return None
    tell = _told_of_jpegs if any(jpegs) else _told
    best: tuple[Coefficients, str, float] | None = None
    for name in FINE if fine else FILTERS:
        told = tell(parts, jpegs, name, nothing)
        if told is not None and (best is None or SIMPLER * told[1] < best[2]):
            best = told[0], name, told[1]
        if best is not None and best[2] < max(ROUNDING, SURELY * nothing):
            break
    most = WHOLE_JPEGS if any(jpegs) else ON_THE_WHOLE
    return None if best is None or _left_in_all(pairs, jpegs, *best[:2]) > most else (*best[:2], best[2] / nothing)


def _told(
    parts: Sequence[Known], _: Sequence[Jpeg | None], name: str, nothing: float
) -> tuple[Coefficients, float] | None:
    return fit_family(parts, _inside(name), MOST * nothing + ROUNDING)


def _told_of_jpegs(
    parts: Sequence[Known], jpegs: Sequence[Jpeg | None], name: str, nothing: float
) -> tuple[Coefficients, float] | None:
    """The same, where it is like the target once it is saved like it, and not before."""
    family = _inside(name)
    if fitted(parts, family, GLANCE)[1] > (WORTH + OF_JPEGS) * nothing:
        return None
    coefficients = fitted(parts, family, family.every)[0].astype(np.float32)
    made = [linear_of(one.source, coefficients, name) for one in parts]
    saved, before = (_off(each, parts, family.rim) for each in (_saved(made, jpegs), made))
    likely = saved < min(OF_JPEGS * nothing, ONCE_SAVED * before) and name in LIKELY
    error = min(saved, before)  # what only looks like a JPEG is one of the few that saving takes farther away
    return (coefficients, error) if likely or error < MOST * nothing + ROUNDING else None


def _saved(made: Sequence[Unit], jpegs: Sequence[Jpeg | None]) -> list[Unit]:
    """As the pictures of the pairs were, their noise with it."""
    return [one if jpeg is None else to_unit(jpeg.again(from_unit(one))) for one, jpeg in zip(made, jpegs, strict=True)]


def _inside(name: str) -> Family:
    """The family, told of pixels that are farther from the rim of a part than it reaches."""
    family = family_of(name)
    return replace(family, rim=family.reach)


def _most_changed(before: Image.Image, after: Image.Image) -> Box:
    """A part of PART px, or all of what is smaller."""
    size = before.size
    columns, rows = (max(1, side // PART) for side in size)
    change = ImageChops.difference(to_rgb(before), to_rgb(after)).resize((columns, rows), Image.Resampling.BOX)
    row, column = np.unravel_index(int(np.asarray(change, np.int64).sum(axis=2).argmax()), (rows, columns))
    return _box(size, (column + 0.5) / columns, (row + 0.5) / rows, PART)


def _box(size: Size, x: float, y: float, side: int) -> Box:
    """Of so many px about a place, in shares of the size; what there is of it."""
    width, height = (min(side, whole) for whole in size)
    left, top = round(x * size[0] - width / 2), round(y * size[1] - height / 2)
    left, top = (max(0, place) // GRID * GRID for place in (left, top))
    return left, top, left + width, top + height


def _cut(before: Image.Image, after: Image.Image, box: Box) -> Known:
    source, target = (to_unit(to_rgb(one.crop(box))) for one in (before, after))
    return Known(source, source, target)


def _left_in_all(pairs: Sequence[Pair], jpegs: Sequence[Jpeg | None], coefficients: Coefficients, name: str) -> float:
    """Of the error of doing nothing, the share that is left in the middle of the pictures."""
    parts = [_cut(*pair, _box(pair[0].size, 0.5, 0.5, WHOLE)) for pair in pairs]
    made = _saved([linear_of(one.source, coefficients, name) for one in parts], jpegs)
    return _off(made, parts) / (_off([one.source for one in parts], parts) + ROUNDING)


def _off(made: Sequence[Unit], known: Sequence[Known], rim: int = 0) -> float:
    """The mean square error, but for a rim, px."""
    inner = np.s_[rim:-rim, rim:-rim] if rim else np.s_[:]
    errors = [np.square(result - one.target)[inner].mean() for result, one in zip(made, known, strict=True)]
    return float(np.mean(errors))
