"""Pictures and randomness that the procedural tests share."""

from __future__ import annotations

from functools import cache

import numpy as np

from relation_adapter.procedural.pixels import Picture
from relation_adapter.procedural.scenes import draw_scene_picture


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


def photo(height: int = 120, width: int = 170, seed: int = 0) -> Picture:
    """A picture that is not square, detailed, and of middling brightness and colour."""
    return _photo(height, width, seed).copy()


@cache
def _photo(height: int, width: int, seed: int) -> Picture:
    square = draw_scene_picture(rng(seed), max(height, width, 8))
    return np.ascontiguousarray(square[:height, :width] // 2 + 64)


def error(first: Picture, second: Picture) -> float:
    return float(np.mean((first / 255 - second / 255) ** 2))
