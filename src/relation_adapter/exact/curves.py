"""Edits that are curves of a photo program: every level of something that a pixel shows becomes a colour.

Brighter, darker, gamma, solarized, posterized, black and white, a gradient map; and gradient maps of blurred luma, of
how steep it is, of luma over its blur and of the difference of two blurs, as many drawings are. Read off the pair level
by level, and done where a level is known from it, or where all that are known lie on a curve of gain, offset and gamma.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from relation_adapter.correction import LUMA, Known, board
from relation_adapter.exact.blurs import blurred
from relation_adapter.units import Unit

Table = npt.NDArray[np.float32]
Levels = npt.NDArray[np.int64]

LEVELS = 256
BLACK, WHITE = 1 / 255, 254 / 255  # at and beyond them a value may be clipped: what it would be is not known
# What a level is of: each colour, with one curve for all or its own; luma; and with a number, the sigma of a blur in px
# from SIGMAS[0] to SIGMAS[-1], blurred luma, its slope, luma over it (a colour dodge, as of pencil sketches), and how
# much it has more than a wider one (the difference of Gaussians, as of line drawings).
BY_PIXEL = ("colours alike", "colours", "luma")
BLURRED = {"luma": 1.0, "steep": 1.0, "dodge": 0.25, "difference": 1.0}  # how much each may leave of what is wanted
SIGMAS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
FINER = 4  # times the sigma is told twice as finely
STEEP = 4.0  # times a slope, of luma a pixel, is a level
DARK = 0.02  # added to what is divided: black over black is no light
DODGED = 0.8  # times luma over its blur is a level
WIDER = 1.6  # times the sigma of a blur is that of the wider one (Marr and Hildreth, 1980)
APART = 2.5  # times what blurs differ by is a level, from the middle on
SIMPLER = 1.15  # times the error of the next driver, that an earlier one may have
GLANCE = 5  # of how many pixels one is enough to compare sigmas
HOPEFUL = 30.0  # times the error that is wanted: where no sigma has less, none between them has that
GAP = 6  # levels between two known ones, over which the curve is straight
SEEN = 0.9  # of the values of a picture, whose levels have to be known
WIDE = 96  # known levels that are neither black nor white, from which a curve of gain, offset and gamma is told
GAMMAS = np.geomspace(0.25, 4, 33)
TRUE = 1 / 255  # how far a known level may lie from that curve


def fit_curves(known: Sequence[Known], drivers: Sequence[str] = BY_PIXEL) -> tuple[Table, str, float]:
    """(LEVELS, 6): what every level becomes in red, green and blue, and 1 where that is known; the driver; the error.

    The error is the mean square in blocks of the pictures that the fit has not seen.
    """
    found, best = drivers[0], float("inf")
    for driver in reversed(drivers) if _in_black_and_white(known) else drivers:
        if (error := _held_out(known, driver)) * SIMPLER < best:
            found, best = driver, error
    levels, targets, _ = _pixels(known, found)
    table = _table(levels, targets, found)
    if found in BY_PIXEL:
        for colour in range(3):
            table[:, [colour, colour + 3]] = _gone_on(table[:, colour], table[:, colour + 3])
    return table.astype(np.float32), found, best


def fit_blurred_curves(known: Sequence[Known], wanted: float) -> tuple[Table, str, float] | None:
    """As `fit_curves`, of blurred luma or its slope; None where the error that is wanted is out of reach."""
    errors = {(kind, sigma): _held_out(known, f"{kind} {sigma}", GLANCE) for kind in BLURRED for sigma in SIGMAS}
    kind, sigma = min(errors, key=errors.__getitem__)
    best, ratio = errors[kind, sigma], SIGMAS[1] / SIGMAS[0]
    if best > HOPEFUL * wanted:
        return None
    for _ in range(FINER):
        ratio **= 0.5
        beside = [round(min(max(sigma * step, SIGMAS[0]), SIGMAS[-1]), 4) for step in (1 / ratio, ratio)]
        error, nearer = min((_held_out(known, f"{kind} {one}", GLANCE), one) for one in beside)
        if error < best:
            best, sigma = error, nearer
    found = fit_curves(known, [f"{kind} {sigma}"])
    return found if found[2] < BLURRED[kind] * wanted else None


def _in_black_and_white(known: Sequence[Known]) -> bool:
    """Whether greys became black and white: that parts by luma, which no grey pair tells from each colour by itself."""
    grey = all(np.ptp(one.source, axis=-1).max() < BLACK for one in known)
    return grey and all(((one.target < BLACK) | (one.target > WHITE)).all() for one in known)


def is_driver(name: str) -> bool:
    """Whether levels can be of it."""
    kind, _, sigma = name.partition(" ")
    if name in BY_PIXEL:
        return True
    return kind in BLURRED and sigma.replace(".", "", 1).isdecimal() and SIGMAS[0] <= float(sigma) <= SIGMAS[-1]


def curves_of(source: Unit, result: Unit, table: Table, driver: str, strength: float = 1.0) -> Unit:
    """A source (H, W, 3) in [0, 1], edited as far as the strength says; as the result, where a level is not known."""
    levels, columns = _levels(source, driver), np.arange(3)
    known = table[levels, columns + 3] > 0
    made = source + np.float32(strength) * (table[levels, columns] - source)
    return np.where(known, made, result).astype(np.float32)


def _held_out(known: Sequence[Known], driver: str, every: int = 1) -> float:
    """The mean square error in the blocks that are black on a board, of curves of the white ones, and the other way.

    every: of how many pixels one is looked at.
    """
    levels, targets, odd = _pixels(known, driver)
    levels, targets, odd = levels[::every], targets[::every], odd[::every]
    halves = [_table(levels[rows], targets[rows], driver) for rows in (~odd, odd)]
    return sum(_error(half, levels[rows], targets[rows]) for half, rows in zip(halves, (odd, ~odd), strict=True)) / 2


def _pixels(known: Sequence[Known], driver: str) -> tuple[Levels, npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """(N, 3) levels and (N, 3) targets of all, and (N,) whether in a black block."""
    levels = np.concatenate([_levels(one.source, driver).reshape(-1, 3) for one in known])
    targets = np.concatenate([one.target.reshape(-1, 3) for one in known]).astype(np.float64)
    return levels, targets, np.concatenate([board(*one.target.shape[:2]) for one in known])


def _levels(source: Unit, driver: str) -> Levels:
    """(H, W, 3) from 0 to 255: which place in each colour's curve a pixel has."""
    kind, _, sigma = driver.partition(" ")
    values: Any = source
    if kind in BLURRED:
        luma = (source @ LUMA)[..., None]
        values = np.repeat(_shown(luma, kind, float(sigma)) if sigma else luma, 3, axis=-1)
    return np.rint(values * 255).clip(0, LEVELS - 1).astype(np.int64)


def _shown(luma: Unit, kind: str, sigma: float) -> Unit:
    """What levels are of, of luma (H, W, 1) and a blur of it."""
    soft = blurred(luma, sigma)
    if kind == "steep":
        return STEEP * np.hypot(*np.gradient(soft, axis=(0, 1)))
    if kind == "dodge":
        return DODGED * (luma + DARK) / (soft + DARK)
    return 0.5 + APART * (soft - blurred(luma, WIDER * sigma)) if kind == "difference" else soft


def _table(levels: Levels, targets: npt.NDArray[np.float64], driver: str) -> npt.NDArray[np.float64]:
    """(LEVELS, 6) of pixels (N, 3)."""
    counts = np.stack([np.bincount(column, minlength=LEVELS) for column in levels.T], axis=1)
    sums = [np.bincount(place, value, LEVELS) for place, value in zip(levels.T, targets.T, strict=True)]
    totals = np.stack(sums, axis=1)
    if driver == "colours alike":
        counts, totals = (np.repeat(each.sum(axis=1, keepdims=True), 3, axis=1) for each in (counts, totals))
    curves = [_curve(*each) for each in zip(counts.T, totals.T, strict=True)]
    return np.stack([values for values, _ in curves] + [known for _, known in curves], axis=1)


def _curve(counts: Any, totals: Any) -> tuple[Any, Any]:
    """What every level becomes, and 1 where that is known: it was seen, or lies in a small gap between such."""
    seen = np.flatnonzero(counts)
    every = np.arange(LEVELS)
    values = np.interp(every, seen, totals[seen] / counts[seen])
    after = np.searchsorted(seen, every).clip(0, len(seen) - 1)
    before = (np.searchsorted(seen, every, side="right") - 1).clip(0)
    inside = (every >= seen[0]) & (every <= seen[-1])
    return values, (inside & (seen[after] - seen[before] <= GAP)).astype(np.float64)


def _gone_on(values: Any, known: Any) -> Any:
    """(LEVELS, 2): a curve and what of it is known; all of it, where what is known says its gain, offset and gamma."""
    seen = np.flatnonzero(known)
    free = seen[(values[seen] > BLACK) & (values[seen] < WHITE)]
    every = np.arange(LEVELS) / (LEVELS - 1)
    if len(free) >= WIDE:
        finer = np.log(GAMMAS[1] / GAMMAS[0])
        near = min(GAMMAS, key=lambda gamma: np.ptp(_power(every, values, free, gamma)[free] - values[free]))
        for _ in range(10):
            finer /= 2
            beside = [near * np.exp(step) for step in (-finer, 0, finer)]
            near = min(beside, key=lambda gamma: np.ptp(_power(every, values, free, gamma)[free] - values[free]))
        made = _power(every, values, free, near).clip(0, 1)
        if np.abs(made[seen] - values[seen]).max() < TRUE:
            return np.stack([np.where(known > 0, values, made), np.ones(LEVELS)], axis=1)
    return np.stack([values, known], axis=1)


def _power(every: Any, values: Any, free: Any, gamma: float) -> Any:
    """The curve of that gamma, with the gain and offset that fit best."""
    return np.polyval(np.polyfit(every[free] ** gamma, values[free], 1), every**gamma)


def _error(table: npt.NDArray[np.float64], levels: Levels, targets: npt.NDArray[np.float64]) -> float:
    """Of pixels whose levels are known; without end where those are too few."""
    columns = np.arange(3)
    known = table[levels, columns + 3] > 0
    if known.mean() < SEEN:
        return float("inf")
    return float(np.square(targets - table[levels, columns])[known].mean())
