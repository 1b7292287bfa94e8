"""What a corrected model still gets wrong by how dark a place is beside the rest of its picture.

Maps, posters, cut paper and prints are drawn from tones: luma, softened, and stretched to a picture's own darks and
lights. Where a curve of those tells what is missed of a pair, the same is added elsewhere: by tones of the source's own
or by luma as the pair has it, whichever the model's own results follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from relation_adapter.correction import LUMA, Curves, Mask, Values, board, fitted, stiffness
from relation_adapter.exact.blurs import blurred
from relation_adapter.units import Unit

FINE = (0.5, 0.7, 1.0)  # px, blurs of luma that hardly soften it: what these tell, a correction has told
SIGMAS = (1.4, 2.0, 2.4, 2.8, 3.2, 3.6, 4.2, 5.0)  # px, blurs of tones
DARKS, LIGHTS = 3, 97  # percentiles of blurred luma, where tones begin and end
FLAT = 0.35  # least distance of the two; flat pictures are not stretched more
LEAST = 0.15  # share of what is missed, that tones must tell
BETTER = 1.15  # times what luma tells
OWN = 1.4  # times as far as from the pair's levels a result may be from tones of its own, which then count
PAIRS = 2.0  # times as far it must be, so that the pair's levels do


@dataclass(frozen=True)
class Tones:
    """Two curves of tones: what is missed of a pair, and what a corrected model makes of it, (KNOTS, 3) each.

    sigma: px, of the blur. ends: luma at which the pair's tones begin and end.
    """

    sigma: float
    ends: tuple[float, float]
    missed: Values
    made: Values

    def missing(self, source: Unit, result: Unit) -> Values:
        """(H, W, 3): what is to be added to a corrected result (H, W, 3) of a source; nothing where that is open."""
        luma = _soft(source, self.sigma)
        own, shared = Curves(_stretched(luma, ends_of(luma))), Curves(_stretched(luma, self.ends))
        far = [float(np.square(curves.times(self.made) - result).mean()) + 1e-9 for curves in (own, shared)]
        if far[0] < OWN * far[1]:
            return own.times(self.missed)
        return shared.times(self.missed) if far[0] > PAIRS * far[1] else np.zeros_like(source)


def tones_of(before: Unit, made: Unit, after: Unit) -> Tones | None:
    """Of a pair and what is made of its before, (H, W, 3) each; None where no curve of tones tells what is missed."""
    errors, odd = (after - made).reshape(-1, 3).astype(np.float64), board(*before.shape[:2])
    found = {sigma: _told(_of_pair(before, sigma), errors, odd) for sigma in (*FINE, *SIGMAS)}
    sigma = max(SIGMAS, key=lambda one: found[one][1])
    missed, share = found[sigma]
    if share < max(LEAST, BETTER * max(found[one][1] for one in FINE)):
        return None
    drawn, _ = _told(_of_pair(before, sigma), made.reshape(-1, 3).astype(np.float64), odd)
    return Tones(sigma, ends_of(_soft(before, sigma)), missed * share**0.5, drawn)


def ends_of(luma: Values) -> tuple[float, float]:
    """The levels of some luma that become 0 and 1."""
    low, high = np.percentile(luma, (DARKS, LIGHTS))
    middle, reach = (low + high) / 2, max(high - low, FLAT)
    return float(middle - reach / 2), float(middle + reach / 2)


def _told(curves: Curves, values: Values, odd: Mask) -> tuple[Values, float]:
    return fitted(curves, values, odd, stiffness(1))


def _of_pair(before: Unit, sigma: float) -> Curves:
    luma = _soft(before, sigma)
    return Curves(_stretched(luma, ends_of(luma)).reshape(-1, 1))


def _soft(source: Unit, sigma: float) -> Unit:
    """(H, W, 1)."""
    return blurred((source @ LUMA)[..., None], sigma)


def _stretched(luma: Unit, ends: tuple[float, float]) -> Unit:
    return ((luma - ends[0]) / (ends[1] - ends[0])).clip(0, 1).astype(np.float32)
