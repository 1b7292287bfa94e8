"""What a corrected model still gets wrong on a pair, carried to the same places of other pictures.

A frame, a stamp, a weave, a grid of tiles lies where it lies in every picture. There the model changes a source just as
it changes the pair's own `before`, and what it misses of the one it misses of the other. An outline follows what is in
the picture: then the two changes do not agree, and nothing is carried.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from relation_adapter.correction import Values
from relation_adapter.exact.blurs import blurred
from relation_adapter.images import resize
from relation_adapter.units import Unit, from_unit, to_unit

Shown = npt.NDArray[np.float32]  # (3, H, W, 3) in [0, 1]: before, what a corrected model makes of it, after

FINE, COARSE = 0.7, 6.0  # px, blurs between which changes are compared
LEAST, SURE = 0.4, 0.8  # correlation of the changes, from which on something, and all, is carried
ALIKE = 0.35  # distance of two colours that are hardly alike
STRETCH = 1.1  # times as wide a picture of the same height may be as the pair


def carried(shown: Shown, source: Unit, result: Unit) -> Values:
    """(H, W, 3): what is added to a corrected result (H, W, 3) of a source; nothing where the pair has another form."""
    height, width = source.shape[:2]
    ratio = (width / height) / (shown.shape[2] / shown.shape[1])
    if not 1 / STRETCH < ratio < STRETCH:
        return np.zeros_like(source)
    before, made, after = (to_unit(resize(from_unit(one), (width, height))) for one in shown)
    alike = np.exp(-np.square(blurred(made - result, FINE)).sum(axis=2, keepdims=True) / ALIKE**2)
    share = (_agreement(made - before, result - source) - LEAST) / (SURE - LEAST)
    found: Values = min(max(share, 0.0), 1.0) * alike * (after - made)
    return found


def _agreement(first: Values, second: Values) -> float:
    """The correlation of two changes, of what is neither finer nor coarser than those blurs."""
    one, other = (blurred(change, FINE) - blurred(change, COARSE) for change in (first, second))
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum()) / (float(np.linalg.norm(one) * np.linalg.norm(other)) + 1e-9)
