"""What JPEG left in a picture: no edit can be told of it more exactly than that."""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass

import numpy as np
from PIL import Image

from relation_adapter.images import to_rgb

GRID = 16  # px, of the blocks of a JPEG with its colours
SIDE = 256  # px, that are looked at, in the middle
QUALITIES = (75, 80, 85, 90, 95)
CHROMAS = {0: 1.2, 2: 3.0}  # colours of whole and of half size, and what is lost at first, times what is lost elsewhere
APART = (5, 3)  # px; from there on JPEG's blocks and colours lie elsewhere
AGAIN = 0.5  # of what is lost from there on, that a picture loses which was such a JPEG before


@dataclass(frozen=True)
class Jpeg:
    """How a picture was saved, about. noise: the mean square error that it has most likely left, in [0, 1]."""

    quality: int
    chroma: int
    noise: float

    def again(self, picture: Image.Image) -> Image.Image:
        """A picture saved in the same way."""
        return _saved(picture, self.quality, self.chroma)


def jpeg_of(picture: Image.Image) -> Jpeg | None:
    """How a picture was saved that has been a JPEG; None where it was none.

    Once more in the same blocks, a JPEG loses next to nothing; in others it loses about what it lost at first.
    """
    width, height = (min(SIDE, side) // GRID * GRID for side in picture.size)
    if not width or not height:
        return None
    left, top = ((side - part) // 2 // GRID * GRID for side, part in zip(picture.size, (width, height), strict=True))
    here = to_rgb(picture.crop((left, top, left + width, top + height)))
    there = here.crop((*APART, width, height))
    losses = {how: (_loss(here, *how), _loss(there, *how)) for how in itertools.product(QUALITIES, CHROMAS)}
    how, (same, other) = min(losses.items(), key=lambda one: one[1][0] / (one[1][1] + 1e-9))
    return Jpeg(*how, CHROMAS[how[1]] * other) if same < AGAIN * other else None


def _saved(picture: Image.Image, quality: int, chroma: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, subsampling=chroma)
    with Image.open(file) as saved:
        return saved.convert("RGB")


def _loss(picture: Image.Image, quality: int, chroma: int) -> float:
    saved = _saved(picture, quality, chroma)
    difference = np.asarray(picture, np.float32) - np.asarray(saved, np.float32)
    return float(np.square(difference / 255).mean())
