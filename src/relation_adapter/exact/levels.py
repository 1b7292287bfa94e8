"""Edits that set a picture's levels by its own: what is dark, light or seldom in it says what becomes of each level."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageOps

from relation_adapter.editor import Pair
from relation_adapter.images import to_rgb

OFF = 1.0  # of 255, mean, that a picture may be off with levels that are set so; and so much again where it was a JPEG
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
    difference = np.asarray(to_rgb(first), np.int16) - np.asarray(to_rgb(second), np.int16)
    return float(np.sqrt(np.square(difference, dtype=np.float32).mean()))
