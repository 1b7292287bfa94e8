"""Edits by hue, as the colour mixer of a photo program makes them: one hue kept, turned, muted or made darker.

A table of all colours says the same and has to have seen them all. Here every hue has three numbers, and what becomes
of a pale colour of a hue is told by a strong one, in whatever light.
"""

from __future__ import annotations

import numpy as np

from relation_adapter.correction import Values
from relation_adapter.units import Unit

STIFFNESS = 1e-6  # for bends of the wheel
HUES = 36  # knots around the circle of hues; between them it is straight
WHITE = np.ones(3) / 3
ACROSS = np.array([[2.0, -1.0, -1.0], [0.0, np.sqrt(3), -np.sqrt(3)]]) / 3  # red lies at the hue 0, green at a third


def shown(source: Unit) -> Values:
    """(N, 3, 3 + HUES), of each colour: 1, itself, the mean of the three, and how far from grey it is, at its hue."""
    colours = source.reshape(-1, 3).astype(np.float64)
    right, up = colours @ ACROSS.T[:, 0], colours @ ACROSS.T[:, 1]
    far, place = np.hypot(right, up), np.arctan2(up, right) / (2 * np.pi) % 1 * HUES
    low = place.astype(np.int64) % HUES
    wheel = np.zeros((len(colours), HUES), np.float32)
    np.put_along_axis(wheel, low[:, None], (far * (1 - (place - low)))[:, None], axis=1)
    np.put_along_axis(wheel, (low[:, None] + 1) % HUES, (far * (place - low))[:, None], axis=1)
    grey = colours @ WHITE
    each = [np.stack([np.ones_like(grey), colours[:, one], grey], axis=1) for one in range(3)]
    found: Values = np.stack([np.concatenate([one, wheel], axis=1) for one in each], axis=1).astype(np.float32)
    return found


def bends() -> Values:
    """(3 + HUES, 3 + HUES): what bends of the wheel cost: hues that a pair lacks are told by those beside them."""
    eye = np.eye(HUES)
    bent = np.roll(eye, 1, axis=0) - 2 * eye + np.roll(eye, -1, axis=0)
    found = np.zeros((3 + HUES, 3 + HUES))
    found[3:, 3:] = STIFFNESS * bent.T @ bent
    return found
