"""Edits that set a picture's levels by its own: what is dark, light or seldom in it says what becomes of each level."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageOps

from relation_adapter.editor import Pair
from relation_adapter.images import to_rgb

OFF = 1.0  # of 255, mean, that a picture may be off with levels that are set so; and so much again where it was a JPEG
PIXELS = 250_000  # that are looked at
CHANGED = 4.0  # times as far off, at least, is the picture before

SET: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "autocontrast": ImageOps.autocontrast,
    "equalize": ImageOps.equalize,
}


def levels_of(pairs: Sequence[Pair], noise: float) -> str:
    """The name in SET of what was done to all pairs; "" where it was none of those. noise: of JPEG, mean square."""
    most = OFF + 255 * noise**0.5
    if any(before.size != after.size for before, after in pairs):
        return ""
    for name, done in SET.items():
        offs = [(_off(done(to_rgb(before)), after), _off(before, after)) for before, after in pairs]
        if all(off < most and CHANGED * off < before for off, before in offs):
            return name
    return ""


def _off(first: Image.Image, second: Image.Image) -> float:
    """The root of the mean square difference, of 255, of some of the pixels."""
    step = max(1, math.isqrt(math.prod(first.size) // PIXELS))
    one, other = (np.asarray(to_rgb(image))[::step, ::step].astype(np.float32) for image in (first, second))
    return float(np.sqrt(np.square(one - other).mean()))
