"""Blurs."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from relation_adapter.correction import Values
from relation_adapter.units import Unit

SMALL = 256  # px; of larger pictures products of whole lines take longer


def blurred(source: Unit, sigma: float) -> Unit:
    """A picture (H, W, C) blurred by a Gaussian, sigma in px, the rim repeated."""
    if max(source.shape[:2]) > SMALL:
        from scipy.ndimage import correlate1d

        _, weights = _bell(sigma)
        return correlate1d(correlate1d(source, weights, 0, mode="nearest"), weights, 1, mode="nearest")
    down, across = (_gaussian(side, sigma) for side in source.shape[:2])
    return np.einsum("yh,hwc,xw->yxc", down, source, across, optimize=True).astype(np.float32)


def _gaussian(side: int, sigma: float) -> Values:
    """(side, side): what every place takes of every other."""
    offsets, weights = _bell(sigma)
    found = np.zeros((side, side))
    places = np.arange(side)[:, None]
    np.add.at(found, (places, (places + offsets).clip(0, side - 1)), weights)
    return found


def _bell(sigma: float) -> tuple[npt.NDArray[np.int64], Values]:
    """Places about the middle, and their weights, in all 1."""
    offsets = np.arange(-math.ceil(4 * sigma), math.ceil(4 * sigma) + 1)
    weights = np.exp(-0.5 * np.square(offsets / sigma))
    return offsets, weights / weights.sum()
