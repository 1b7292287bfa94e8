"""The fine detail of a full-size source, carried over to an edit that was made at a small size.

The local affine model of the guided filter (He & Sun, "Fast Guided Filter", arXiv 1505.00996), fitted on the detail
band alone: where the small result's detail is a linear map of the small source's detail, the same map is applied to the
detail that only the full source has. Where it is not (something moved, is new, was blurred away), nothing is added.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from relation_adapter.errors import UsageError
from relation_adapter.images import Unit, picture_of_strips, resize, resized_strips, to_rgb, to_unit

Array = npt.NDArray[np.float64]

WINDOW_RADIUS = 4
BAND_RADIUS = 2
RIDGE = 1e-5
# Share of the detail's variance that the fit must explain for none and for all of the detail to be carried over.
EXPLAINED_NONE, EXPLAINED_ALL = 0.3, 0.7


def transfer_detail(source_full: Image.Image, source_small: Image.Image, result_small: Image.Image) -> Image.Image:
    """The result at the size of `source_full`, as sharp as the source allows; shrunk again it is about `result_small`.

    source_small: `source_full` at the size the model saw. result_small: what the model made of it, same size. Where the
    edit does not follow the source locally the outcome is the bicubic enlargement of `result_small`, so no ghost of the
    source shows. Raises UsageError when the two small pictures differ in size.
    """
    return picture_of_strips(detailed_strips(source_full, source_small, to_unit(to_rgb(result_small))))


def detailed_strips(source_full: Image.Image, source_small: Image.Image, result_small: Unit) -> Iterator[Unit]:
    """`transfer_detail` of a result (h, w, 3) in [0, 1], as strips from top to bottom, not rounded to 8 bits."""
    full, guide = to_rgb(source_full), to_rgb(source_small)
    if result_small.shape[:2] != (guide.height, guide.width):
        size = result_small.shape[1::-1]
        raise UsageError(f"source_small is {guide.size}, result_small {size}; they must be equal")
    strips = resized_strips(result_small, full.size)
    if full.width <= guide.width and full.height <= guide.height:
        return strips
    return _with_detail(full, guide, result_small, strips)


def _with_detail(full: Image.Image, guide: Image.Image, result: Unit, strips: Iterator[Unit]) -> Iterator[Unit]:
    maps = _detail_maps(to_unit(guide).astype(np.float64), result.astype(np.float64)).astype(np.float32)
    blurred = resize(guide, full.size)
    bottom = 0
    for strip in strips:
        top, bottom = bottom, bottom + len(strip)
        rows = (0, top, full.width, bottom)
        detail = np.asarray(full.crop(rows), np.float32) - np.asarray(blurred.crop(rows), np.float32)
        added = np.zeros_like(detail)  # (H, W, 3), in 1/255
        span = (0, rows[1] * guide.height / full.height, guide.width, rows[3] * guide.height / full.height)
        for band in range(3):
            for channel in range(3):
                gain = Image.fromarray(np.ascontiguousarray(maps[..., band, channel]))
                gain = gain.resize((full.width, rows[3] - top), Image.Resampling.BILINEAR, box=span)
                added[..., channel] += np.asarray(gain) * detail[..., band]
        yield np.clip(strip + added / 255, 0, 1)


def _detail_maps(guide: Array, result: Array) -> Array:
    """Per pixel the linear map (source channel, result channel) of detail, faded out where it does not fit.

    guide, result: (h, w, 3) in [0, 1]. Ridge regression of the detail bands over windows, then averaged over windows as
    in the guided filter.
    """
    guide, result = guide - _box(guide, BAND_RADIUS), result - _box(result, BAND_RADIUS)
    guide_mean, result_mean = _box(guide, WINDOW_RADIUS), _box(result, WINDOW_RADIUS)
    spread = _box(guide[..., :, None] * guide[..., None, :], WINDOW_RADIUS)
    spread -= guide_mean[..., :, None] * guide_mean[..., None, :]
    shared = _box(guide[..., :, None] * result[..., None, :], WINDOW_RADIUS)
    shared -= guide_mean[..., :, None] * result_mean[..., None, :]
    maps = np.linalg.solve(spread + RIDGE * np.eye(3), shared)
    variance = (_box(result * result, WINDOW_RADIUS) - result_mean**2).sum(-1)
    explained = (2 * (maps * shared).sum(-2) - (maps * (spread @ maps)).sum(-2)).sum(-1)
    share = (explained / (variance + RIDGE) - EXPLAINED_NONE) / (EXPLAINED_ALL - EXPLAINED_NONE)
    share = np.clip(share, 0, 1)
    fade = share * share * (3 - 2 * share)
    return _box(maps * fade[..., None, None], WINDOW_RADIUS)


def _box(values: Array, radius: int) -> Array:
    """The mean over the square window around each pixel of the first two axes, smaller at the borders."""
    for axis in (0, 1):
        length = values.shape[axis]
        sums = np.cumsum(values, axis=axis)
        sums = np.concatenate([np.zeros_like(sums.take([0], axis)), sums], axis)
        low = np.maximum(np.arange(length) - radius, 0)
        high = np.minimum(np.arange(length) + radius + 1, length)
        counts = (high - low).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
        values = (sums.take(high, axis) - sums.take(low, axis)) / counts
    return values
