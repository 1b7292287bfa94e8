"""Cartoons that a pair shows nearly: calm colours in steps, with contours.

An effect of photo programs in three parts: a picture is painted flat (Kuwahara, 1976), its luma is cut into steps, and
ink is laid where that is steep. Of such a pair a small model knows the colours and not the steps. Told by least
squares: a mix of the calm colours, a curve of their luma, and curves of how steep it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relation_adapter.correction import LUMA, Mask, Values, board, fitted
from relation_adapter.exact.blurs import blurred
from relation_adapter.exact.effects import calmest
from relation_adapter.units import Unit

REACHES = (2, 3, 4, 5, 6)  # px, of the calm squares; 0 is the picture as it is, 1 hardly flatter
CONTOUR = 1.2  # px, of the softer of two contours
STEEP = 4.0  # times a slope, of luma a pixel, is a level of its curve
KNOTS = (128, 32, 32)  # of the curves of luma and of both contours, even steps from 0 to 1
STIFFNESS, HEIGHT = 6e-5, 6e-6  # what steps from knot to knot, and heights, cost
RIDGE = 1e-5  # the same of mixes
GLANCE = 7  # of how many pixels one is enough to compare reaches
BETTER = 0.7  # times the error of a corrected model, that a cartoon may have in blocks that no fit has seen
LEAST = 0.35  # of the error of doing nothing, that it may have
FLATTER = 0.8  # times the error of the same with the picture as it is, that it may have
DARK, LIGHT = 1 / 255, 254 / 255  # beyond them a colour may be clipped: what it would be is not known


@dataclass(frozen=True)
class Cartoon:
    """reach: px, of the calm squares. mix: (3 + all KNOTS, 3)."""

    reach: int
    mix: Values

    def missing(self, source: Unit, result: Unit) -> Values:
        """(H, W, 3): what a result (H, W, 3) of a source lacks to be the cartoon of it."""
        drawn = (_numbers(source, self.reach) @ self.mix).clip(0, 1).reshape(source.shape)
        return (drawn - result).astype(np.float32)


def cartoon_of(before: Unit, made: Unit, after: Unit) -> Cartoon | None:
    """Of a pair and what a corrected model makes of its before, (H, W, 3) each; None where it is no cartoon."""
    limit = min(BETTER * _off(made, after), LEAST * _off(before, after))
    errors = {reach: _error(before, after, reach) for reach in (0, *REACHES)}
    reach = min(errors, key=errors.__getitem__)
    if errors[reach] > min(limit, FLATTER * errors[0]):
        return None
    return Cartoon(reach, _fit(before, after, reach))


def _off(first: Unit, second: Unit) -> float:
    return float(np.square(first - second).mean())


@dataclass(frozen=True)
class _Mix:
    numbers: Values  # (N, F)

    def sums(self, errors: Values, rows: Mask) -> tuple[Values, Values]:
        seen = self.numbers[rows]
        return seen.T @ seen, seen.T @ errors[rows]

    def times(self, coefficients: Values) -> Values:
        return self.numbers @ coefficients


def _error(before: Unit, after: Unit, reach: int) -> float:
    """The mean square error in blocks that a fit has not seen, of one of GLANCE pixels."""
    numbers, targets = _numbers(before, reach, GLANCE), after.reshape(-1, 3)[::GLANCE].astype(np.float64)
    _, told = fitted(_Mix(numbers), targets, board(*before.shape[:2])[::GLANCE], _penalty())
    return (1 - told) * float(np.square(targets).mean())


def _fit(before: Unit, after: Unit, reach: int) -> Values:
    """(F, 3), each colour by the pixels where it is not clipped."""
    numbers, targets, odd = _numbers(before, reach), after.reshape(-1, 3).astype(np.float64), board(*before.shape[:2])
    rows = (targets > DARK) & (targets < LIGHT)
    rows |= rows.sum(axis=0) < numbers.shape[1]
    columns = [
        fitted(_Mix(numbers[free]), target[free, None], odd[free], _penalty())[0]
        for target, free in zip(targets.T, rows.T, strict=True)
    ]
    return np.concatenate(columns, axis=1)


def _numbers(source: Unit, reach: int, every: int = 1) -> Values:
    """(N, F): the calm colours of one of so many pixels, and how much each knot of the curves counts for it."""
    calm = calmest(source, reach) if reach else source
    luma = (calm @ LUMA)[..., None]
    levels = [luma, *(STEEP * np.hypot(*np.gradient(one, axis=(0, 1))) for one in (luma, blurred(luma, CONTOUR)))]
    seen = [level.reshape(-1)[::every].clip(0, 1).astype(np.float64) for level in levels]
    return np.concatenate([calm.reshape(-1, 3)[::every].astype(np.float64), *map(_tents, seen, KNOTS)], axis=1)


def _tents(levels: Values, knots: int) -> Values:
    """(N, knots): of the two beside a level in [0, 1] their shares, in all 1."""
    place = levels * (knots - 1)
    low, rows = np.minimum(place.astype(np.int64), knots - 2), np.arange(len(place))
    found = np.zeros((len(place), knots))
    found[rows, low], found[rows, low + 1] = 1 - (place - low), place - low
    return found


def _penalty() -> Values:
    return _beside([RIDGE * np.eye(3), *map(_cost, KNOTS)])


def _cost(knots: int) -> Values:
    steps = np.diff(np.eye(knots), axis=0)
    return STIFFNESS * steps.T @ steps + HEIGHT * np.eye(knots)


def _beside(blocks: Sequence[Values]) -> Values:
    """One matrix with the others along its diagonal."""
    found, first = np.zeros((sum(map(len, blocks)),) * 2), 0
    for block in blocks:
        found[first : first + len(block), first : first + len(block)] = block
        first += len(block)
    return found
