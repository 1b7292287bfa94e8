"""How a pair zooms while the shutter is open: the point and the reach, told by trying."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import optimize

from relation_adapter.exact.effects import burst
from relation_adapter.units import Unit, from_unit, to_unit

SMALL = 32  # px, of what points and reaches are tried on
POINTS = (-0.4, -0.2, 0.0, 0.2, 0.4)
REACHES = (0.1, 0.25, 0.4, 0.6)
LIKELY = 0.25  # of the error of doing nothing, of which the best of those has less
FINELY = 90  # times a likely burst is tried, to tell it exactly (Nelder and Mead, 1965)


def burst_of(source: Unit, target: Unit) -> tuple[float, float, float] | None:
    """What `burst` makes the target of the source with; None where nothing that is tried comes near."""
    small = _shrunk(source), _shrunk(target)
    best = min(itertools.product(POINTS, POINTS, REACHES), key=lambda how: _off(how, *small))
    if _off(best, *small) > LIKELY * np.square(small[0] - small[1]).mean():
        return None
    first = np.array(best) + 0.08 * np.vstack([np.zeros(3), np.eye(3)])
    options = {"initial_simplex": first, "maxfev": FINELY, "xatol": 1e-3, "fatol": 1e-7}
    right, down, reach = optimize.minimize(_off, best, (source, target), "Nelder-Mead", options=options).x
    likely = max(abs(right), abs(down)) < 1 and 0 < reach < 1
    return (round(right, 4), round(down, 4), round(reach, 4)) if likely else None


def _off(how: Sequence[float], source: Unit, target: Unit) -> float:
    """The mean square error of a burst."""
    return float(np.square(burst(source, *how) - target).mean())


def _shrunk(unit: Unit) -> Unit:
    image = from_unit(unit)
    width, height = (round(SMALL * side / min(image.size)) for side in image.size)
    return to_unit(image.resize((width, height), Image.Resampling.BOX))
