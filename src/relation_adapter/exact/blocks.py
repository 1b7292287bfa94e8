"""Pictures in square blocks of one colour each, pixelated: told and done at a picture's own size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from relation_adapter.images import to_rgb

LINES = 64  # of a picture, that are looked at to see where blocks end
CLEARLY = 5.0  # times what two pixels of a block differ by, that those of two blocks do
ROUNDING = 0.1  # of 255, that pixels of a block may always differ by
FEWEST = 4  # blocks from side to side
LEAST = 2  # px, of a block


def block_of(picture: Image.Image) -> float | None:
    """The side of a picture's blocks, px: as many as fit in whole are stretched over it. None where it has none."""
    pixels = np.asarray(to_rgb(picture))
    counts = _count(pixels), _count(pixels.swapaxes(0, 1))
    if min(counts) < FEWEST:
        return None
    least = max(side / (count + 1) for side, count in zip(picture.size, counts, strict=True))
    most = min(side / count for side, count in zip(picture.size, counts, strict=True))
    if most < LEAST or most <= least:
        return None
    return most if math.floor(most) <= least else float(math.floor(most))


def in_blocks(picture: Image.Image, block: float) -> Image.Image:
    """A picture in blocks of that side, px, of their mean colours."""
    counts = [max(1, math.floor(side / block + 1e-6)) for side in picture.size]
    small = to_rgb(picture).resize((counts[0], counts[1]), Image.Resampling.BOX)
    return small.resize(picture.size, Image.Resampling.NEAREST)


def _count(pixels: npt.NDArray[Any]) -> int:
    """Blocks from left to right of (H, W, 3); 0 where there are none."""
    lines = pixels[:: max(1, len(pixels) // LINES)].astype(np.float32)
    steps = np.abs(np.diff(lines, axis=1)).mean(axis=(0, 2))
    width, total = pixels.shape[1], float(steps.sum())
    best, found = CLEARLY, 0
    for count in range(FEWEST, width // LEAST + 1):
        ends = np.rint(np.arange(1, count) * width / count).astype(np.intp) - 1
        at_ends = float(steps[ends].sum())
        inside = (total - at_ends) / (len(steps) - len(ends)) + ROUNDING
        if at_ends / len(ends) > best * inside:
            best, found = at_ends / len(ends) / inside, count
    return found
