"""Cartoons that a pair shows nearly: calm colours in steps, with contours.

An effect of photo programs in three parts: a picture is painted flat (Kuwahara, 1976), its luma is cut into steps, and
ink is laid where that is steep. Of such a pair a small model knows the colours and not the steps. Told by least
squares: a mix of the calm colours, a curve of their luma, and curves of how steep it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from relation_adapter.correction import LUMA, Mix, Values, board, fitted
from relation_adapter.exact.blurs import blurred
from relation_adapter.exact.curves import BLACK, WHITE
from relation_adapter.exact.effects import calmest
from relation_adapter.units import Unit

REACHES = (2, 3, 4, 5, 6)  # px, of the calm squares; 0 is the picture as it is, 1 hardly flatter
CONTOUR = 1.2  # px, of the softer of two contours
STEEP = 4.0  # times a slope, of luma a pixel, is a level of its curve
KNOTS = (128, 32, 32)  # of the curves of luma and of both contours, even steps from 0 to 1
STIFFNESS, HEIGHT = 6e-5, 6e-6  # what steps from knot to knot, and heights, cost
RIDGE, STIFF = 1e-5, 1e-3  # the same of as much of each colour, and of mixes of them
GLANCE = 7  # of how many pixels one is enough to compare reaches
BETTER = 0.7  # times the error of a corrected model, that a cartoon may have in blocks that no fit has seen
LEAST = 0.35  # of the error of doing nothing, that it may have
FLATTER = 0.8  # times the error of the same with the picture as it is, that it may have
ENDS = 1  # percent of a pair that is darker, and lighter, than what is known of it
FAR = 0.08  # of luma beyond that, where nothing is known


@dataclass(frozen=True)
class Cartoon:
    """reach: px, of the calm squares. known: luma of the darkest and lightest of the pair. mix: (3 + all KNOTS, 3)."""

    reach: int
    known: tuple[float, float]
    mix: Values

    def missing(self, source: Unit, result: Unit) -> Values:
        """(H, W, 3): what a result (H, W, 3) of a source lacks to be the cartoon of it, where the pair has its luma."""
        calm = calmest(source, self.reach)
        drawn, luma = (_numbers(calm) @ self.mix).clip(0, 1).reshape(source.shape), (calm @ LUMA)[..., None]
        beyond = np.maximum(self.known[0] - luma, luma - self.known[1])
        return ((1 - beyond / FAR).clip(0, 1) * (drawn - result)).astype(np.float32)


def cartoon_of(before: Unit, made: Unit, after: Unit) -> Cartoon | None:
    """Of a pair and what a corrected model makes of its before, (H, W, 3) each; None where it is no cartoon."""
    limit = min(BETTER * _off(made, after), LEAST * _off(before, after))
    calm = {0: before} | {reach: calmest(before, reach) for reach in REACHES}
    errors = {reach: _fit(one, after, GLANCE)[1] for reach, one in calm.items()}
    reach = min(errors, key=errors.__getitem__)
    if errors[reach] > min(limit, FLATTER * errors[0]):
        return None
    dark, light = np.percentile(calm[reach] @ LUMA, (ENDS, 100 - ENDS))
    return Cartoon(reach, (float(dark), float(light)), _fit(calm[reach], after)[0])


def _off(first: Unit, second: Unit) -> float:
    return float(np.square(first - second).mean())


def _fit(calm: Unit, after: Unit, every: int = 1) -> tuple[Values, float]:
    """(F, 3) of one of so many calm pixels, and the mean square error in blocks that no fit has seen.

    First each colour as much of itself, with the same curves: few pairs show all colours. Then what is left of each, as
    far as blocks foretell each other. Where a colour is clipped it says nothing.
    """
    numbers, targets = _numbers(calm, every), after.reshape(-1, 3)[::every].astype(np.float64)
    odd, free = board(*calm.shape[:2])[::every], (targets > BLACK) & (targets < WHITE)
    free |= free.sum(axis=0) < numbers.shape[1]
    own = np.concatenate([numbers[:, [colour, *range(3, numbers.shape[1])]] for colour in range(3)])
    rows = free.T.reshape(-1)
    alike, _ = fitted(Mix(own[rows]), targets.T.reshape(-1, 1)[rows], np.tile(odd, 3)[rows], _penalty(1, RIDGE))
    mix = np.concatenate([alike[0] * np.eye(3), np.repeat(alike[1:], 3, axis=1)])
    left = targets - numbers @ mix
    for colour, seen in enumerate(free.T):
        more, told = fitted(Mix(numbers[seen]), left[seen, colour, None], odd[seen], _penalty(3, STIFF))
        mix[:, colour] += told * more[:, 0]
        left[:, colour] *= (1 - told) ** 0.5
    return mix, float(np.square(left).mean())


def _numbers(calm: Unit, every: int = 1) -> Values:
    """(N, F): the calm colours of one of so many pixels, and how much each knot of the curves counts for it."""
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


def _penalty(colours: int, ridge: float) -> Values:
    """(F, F), for so many colours mixed, beside the curves."""
    from scipy.linalg import block_diag

    found: Values = block_diag(ridge * np.eye(colours), *map(_cost, KNOTS))
    return found


def _cost(knots: int) -> Values:
    steps = np.diff(np.eye(knots), axis=0)
    return STIFFNESS * steps.T @ steps + HEIGHT * np.eye(knots)
