"""Pairs whose pictures lie some pixels off each other, as of a screenshot, a crop by hand or a camera that moved.

What reads a pair pixel by pixel takes the shift for a part of the edit. So both pictures are cropped to what they both
show, where their contours tell that surely: by cross-correlation of the strength of the luma's gradient, which colour
and tone edits leave in place.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from relation_adapter.images import resize, to_rgb

Array = npt.NDArray[np.float64]
Shift = tuple[int, int]

LONG_SIDE = 384  # px, at which the shift is looked for
REACH = 0.03  # of the long side: a larger shift is an edit
SURE = 0.75  # correlation of the contours, at the least, once the shift is undone
BETTER = 0.95  # the correlation as it is, over that, at the most: contours that edits draw differ by less


def shift_of(before: Image.Image, after: Image.Image) -> Shift:
    """How far to the right and down `after` shows what `before` shows, in pixels of `before`; (0, 0) if not told.

    Of pictures of different shapes nothing is told.
    """
    (width, height), scale = before.size, min(1.0, LONG_SIDE / max(before.size))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    reach = max(1, round(REACH * max(size)))
    other_shape = abs(after.width * height - after.height * width) > 0.02 * after.height * width
    if other_shape or min(size) < 4 * reach:
        return 0, 0
    first, second = (_contours(resize(to_rgb(one), size)) for one in (before, after))
    quick = [side + -side % 32 for side in first.shape]  # of small prime factors
    found = np.fft.irfft2(np.conj(np.fft.rfft2(first, quick)) * np.fft.rfft2(second, quick), quick)
    found = found[np.ix_(*[np.arange(-reach, reach + 1)] * 2)] / (np.linalg.norm(first) * np.linalg.norm(second) + 1e-9)
    down, right = divmod(int(found.argmax()), 2 * reach + 1)
    best, still = found[down, right], found[reach, reach]
    if best < SURE or still > BETTER * best:
        return 0, 0
    return round((right - reach) / scale), round((down - reach) / scale)


def cropped(before: Image.Image, after: Image.Image, shift: Shift) -> tuple[Image.Image, Image.Image]:
    """Both, less what only one of them shows; shift: as `shift_of` tells it."""
    right, down = shift
    width, height = before.width - abs(right), before.height - abs(down)
    wide, high = after.width / before.width, after.height / before.height
    left, top = max(0, -right), max(0, -down)
    there = (left + right) * wide, (top + down) * high, (left + right + width) * wide, (top + down + height) * high
    x, y, end, bottom = map(round, there)
    return before.crop((left, top, left + width, top + height)), after.crop((x, y, end, bottom))


def _contours(image: Image.Image) -> Array:
    """(H - 1, W - 1): strength of the luma's gradient less its mean, fainter towards the borders."""
    smooth = image.convert("L").filter(ImageFilter.GaussianBlur(1))  # noise and blocks of JPEG have contours, too
    luma = np.asarray(smooth, np.float64)
    found = np.hypot(np.diff(luma, axis=0)[:, :-1], np.diff(luma, axis=1)[:-1])
    window = np.sqrt(np.outer(*[np.hanning(side) for side in found.shape]))
    shown: Array = (found - found.mean()) * window
    return shown
