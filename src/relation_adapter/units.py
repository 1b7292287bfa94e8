"""Pictures as floats in [0, 1], whole or in strips: a whole one is four times as large as one of bytes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from relation_adapter.images import Size, resampling

Unit = npt.NDArray[np.float32]  # a picture (H, W, 3) in [0, 1]

STRIP_PIXELS = 250_000  # a strip that stays in the cache: half the time of 4,000,000


def to_unit(image: Image.Image) -> Unit:
    """An RGB picture as (H, W, 3) in [0, 1]."""
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def from_unit(unit: Unit) -> Image.Image:
    """(H, W, 3) in [0, 1] as an RGB picture of 8 bits."""
    return Image.fromarray(np.rint(unit * 255).astype(np.uint8))


def resized_strips(values: Unit, size: Size) -> Iterator[Unit]:
    """`images.resize` of (H, W, 3) in [0, 1] without rounding to 8 bits, in strips from top to bottom."""
    width, height = size
    if (height, width) == values.shape[:2]:
        yield values
        return
    bands = [Image.fromarray(np.ascontiguousarray(values[..., band])) for band in range(values.shape[2])]
    how, rows = resampling(bands[0].size, size), max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        box = (0, top * values.shape[0] / height, values.shape[1], bottom * values.shape[0] / height)
        strip = [np.asarray(band.resize((width, bottom - top), how, box=box)) for band in bands]
        yield np.clip(np.stack(strip, axis=-1), 0, 1)


def picture_of_strips(strips: Iterator[Unit]) -> Image.Image:
    """Strips from top to bottom as one picture of 8 bits."""
    return Image.fromarray(np.concatenate([np.rint(strip * 255).astype(np.uint8) for strip in strips]))
