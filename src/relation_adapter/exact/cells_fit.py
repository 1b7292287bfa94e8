"""How a grid is told from pairs: its cells from where steps are, what happens in them by least squares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations_with_replacement, product

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_matrix

from relation_adapter.correction import BLOCK, LUMA, Mask, Values
from relation_adapter.exact.blurs import blurred
from relation_adapter.exact.cells import (
    EVERY,
    KNOTS,
    Cells,
    Indices,
    between_knots,
    levels_of,
    numbers_made,
    places_of,
    shown_of,
)
from relation_adapter.exact.curves import BLACK, WHITE
from relation_adapter.images import Size
from relation_adapter.units import Unit

LINES = 128  # of a picture, that are looked at to see where steps are
LARGEST = 40  # px, of a cell
PERIODIC = 12.0  # times as well as by chance a grid has to tell where steps are
FINER = 8  # parts of a cell, in which numbers of them are tried
PLAINER = 1.2  # times as well tells a side of whole pixels, or a whole number of cells
CLOSE = 4.0  # px, of a side that may be seen in place of a shorter one
LEAST = 2.2  # px, of a side that is not of whole pixels
SLIP = 0.75  # px, that all cells together are longer or shorter than of whole pixels
SIDES = 12  # that are looked at
ALONE = 8  # times as well one side tells, where there may be none the other way
NEAR = 0.08  # of a side, is hardly another
NONE = (0.0, False)
AGAIN = 0.3  # of what is finer than a blur, that a period on has to be more alike than between
NEARLY = 0.85  # of what the best period tells, that a shorter one has to
SMOOTH = 3.0  # px, the sigma of that blur
AROUND = 8  # parts of a line, the sigma of what steps are there anyway
FEWEST = 3  # cells beside each other
ALIKE = 0.03  # of the sides of a cell, that those of a square differ by at most
PART = 192  # px, of the upper left part that is fitted
CHECKED = 768  # px, of the one on which that is tried: sides that are a little wrong add up
DRIFTS = 2.0  # times as much may be left there
LOOSELY = 0.05  # of the error of doing nothing, that always may
PIXELS = {"mix": 8, "luma": 24, "colours": 24}  # at least, for every place
HOPEFUL = 0.9  # times what is left anyway: where the first ways leave more, others are not tried
SIMPLER = 1.15  # times the error of the next way, that an earlier one may have
ENOUGH = 5e-4  # of the error of doing nothing: no more is tried
PLACED = 0.7  # times what is left where places are not told apart, that may be left
CLIPPED = 0.02  # times as much counts a pixel that is black or white: what it would be is not known
SELDOM = 0.97  # of the values, that are free: where more are, clipped ones count as they are
RIDGE = (1e-3, 0.01, 0.3)  # pixels: of what is always there, of a colour's own, of what it takes of the others
BENDS = 0.1  # pixels: what a step from knot to knot costs
FIRST = (("own", "mix", 1), ("means", "mix", 1), ("means", "mix", 2), ("means", "mix", 4))
NEXT = (
    *product(("own", "soft"), ("mix", "colours", "luma"), (1,)),
    *product(("means", "means of more", "means of fewer"), ("mix", "luma"), (1,)),
)

Pictures = Sequence[tuple[Unit, Unit]]
Side = tuple[float, bool]  # of a cell, px, and whether it is stretched
Tried = tuple[float, Cells]  # a share of the error of doing nothing that is left, and of what
NOTHING = Cells(1.0, 1.0, False, False, 1, (1, 1), "own", "mix")


def fit_cells(pairs: Pictures) -> tuple[Cells, Values, float] | None:
    """The grid of pairs of one size, its table, and the share of the error of doing nothing in blocks not fitted.

    None where there is no grid, or where what happens is told nearly as well without its places.
    """
    parts = _parts(pairs, PART)
    best: Tried = (float("inf"), NOTHING)
    for grid in grids_of(*pairs[0]):
        best = parts.best(grid, FIRST, best)
    if math.isinf(best[0]) or best[0] > HOPEFUL * parts.share_anyway(best[1]):
        return None
    best = parts.best(best[1], NEXT, best)
    again = [(best[1].shown, way, every) for way, every in product(dict.fromkeys(("mix", best[1].way)), EVERY[1:])]
    share, cells = parts.best(best[1], again, best)
    whole = _parts(pairs, CHECKED)
    drifts = whole.left(cells, parts.table(cells)) > max(DRIFTS * share, LOOSELY)
    if drifts or share > PLACED * parts.share_anyway(cells):
        return None
    return cells, whole.table(cells).astype(np.float32), share


def _parts(pairs: Pictures, side: int) -> Parts:
    height, width = pairs[0][1].shape[:2]
    return Parts([(before[:side, :side], after[:side, :side]) for before, after in pairs], (width, height))


def grids_of(before: Unit, after: Unit) -> list[Cells]:
    """Grids that may be in after and are not in before."""
    down, across = (_likeliest(_told(_steps(after, axis) - _steps(before, axis))) for axis in (0, 1))
    both = {(one, other): down[one] + across[other] for one, other in product(down, across) if _near(one, other, ALIKE)}
    best = [max(each, key=each.__getitem__, default=NONE) for each in (down, across)]
    found = [max(both, key=both.__getitem__, default=(NONE, NONE)), (best[0], best[1])]
    sure = [each.get(side, 0.0) for each, side in zip((down, across), best, strict=True)]
    if max(sure) > ALONE * min(sure):
        found.insert(0, (best[0], NONE) if sure[0] > sure[1] else (NONE, best[1]))
    found.append((_again(after, 0), _again(after, 1)))
    grids: list[Cells] = []
    sides = after.shape[:2]
    for one, other in found:
        if not any(_near(one, (g.height, False), NEAR) and _near(other, (g.width, False), NEAR) for g in grids):
            sizes = zip(_others(one, sides[0]), _others(other, sides[1]), strict=True)
            tried = [Cells(down[0], across[0], down[1], across[1], 1, (1, 1), "own", "mix") for down, across in sizes]
            grids += [grid for grid in tried if 0 < max(grid.height, grid.width) <= LARGEST]
    return grids


def _others(side: Side, count: int) -> list[Side]:
    """The side of cells that have one step, and of ones with two, which may lie closer than pixels show."""
    length, whole = side
    folded = 2 / (1 - 1 / length) if LEAST <= length < CLOSE else 0.0
    lengths = [float(round(one)) if _is_whole(one, count) else one for one in (length, 2 * length, folded)]
    return [(one, whole and one != round(one)) for one in lengths]


def _likeliest(told: dict[Side, float]) -> dict[Side, float]:
    """The sides that tell best, well enough."""
    sides = sorted(told, key=told.__getitem__, reverse=True)[:SIDES]
    return {side: told[side] for side in sides if told[side] > PERIODIC}


def _steps(picture: Unit, axis: int) -> Values:
    """(N,): what every line of pixels differs by from the one before, the mean of some places along it."""
    lines = np.moveaxis(picture, axis, 0)
    lines = lines[:, :: max(1, lines.shape[1] // LINES)]
    steps = np.abs(np.diff(lines, axis=0)).mean(axis=(1, 2))
    return np.concatenate([[steps.mean()], steps])


def _told(steps: Values) -> dict[Side, float]:
    """How well each side of cells tells of steps (N,) where they are: F, of chance 1, for every freedom it takes."""
    count = len(steps)
    steps = steps - gaussian_filter1d(steps, count / AROUND)
    total = float(np.square(steps).sum()) + 1e-12
    power = 2 * np.square(np.abs(np.fft.rfft(steps, FINER * count))) / count
    power[-FINER:] /= 2  # there a line and its mirror image fall together
    found = {}
    for many in range(FINER * max(FEWEST, math.ceil(count / LARGEST)), math.floor(FINER * count / LEAST)):
        side, whole = FINER * count / many, many % FINER == 0
        if _is_whole(side, count):  # see below
            continue
        overtones = power[many::many]
        share = float(overtones.sum()) / total
        found[side, whole] = (PLAINER if whole else 1.0) * _surely(share, 2 * len(overtones), count)
    for side in range(2, min(LARGEST, count // FEWEST) + 1):
        place = np.arange(count) % side
        told = np.square(np.bincount(place, steps)) / np.bincount(place)
        found[float(side), False] = PLAINER**2 * _surely(float(told.sum()) / total, side - 1, count)
    return found


def _is_whole(side: float, count: int) -> bool:
    """Whether the cells of so many pixels are as good as of whole pixels."""
    return abs(side - round(side)) * count < SLIP * side


def _surely(share: float, freedom: int, count: int) -> float:
    """How much more than chance a share is, that is told with so many degrees of freedom."""
    return share / freedom / (max(1 - share, 1e-3) / max(1, count - 1 - freedom))


def _near(one: Side, other: Side, share: float) -> bool:
    return abs(one[0] - other[0]) <= share * one[0]


def _again(after: Unit, axis: int) -> Side:
    """After how many pixels what is finer than a blur is there again; 0: it is not."""
    luma = (after[:PART, :PART] @ LUMA)[..., None]
    fine = np.moveaxis(luma - blurred(luma, SMOOTH), axis, 0)[..., 0]
    last = min(LARGEST, len(fine) // FEWEST)
    power = float(np.square(fine).mean()) + 1e-12
    alike = np.array([float((fine[lag:] * fine[:-lag]).mean()) / power for lag in range(1, last + 2)])
    higher = alike - np.minimum.accumulate(alike)
    peaks = [lag for lag in range(1, last) if higher[lag] > AGAIN and alike[lag] >= max(alike[lag - 1], alike[lag + 1])]
    best = max((alike[lag] for lag in peaks), default=0.0)
    return next(((lag + 1.0, False) for lag in peaks if alike[lag] >= NEARLY * best), NONE)


@dataclass(frozen=True)
class Parts:
    """Upper left parts of pairs, and the size of the whole."""

    pairs: Pictures
    size: Size

    def best(self, grid: Cells, ways: Iterable[tuple[str, str, int]], best: Tried) -> Tried:
        """The best of some ways to fill a grid and of what was best so far, the earlier where both are near."""
        for shown, way, every in ways:
            if best[0] < ENOUGH:
                break
            tried = replace(grid, shown=shown, way=way, every=every, places=self._places(grid, way, every))
            if math.prod(tried.places) * PIXELS[way] > len(self.odd):
                continue
            share = self.share(tried)
            if share * SIMPLER < best[0]:
                best = share, tried
        return best

    def share(self, cells: Cells) -> float:
        """Of the error of doing nothing, what is left in blocks of a half that was not fitted, and the other way."""
        shown, places = self._seen(cells)
        many = cells.form[0]
        table = self._table(cells, shown, places + many * ~self.odd, 2 * many)  # of the other blocks
        made = numbers_made(levels_of(shown, cells.way), places + many * self.odd, table, cells.way)
        return float(np.square(made.clip(0, 1) - self.targets).mean()) / self.nothing

    def left(self, cells: Cells, table: Values) -> float:
        """Of the error of doing nothing, what a table leaves."""
        shown, places = self._seen(cells)
        made = numbers_made(levels_of(shown, cells.way), places, table, cells.way)
        return float(np.square(made.clip(0, 1) - self.targets).mean()) / self.nothing

    def share_anyway(self, cells: Cells) -> float:
        """What is left where the places in such cells are not told apart."""
        return min(self.share(replace(cells, places=(1, 1), every=1, shown=one)) for one in ("own", "soft", "means"))

    def table(self, cells: Cells) -> Values:
        """(places, numbers, 3), of all."""
        return self._table(cells, *self._seen(cells), cells.form[0]).astype(np.float32)

    @cached_property
    def targets(self) -> Values:
        """(N, 3)."""
        return np.concatenate([after.reshape(-1, 3) for _, after in self.pairs]).astype(np.float64)

    @cached_property
    def odd(self) -> Mask:
        """(N,): which pixels are in the one half of the blocks.

        At random, since every second block of a board may begin in the middle of a cell.
        """
        return np.concatenate([_half(*after.shape[:2]).reshape(-1) for _, after in self.pairs])

    @cached_property
    def nothing(self) -> float:
        """The mean square error of doing nothing."""
        return float(np.mean([np.square(after - before).mean() for before, after in self.pairs])) + 1e-9

    def _seen(self, cells: Cells) -> tuple[Unit, Indices]:
        """(N, 3) colours that are looked at, and (N,) places."""
        shown = [shown_of(before, cells, self.size) for before, _ in self.pairs]
        places = [places_of(cells, *one.shape[:2]).reshape(-1) for one in shown]
        return np.concatenate([one.reshape(-1, 3) for one in shown]), np.concatenate(places)

    def _table(self, cells: Cells, shown: Unit, places: Indices, many: int) -> Values:
        solved = _mixes if cells.way == "mix" else _curves
        return solved(levels_of(shown, cells.way), self.targets, places, many)

    def _places(self, grid: Cells, way: str, every: int) -> tuple[int, int]:
        """As many as pixels, where cells have a whole number; else twice as many, where each then still has enough."""
        sides = [side * every for side in (grid.height, grid.width)]
        fine = [max(1, round(side) if side == round(side) else 2 * math.ceil(side)) for side in sides]
        if math.prod(fine) * 2 * PIXELS[way] > len(self.odd):
            fine = [max(1, math.ceil(side)) for side in sides]
        return fine[0], fine[1]


def _half(height: int, width: int) -> Mask:
    """(H, W): blocks of a half of a picture."""
    rows, columns = (np.arange(side) // BLOCK for side in (height, width))
    half: Mask = np.random.default_rng(0).random((rows[-1] + 1, columns[-1] + 1)) < 0.5
    return half[rows][:, columns]


def _mixes(shown: Values, targets: Values, places: Indices, many: int) -> Values:
    """(many, 4, 3): the mix of each place, of (N, 3) colours, by least squares."""
    free = (targets > BLACK) & (targets < WHITE)
    counted = np.where(free, 1.0, CLIPPED)
    if free.mean() > SELDOM:  # one weight for all colours, in half the time
        counted = np.ones((len(shown), 1))
    terms = np.concatenate([np.ones((len(shown), 1)), shown], axis=1)
    pairs = list(combinations_with_replacement(range(4), 2))
    parts = [counted * (terms[:, first] * terms[:, second])[:, None] for first, second in pairs]
    seen = _summed(np.concatenate(parts, axis=1), places, many).reshape(many, len(pairs), -1)
    wanted = [counted * targets * terms[:, [first]] for first in range(4)]
    products = _summed(np.concatenate(wanted, axis=1), places, many).reshape(many, 4, 3)
    squares = np.zeros((many, 3, 4, 4))
    for number, (first, second) in enumerate(pairs):
        squares[:, :, first, second] = squares[:, :, second, first] = seen[:, number]
    always, own, others = RIDGE
    for colour in range(3):
        squares[:, colour] += np.diag([always, *np.where(np.arange(3) == colour, own, others)])
    found = np.linalg.solve(squares, np.swapaxes(products, 1, 2)[..., None])
    return np.swapaxes(found[..., 0], 1, 2)


def _curves(levels: Values, targets: Values, places: Indices, many: int) -> Values:
    """(many, KNOTS, 3): the curves of each place, of (N, 3) levels, by least squares."""
    index, low, high = between_knots(levels)
    at = places[:, None] * KNOTS + index
    found = np.empty((many, KNOTS, 3))
    for colour in range(3):
        one, first, second, target = at[:, colour], low[:, colour], high[:, colour], targets[:, colour]
        summed = (first * first, second * second, first * second, first * target, second * target)
        sums = [_summed(value[:, None], one, many * KNOTS).reshape(many, KNOTS) for value in summed]
        here, following, beside, wanted, next_ = sums
        here[:, 1:] += following[:, :-1]
        wanted[:, 1:] += next_[:, :-1]
        here = here + BENDS * np.where(np.isin(np.arange(KNOTS), (0, KNOTS - 1)), 1.0, 2.0) + 1e-6
        found[..., colour] = _banded(here, beside[:, :-1] - BENDS, wanted)
    return found


def _banded(middle: Values, beside: Values, wanted: Values) -> Values:
    """(M, K): the solutions of M tridiagonal, symmetric systems."""
    middle, found = middle.copy(), wanted.copy()
    for knot in range(1, middle.shape[1]):
        share = beside[:, knot - 1] / middle[:, knot - 1]
        middle[:, knot] -= share * beside[:, knot - 1]
        found[:, knot] -= share * found[:, knot - 1]
    found[:, -1] /= middle[:, -1]
    for knot in range(middle.shape[1] - 2, -1, -1):
        found[:, knot] = (found[:, knot] - beside[:, knot] * found[:, knot + 1]) / middle[:, knot]
    return found


def _summed(values: Values, places: Indices, many: int) -> Values:
    """(many, C): the sums of values (N, C) over the pixels of each place."""
    ones = csr_matrix((np.ones(len(places)), places, np.arange(len(places) + 1)), (len(places), many))
    found: Values = ones.T @ values
    return found
