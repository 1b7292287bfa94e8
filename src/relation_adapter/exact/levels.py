"""Edits that set a picture's levels by its own: what is dark, light or seldom in it says what becomes of each level."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

import numpy as np
from PIL import Image, ImageOps

from relation_adapter.editor import Pair
from relation_adapter.images import to_rgb

OFF = 1.0  # of 255, mean, that a picture may be off with levels that are set so; and so much again where it was a JPEG
FLIPPED = 20.0  # the same where a level parts black from white, and 6 of 1,000 pixels are on the other side
PIXELS = 250_000  # that are looked at
CHANGED = 4.0  # times as far off, at least, is the picture before


def otsu(picture: Image.Image) -> Image.Image:
    """Black and white, parted where the two differ most (Otsu, 1979)."""
    counts = np.array(picture.convert("L").histogram(), np.float64)
    below, levels = np.cumsum(counts), np.cumsum(counts * np.arange(256))
    above = np.maximum(below[-1] - below, 1e-9)
    between = np.square(levels[-1] * below / below[-1] - levels) / (np.maximum(below, 1e-9) * above)
    last = int(np.argmax(between))
    return picture.convert("L").point([255 * (level > last) for level in range(256)]).convert("RGB")


SET: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "autocontrast": ImageOps.autocontrast,
    "equalize": ImageOps.equalize,
    "otsu": otsu,
}
HARD = ("otsu",)  # every program weighs colours its own way, and a level more or less turns some pixels over


def levels_of(pairs: Sequence[Pair], noise: float, flipped: float = 0.0) -> tuple[str, float] | None:
    """The name in SET of what was done to all pairs, and the mean square error; None where it was none of those.

    noise: of JPEG, mean square. flipped: of 255, as OFF, that pixels may be off which a level parts.
    """
    if any(before.size != after.size for before, after in pairs):
        return None
    for name in HARD if flipped else SET:
        most = max(OFF, flipped) + 255 * noise**0.5
        offs = [(_off(SET[name](to_rgb(before)), after), _off(before, after)) for before, after in pairs]
        if all(off < most and CHANGED * off < before for off, before in offs):
            return name, fmean((off / 255) ** 2 for off, _ in offs)
    return None


def _off(first: Image.Image, second: Image.Image) -> float:
    """The root of the mean square difference, of 255, of some of the pixels."""
    step = max(1, math.isqrt(math.prod(first.size) // PIXELS))
    one, other = (np.asarray(to_rgb(image))[::step, ::step].astype(np.float32) for image in (first, second))
    return float(np.sqrt(np.square(one - other).mean()))
