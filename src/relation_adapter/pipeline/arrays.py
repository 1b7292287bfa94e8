"""Pictures as arrays and tensors, the way they pass between diffusers' pipelines, as PIL pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from relation_adapter.errors import PictureError
from relation_adapter.images import to_rgb

PICTURES = (Image.Image, np.ndarray, Tensor)


def as_rgb(value: Any, name: str = "image") -> list[Image.Image]:
    """A picture, or a batch of pictures, as upright RGB of 8 bits.

    value: PIL; an array (H, W, 3) or (N, H, W, 3); or a tensor (3, H, W) or (N, 3, H, W). Numbers are uint8, or floats
    in [0, 1]. Raises PictureError on any other shape or range.
    """
    if isinstance(value, Image.Image):
        return [to_rgb(value)]
    axis = -3 if isinstance(value, Tensor) else -1
    if value.ndim not in (3, 4) or value.shape[axis] != 3 or 0 in value.shape:
        wanted = "(3, H, W) or (N, 3, H, W)" if axis == -3 else "(H, W, 3) or (N, H, W, 3)"
        raise PictureError(f"{name} is a {type(value).__name__} of shape {tuple(value.shape)}; give {wanted}")
    numbers: npt.NDArray[Any] = _numbers(value)
    batch = numbers[None] if numbers.ndim == 3 else numbers
    return [Image.fromarray(one) for one in _bytes(np.moveaxis(batch, axis, -1), name)]


def _numbers(value: Any) -> npt.NDArray[Any]:
    if not isinstance(value, Tensor):
        return np.asarray(value)
    value = value.detach().cpu()
    return (value.float() if value.is_floating_point() else value).numpy()  # numpy knows no bfloat16


def _bytes(numbers: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8]:
    """As contiguous uint8."""
    top = 1 if numbers.dtype.kind == "f" else 255
    if numbers.dtype.kind not in "fiu" or not (numbers.min() >= 0 and numbers.max() <= top):  # also where there is NaN
        raise PictureError(
            f"{name} has values from {numbers.min()} to {numbers.max()} of {numbers.dtype}; give uint8, or floats in "
            "[0, 1]: divide by 255, or take (x + 1) / 2 of values in [-1, 1]"
        )
    scaled = numbers if top == 255 else np.rint(numbers * 255.0)
    return np.ascontiguousarray(scaled.astype(np.uint8))
