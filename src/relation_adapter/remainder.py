"""What a corrected model still gets wrong on a pair, carried to the same places of other pictures.

A frame, a stamp, a weave, a grid of tiles lies where it lies in every picture. There the model changes a source just as
it changes the pair's own `before`, and what it misses of the one it misses of the other. An outline follows what is in
the picture: then the two changes do not agree, and nothing is carried. They are compared as wholes and around every
place: what is printed on a coin is a source's own, and its rim is not.
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
AROUND = 8.0  # px, of a place, where they are compared, too
LEAST, SURE = 0.4, 0.8  # correlation of the changes around a place, from which on something, and all, is carried
ANY, ALL = 0.3, 0.6  # the same of the whole pictures
DETAIL, SHARPER = 0.1, 0.2  # correlation of what is missed with before itself, from which on less, and nothing, is
ALIKE = 0.35  # distance of two colours that are hardly alike
STRETCH = 1.1  # times as wide a picture of the same height may be as the pair


def carried(shown: Shown, source: Unit, result: Unit) -> Values:
    """(H, W, 3): what is added to a corrected result (H, W, 3) of a source; nothing where the pair has another form."""
    height, width = source.shape[:2]
    ratio = (width / height) / (shown.shape[2] / shown.shape[1])
    if not 1 / STRETCH < ratio < STRETCH:
        return np.zeros_like(source)
    before, made, after = (to_unit(resize(from_unit(one), (width, height))) for one in shown)
    missed, pairs, its = after - made, _band(made - before), _band(result - source)
    sharper = _share(_agreement(_band(missed), _band(before)), DETAIL, SHARPER)  # as where detail is given back
    share = _share(_agreement(pairs, its), ANY, ALL) * (1 - sharper)
    near = _share(_agreement_around(pairs, its), LEAST, SURE)
    alike = np.exp(-np.square(blurred(made - result, FINE)).sum(axis=2, keepdims=True) / ALIKE**2)
    found: Values = (share * near * alike * missed).astype(np.float32)
    return found


def _band(change: Values) -> Values:
    """What of a change is neither finer nor coarser than those blurs."""
    return blurred(change, FINE) - blurred(change, COARSE)


def _agreement(first: Values, second: Values) -> float:
    """The correlation of two changes of whole pictures."""
    one, other = first - first.mean(), second - second.mean()
    return float((one * other).sum() / (np.linalg.norm(one) * np.linalg.norm(other) + 1e-9))


def _agreement_around(first: Values, second: Values) -> Values:
    """(H, W, 1), the same around every place."""
    products = [
        (one * other).sum(axis=2, keepdims=True) for one, other in ((first, second), (first, first), (second, second))
    ]
    both, one, other = (blurred(product, AROUND) for product in products)
    return both / np.sqrt(one * other + 1e-8)


def _share(value: Values | float, none: float, everything: float) -> Values:
    """From 0 where a value is but that, to 1."""
    return np.clip((value - none) / (everything - none), 0, 1)
