"""The fine detail of a full-size source, carried over to an edit that was made at a small size.

The local affine model of the guided filter (He & Sun, "Fast Guided Filter", arXiv 1505.00996), fitted on the detail
band alone: where the small result's detail is a linear map of the small source's detail, the same map is applied to the
detail that only the full source has. Where it is not (something moved, is new, was blurred away), nothing is added.

A small picture does not show what an edit makes of the detail that only the full one has: a denoised photo would get
its noise back. So the pair that shows the edit is asked, octave by octave: see `kept_detail`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image

from relation_adapter.errors import UsageError
from relation_adapter.images import Size, resize, to_rgb
from relation_adapter.units import Unit, picture_of_strips, resized_strips, to_unit

Array = npt.NDArray[np.float64]

WINDOW_RADIUS = 4
BAND_RADIUS = 2
RIDGE = 1e-5
# Share of the detail's variance that the fit must explain for none and for all of the detail to be carried over.
EXPLAINED_NONE, EXPLAINED_ALL = 0.3, 0.7
PAIR_PIXELS = 768 * 768  # of a larger pair the finest octaves are not looked at
MOST_KEPT = 1.5
NEARLY = 0.05  # of all
ROUNDING, NONE = 0.25, 0.01  # in squares of 1/255: what is no detail but rounding, and as good as nothing


def transfer_detail(
    source_full: Image.Image, source_small: Image.Image, result_small: Image.Image, kept: Sequence[float] = ()
) -> Image.Image:
    """The result at the size of `source_full`, as sharp as the source allows; shrunk again it is about `result_small`.

    source_small: `source_full` at the size the model saw. result_small: what the model made of it, same size. kept: as
    `kept_detail` tells it, of the pair that showed the edit; none: all. Where the edit does not follow the source
    locally the outcome is the bicubic enlargement of `result_small`, so no ghost of the source shows. Raises UsageError
    when the two small pictures differ in size.
    """
    return picture_of_strips(detailed_strips(source_full, source_small, to_unit(to_rgb(result_small)), kept))


def detailed_strips(
    source_full: Image.Image, source_small: Image.Image, result_small: Unit, kept: Sequence[float] = ()
) -> Iterator[Unit]:
    """`transfer_detail` of a result (h, w, 3) in [0, 1], as strips from top to bottom, not rounded to 8 bits."""
    full, guide = to_rgb(source_full), to_rgb(source_small)
    if result_small.shape[:2] != (guide.height, guide.width):
        size = result_small.shape[1::-1]
        raise UsageError(f"source_small is {guide.size}, result_small {size}; they must be equal")
    strips = resized_strips(result_small, full.size)
    if full.width <= guide.width and full.height <= guide.height:
        return strips
    return _with_detail(full, guide, result_small, strips, kept)


def kept_detail(before: Image.Image, after: Image.Image, small: Size) -> list[float]:
    """What an edit does to the detail that the small size does not show, in every octave above it.

    0: none of it is kept, 1: all, up to MOST_KEPT: it is made stronger. Empty where the pair is not larger than that.
    What is kept is the part that the detail carried over from `before` to the shrunk `after` explains of the true
    detail of `after`. Of a pair that is not aligned to the pixel that would be nothing; so it is no less than what is
    left of an octave's power, compared with the octave that the small size just shows.
    """
    size = min(before.size, after.size, _limited(before.size), key=math.prod)
    octaves = _octaves(size, small)
    if not octaves:
        return []
    before, after = resize(to_rgb(before), size), resize(to_rgb(after), size)
    levels = [[_level(one, small, octave) for octave in range(octaves + 1)] for one in (before, after)]
    guide, result = levels[0][0], levels[1][0]
    maps = _detail_maps(to_unit(guide).astype(np.float64), to_unit(result).astype(np.float64)).astype(np.float32)
    half = max(1, small[0] // 2), max(1, small[1] // 2)
    coarse = [_octave(resize(one, half), one) for one in (guide, result)]
    kept = []
    for octave in range(octaves):
        shown, true = (_octave(*each[octave : octave + 2]) for each in levels)
        left = min(1.0, _power(true) / _power(shown) * _power(coarse[0]) / _power(coarse[1]))
        carried = _mapped(maps, shown, (0, 0, *small))
        explained = float((carried * true).mean() + NONE * left) / float(np.square(carried).mean() + NONE)
        share = min(max(explained, left), MOST_KEPT)
        kept.append(1.0 if abs(share - 1) < NEARLY else share)
    return kept


def _limited(size: Size) -> Size:
    scale = min(1.0, math.sqrt(PAIR_PIXELS / math.prod(size)))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _octaves(full: Size, small: Size) -> int:
    """Doublings from the small size to the full one; a tenth of one is none."""
    return max(0, math.ceil(math.log2(max(full[0] / small[0], full[1] / small[1])) - 0.1))


def _level(full: Image.Image, small: Size, octave: int) -> Image.Image:
    """The picture shrunk to so many doublings of the small size; itself at the last."""
    if octave >= _octaves(full.size, small):
        return full
    return resize(full, (small[0] << octave, small[1] << octave))


def _octave(coarse: Image.Image, fine: Image.Image) -> Unit:
    """What the fine picture shows and the coarse one does not, (H, W, 3) in 1/255."""
    return np.asarray(fine, np.float32) - np.asarray(resize(coarse, fine.size), np.float32)


def _power(detail: Unit) -> float:
    return max(float(np.square(detail).mean()) - ROUNDING, 0.0) + NONE


def _with_detail(
    full: Image.Image, guide: Image.Image, result: Unit, strips: Iterator[Unit], kept: Sequence[float]
) -> Iterator[Unit]:
    maps = _detail_maps(to_unit(guide).astype(np.float64), result.astype(np.float64)).astype(np.float32)
    weighted = _weighted(full, guide, kept)
    bottom = 0
    for strip in strips:
        top, bottom = bottom, bottom + len(strip)
        rows = (0, top, full.width, bottom)
        detail = np.zeros_like(strip)
        for level, weight in weighted:
            detail += weight * np.asarray(level.crop(rows), np.float32)
        span = (0, rows[1] * guide.height / full.height, guide.width, rows[3] * guide.height / full.height)
        yield np.clip(strip + _mapped(maps, detail, span) / 255, 0, 1)


def _weighted(full: Image.Image, guide: Image.Image, kept: Sequence[float]) -> list[tuple[Image.Image, np.float32]]:
    """Pictures of the full size and their weights in the sum of what is kept of all octaves.

    An octave is the difference of two levels. Octaves finer than those known are kept as the last of them.
    """
    octaves, kept = max(1, _octaves(full.size, guide.size)), [*kept] or [1.0]
    shares = [0.0, *(kept[min(octave, len(kept) - 1)] for octave in range(octaves)), 0.0]
    weights = [np.float32(coarser - finer) for coarser, finer in pairwise(shares)]
    levels = [
        (guide, weights[0]),
        *((_level(full, guide.size, at), weights[at]) for at in range(1, octaves) if weights[at]),
    ]
    return [(resize(level, full.size), weight) for level, weight in [*levels, (full, weights[-1])]]


def _mapped(maps: Unit, detail: Unit, span: tuple[float, float, float, float]) -> Unit:
    """Detail (H, W, 3) through the maps of the small picture; span: left, top, right and bottom of it there, px."""
    mapped = np.zeros_like(detail)
    for band in range(3):
        for channel in range(3):
            gain = Image.fromarray(np.ascontiguousarray(maps[..., band, channel]))
            gain = gain.resize(detail.shape[1::-1], Image.Resampling.BILINEAR, box=span)
            mapped[..., channel] += np.asarray(gain) * detail[..., band]
    return mapped


def _detail_maps(guide: Array, result: Array) -> Array:
    """Per pixel the linear map (source channel, result channel) of detail, faded out where it does not fit.

    guide, result: (h, w, 3) in [0, 1]. Ridge regression of the detail bands over windows, then averaged over windows as
    in the guided filter.
    """
    guide, result = guide - box_mean(guide, BAND_RADIUS), result - box_mean(result, BAND_RADIUS)
    guide_mean, result_mean = box_mean(guide, WINDOW_RADIUS), box_mean(result, WINDOW_RADIUS)
    spread = box_mean(guide[..., :, None] * guide[..., None, :], WINDOW_RADIUS)
    spread -= guide_mean[..., :, None] * guide_mean[..., None, :]
    shared = box_mean(guide[..., :, None] * result[..., None, :], WINDOW_RADIUS)
    shared -= guide_mean[..., :, None] * result_mean[..., None, :]
    maps = np.linalg.solve(spread + RIDGE * np.eye(3), shared)
    variance = (box_mean(result * result, WINDOW_RADIUS) - result_mean**2).sum(-1)
    explained = (2 * (maps * shared).sum(-2) - (maps * (spread @ maps)).sum(-2)).sum(-1)
    share = (explained / (variance + RIDGE) - EXPLAINED_NONE) / (EXPLAINED_ALL - EXPLAINED_NONE)
    share = np.clip(share, 0, 1)
    fade = share * share * (3 - 2 * share)
    return box_mean(maps * fade[..., None, None], WINDOW_RADIUS)


def box_mean(values: Array, radius: int) -> Array:
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
