"""Where a picture stays as it was, a model changes it a little all the same: small changes are taken for none.

A pair of which little changes shows how small is small: the threshold that brings what the model makes of `before` much
nearer to `after` is that of other pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relation_adapter.exact.blurs import blurred
from relation_adapter.units import Unit

SOFT = 1.0  # px, of the blur over which changes are measured
THRESHOLDS = (0.02, 0.03, 0.04, 0.06, 0.09, 0.13, 0.18, 0.25)  # of the length of a change of colour, in [0, 3**0.5]
MUCH = 0.7  # of the error that is left, at the most


def threshold_of(shown: Sequence[tuple[Unit, Unit, Unit]]) -> float:
    """The change that is none, of pairs: before, what a corrected model makes of it, and after; 0 where all count."""
    errors = {
        threshold: sum(
            float(np.square(stilled(before, made, threshold) - after).sum()) for before, made, after in shown
        )
        for threshold in (0.0, *THRESHOLDS)
    }
    best = min(errors, key=errors.__getitem__)
    return best if errors[best] < MUCH * errors[0.0] else 0.0


def stilled(source: Unit, result: Unit, threshold: float) -> Unit:
    """A result (H, W, 3) with the source where it changed less than that, and itself from twice of it on."""
    if not threshold:
        return result
    change = result - source
    far = np.sqrt(blurred(np.square(change).sum(axis=2, keepdims=True), SOFT))
    return source + (far / threshold - 1).clip(0, 1) * change
