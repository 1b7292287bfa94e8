"""Picture arithmetic shared by the tasks: float32 pictures (H, W, 3) in [0, 1].

The same seed must give the same bytes on any processor. Single sums, products and roots of float32 are exact
everywhere; sines, powers, exponentials, matrix products and means differ in the last place from one processor to the
next, which flips a byte in a million. Take those of `wide` planes: there the last place is too small to flip any.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Picture = NDArray[np.uint8]  # (H, W, 3)
FloatPicture = NDArray[np.float32]  # (H, W, 3), or a plane (H, W)


def wide(values: Any) -> NDArray[np.float64]:
    """float64, for functions whose last place differs between processors."""
    return np.asarray(values, np.float64)


def own_rng(picture: FloatPicture) -> np.random.Generator:
    """Random numbers of the untouched picture itself: two pictures of a quad must not share their grain."""
    return np.random.default_rng(zlib.crc32(to_bytes(picture).tobytes()))


def to_float(picture: Picture) -> FloatPicture:
    """Bytes to [0, 1]."""
    return picture.astype(np.float32) * np.float32(1 / 255)


def to_bytes(picture: FloatPicture) -> Picture:
    """[0, 1] to bytes, clipped and rounded."""
    return np.ascontiguousarray((picture.clip(0.0, 1.0) * 255 + 0.5).astype(np.uint8))


def as_float32(values: Any) -> FloatPicture:
    """An array as float32, copied only where needed."""
    return np.asarray(values, np.float32)


def unit_colour(colour: Sequence[int]) -> FloatPicture:
    """A colour of bytes as three floats in [0, 1]."""
    return as_float32(colour) * np.float32(1 / 255)


def luminance(picture: FloatPicture) -> FloatPicture:
    """Rec. 601 luma, (H, W)."""
    return as_float32(picture[..., 0] * 0.299 + picture[..., 1] * 0.587 + picture[..., 2] * 0.114)


def gray(picture: FloatPicture) -> FloatPicture:
    """Luma as a (H, W, 1) plane that broadcasts over the channels."""
    return luminance(picture)[..., None]


def mix(first: FloatPicture, second: FloatPicture, weight: Any) -> FloatPicture:
    """Linear blend: weight 0 gives first, 1 gives second."""
    return as_float32(first + (second - first) * weight)


def short_side(picture: NDArray[Any]) -> int:
    """The unit of every length in this package, pixels."""
    return int(min(picture.shape[:2]))


def half_sides(picture: NDArray[Any]) -> tuple[float, float]:
    """Half the width and half the height in short sides."""
    short = short_side(picture)
    return picture.shape[1] / short / 2, picture.shape[0] / short / 2


def gaussian_blur(picture: FloatPicture, sigma: float) -> FloatPicture:
    """Blur a picture or a plane; sigma as a fraction of the short side."""
    radius = sigma * short_side(picture)
    image = Image.fromarray(to_bytes(picture))
    return to_float(np.asarray(image.filter(ImageFilter.GaussianBlur(radius))))


def box_blur(values: FloatPicture, reach: int) -> FloatPicture:
    """Mean over (reach + 1) squared pixels around each pixel, the rim repeated; (H, W, C), reach in pixels."""
    before, after = reach // 2, reach - reach // 2
    padded = np.pad(values, ((before + 1, after), (before + 1, after), (0, 0)), mode="edge")
    for axis in (0, 1):
        sums = padded.cumsum(axis=axis, dtype=np.float64)
        count = sums.shape[axis]
        padded = sums.take(range(reach + 1, count), axis) - sums.take(range(count - reach - 1), axis)
    return as_float32(padded / (reach + 1) ** 2)


def resize(picture: FloatPicture, height: int, width: int) -> FloatPicture:
    """Antialiased bilinear resize."""
    image = Image.fromarray(to_bytes(picture))
    return to_float(np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)))


def edges(plane: FloatPicture, reach: float = 0.008) -> FloatPicture:
    """Gradient length of a (H, W) plane per pixel of a 64-pixel picture, at least one pixel apart."""
    step = max(1, round(reach * short_side(plane)))
    padded = np.pad(plane, step, mode="edge")
    across = padded[step:-step, 2 * step :] - padded[step:-step, : -2 * step]
    down = padded[2 * step :, step:-step] - padded[: -2 * step, step:-step]
    return as_float32(np.hypot(across, down))


@lru_cache(maxsize=32)
def grid(height: int, width: int) -> tuple[FloatPicture, FloatPicture]:
    """Centred pixel coordinates x, y in units of the short side; (H, W) each, read-only."""
    short = min(height, width)
    across = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / short
    down = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / short
    x, y = (as_float32(plane) for plane in np.meshgrid(across, down))
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


def box_distance(x: FloatPicture, y: FloatPicture, half: tuple[float, float], radius: float = 0.0) -> FloatPicture:
    """Signed distance to a centred rounded box; negative inside."""
    over_x = np.abs(x) - (half[0] - radius)
    over_y = np.abs(y) - (half[1] - radius)
    corner_x, corner_y = np.maximum(over_x, 0), np.maximum(over_y, 0)
    outside = np.sqrt(corner_x * corner_x + corner_y * corner_y)
    return as_float32(outside + np.minimum(np.maximum(over_x, over_y), 0) - radius)


def coverage(distance: FloatPicture) -> FloatPicture:
    """Signed distance (short sides) to an antialiased (H, W, 1) weight: 1 inside."""
    return as_float32((0.5 - distance * short_side(distance)).clip(0, 1))[..., None]
