"""Effects of a photo program that are no mix of nearby pixels: an oil painting, a mosaic, a zoom burst, a median."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from relation_adapter.correction import LUMA, Values
from relation_adapter.detail import box_mean
from relation_adapter.units import Unit, from_unit, to_unit

EXPOSURES = 12  # of a zoom burst


def calmest(source: Unit, reach: int) -> Unit:
    """Every pixel takes the mean of the calmest of four squares that touch it, reach px from it on (Kuwahara, 1976)."""
    height, width = source.shape[:2]
    luma = (source @ LUMA)[..., None]
    shown = np.concatenate([source, luma, np.square(luma)], axis=2).astype(np.float64)
    around, inside = ((reach, reach), (reach, reach), (0, 0)), np.s_[reach : reach + height, reach : reach + width]
    means = np.pad(box_mean(np.pad(shown, around, "edge"), reach)[inside], around, "edge")
    corners = [(down, across) for down in (0, 2 * reach) for across in (0, 2 * reach)]
    squares = np.stack([means[down : down + height, across : across + width] for down, across in corners])
    calm = (squares[..., 4] - np.square(squares[..., 3])).argmin(axis=0)
    return np.take_along_axis(squares[..., :3], calm[None, ..., None], axis=0)[0].astype(np.float32)


def ranked(source: Unit, side: int, share: float) -> Unit:
    """Each colour becomes the one in a square around, side px, that this share of them is under; 0.5: the median."""
    rank = round(share * (side * side - 1))
    if rank in (0, side * side - 1):  # Pillow's takes ten times as long
        from scipy.ndimage import maximum_filter, minimum_filter

        extreme = maximum_filter if rank else minimum_filter
        return extreme(np.rint(source * 255) / np.float32(255), (side, side, 1), mode="nearest")
    image = from_unit(source)
    return to_unit(image.filter(ImageFilter.RankFilter(side, rank)))


def mosaic(source: Unit, across: int) -> Unit:
    """Square blocks of their mean colour, so many across the short side."""
    height, width = source.shape[:2]
    rows, columns = (max(1, round(side * across / min(height, width))) for side in (height, width))
    layers = [
        Image.fromarray(layer).resize((columns, rows), Image.Resampling.BOX) for layer in np.moveaxis(source, 2, 0)
    ]
    row, column = (((np.arange(n) + 0.5) * many / n).astype(np.intp) for n, many in ((height, rows), (width, columns)))
    return np.stack([np.asarray(layer)[row][:, column] for layer in layers], axis=2)


def burst(source: Unit, right: float, down: float, reach: float) -> Unit:
    """A zoom while the shutter is open: (H, W, C), the mean of what is enlarged about a point, up to 1 / (1 - reach).

    right, down: the point, in short sides from the middle.
    """
    height, width = source.shape[:2]
    short = min(height, width)
    x, y = (width - 1) / 2 + right * short, (height - 1) / 2 + down * short
    planes = np.moveaxis(source, 2, 0)
    total = np.zeros(planes.shape, np.float32)
    for scale in np.linspace(1, 1 - reach, EXPOSURES).tolist():
        total += _enlarging(height, y, scale) @ planes @ _enlarging(width, x, scale).T
    return np.moveaxis(total / np.float32(EXPOSURES), 0, 2)


@lru_cache(maxsize=512)
def _enlarging(side: int, middle: float, scale: float) -> Values:
    """(side, side): what a line takes of itself, enlarged about a place, straight from pixel to pixel."""
    places = (middle + scale * (np.arange(side) - middle)).clip(0, side - 1)
    return (1 - np.abs(places[:, None] - np.arange(side))).clip(0).astype(np.float32)
