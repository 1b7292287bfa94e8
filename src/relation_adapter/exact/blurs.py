"""Blurs of small pictures."""

from __future__ import annotations

import math

import numpy as np

from relation_adapter.correction import Values
from relation_adapter.units import Unit


def blurred(source: Unit, sigma: float) -> Unit:
    """A picture (H, W, C) blurred by a Gaussian, sigma in px, the rim repeated."""
    down, across = (_gaussian(side, sigma) for side in source.shape[:2])
    return np.einsum("yh,hwc,xw->yxc", down, source, across, optimize=True).astype(np.float32)


def _gaussian(side: int, sigma: float) -> Values:
    """(side, side): what every place takes of every other."""
    offsets = np.arange(-math.ceil(4 * sigma), math.ceil(4 * sigma) + 1)
    weights = np.exp(-0.5 * np.square(offsets / sigma))
    found = np.zeros((side, side))
    places = np.arange(side)[:, None]
    np.add.at(found, (places, (places + offsets).clip(0, side - 1)), weights / weights.sum())
    return found
