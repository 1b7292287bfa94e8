"""How a pair moves the whole picture, told to a small part of a pixel.

Contours are correlated over many scales, angles and shifts; the best is refined by Gauss-Newton (Lucas and Kanade,
1981).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from relation_adapter.correction import LUMA, Known, Values
from relation_adapter.exact.motion import Motion
from relation_adapter.units import Unit

Spectrum = npt.NDArray[np.complexfloating[Any, Any]]

SMALL = 48  # px, of what scales and angles are tried on
SCALES = tuple(1.08**step for step in range(-10, 11))  # 0.46 to 2.16
ANGLES = tuple(range(-44, 45, 4))  # degrees
NEARLY = 2  # steps of a scale from 1 and of an angle from 0, up to which both are tried together
ROUNDS = 15  # of refining, at the most, on blurred pictures and then as they are
SETTLED = 0.001  # px, by which a round hardly changes anything
LIKELY = 0.35  # correlation of contours, of which what was moved has more
LIKE = 0.95  # correlation of luma, from which on one is taken to be the other moved
MARGIN = 3  # px of the small pictures, in which the rim's own contour is not the picture's
STILL = 0.5  # px; what moves by less at the rim does not move


def motion_of(known: Sequence[Known]) -> Motion | None:
    """How the first pair's source was moved to be its target, whatever became of its colours; None: it was not."""
    source, target = (each @ LUMA for each in (known[0].source, known[0].target))
    if source.std() < 1 / 255 or target.std() < 1 / 255:
        return None
    rolled = _rolled(source, target)
    if rolled is not None:
        return rolled
    like, first = max(_tried(source, target), key=lambda one: one[0])
    found = _refined(source, target, first) if like > LIKELY and first != Motion() else None
    return None if found is None else replace(found, rim=_rim(known[0], found))


def _rolled(source: Unit, target: Unit) -> Motion | None:
    """A shift by which what leaves comes in again at the other side."""
    height, width = source.shape
    like = _correlation(source, target)
    down, right = np.unravel_index(int(np.abs(like).argmax()), like.shape)
    if abs(float(like[down, right])) < LIKE or not (down or right):
        return None
    shares = [(place - side if place > side // 2 else place) / side for place, side in ((right, width), (down, height))]
    return Motion(right=-float(shares[0]), down=-float(shares[1]))


def _correlation(source: Values, target: Values) -> Values:
    """Of a target with the source rolled down and to the right by every number of pixels."""
    source, target = source - source.mean(), target - target.mean()
    products = np.fft.irfft2(np.fft.rfft2(target) * np.fft.rfft2(source).conj(), s=source.shape)
    found: Values = products / (np.linalg.norm(source) * np.linalg.norm(target) + 1e-9)
    return found


def _tried(source: Unit, target: Unit) -> Iterator[tuple[float, Motion]]:
    """How alike contours are after every scale and angle, at the best shift."""
    height, width = source.shape
    factor = SMALL / min(height, width)
    size = round(width * factor), round(height * factor)
    small, wanted = (_shrunk(each, size) for each in (source, target))
    contours = _contours(wanted)
    spectra = np.fft.rfft2(contours), np.fft.rfft2(np.square(contours))
    image = Image.fromarray((255 * small.clip(0, 1)).astype(np.uint8))
    for motion in _grid():
        placed = image.transform(size, Image.Transform.AFFINE, motion.matrix(*size), Image.Resampling.BILINEAR)
        mask, masked = _inside(motion, size)
        shown = _contours(np.asarray(placed, np.float32) / 255) * mask
        like = np.abs(_masked_correlation(shown, mask, masked, *spectra))
        down, right = np.unravel_index(int(like.argmax()), like.shape)
        x, y = (place - side if place > side // 2 else place for place, side in zip((right, down), size, strict=True))
        across, along = motion.steps
        shift = float(across * x + along * y) / size[0], float(across * y - along * x) / size[1]
        yield float(like[down, right]), replace(motion, right=-shift[0], down=-shift[1])


@lru_cache(maxsize=2048)
def _inside(motion: Motion, size: tuple[int, int]) -> tuple[Values, Spectrum]:
    """Where a moved picture shows no rim, and the conjugate of that's spectrum."""
    whole = Image.new("L", size, 255).transform(size, Image.Transform.AFFINE, motion.matrix(*size))
    mask = ndimage.minimum_filter(np.asarray(whole), 2 * MARGIN + 1) / np.float32(255)
    return mask, np.fft.rfft2(mask).conj()


def _masked_correlation(shown: Values, mask: Values, masked: Spectrum, spectrum: Spectrum, squares: Spectrum) -> Values:
    """Of contours with what is shown rolled by every number of pixels, counting only where the mask, rolled, is set.

    masked: the mask's spectrum, conjugate. spectrum, squares: of the contours, and of their squares.
    """
    products = np.fft.irfft2(spectrum * np.fft.rfft2(shown).conj(), s=shown.shape)
    powers = np.fft.irfft2(squares * masked, s=shown.shape)
    found: Values = products / np.sqrt(np.square(shown).sum() * powers.clip(1e-6) + 1e-9)
    return found * math.sqrt(mask.mean())  # a few pixels are soon alike


def _grid() -> Iterator[Motion]:
    middle = len(SCALES) // 2
    for step, scale in enumerate(SCALES):
        for angle in ANGLES:
            if angle == 0 or abs(step - middle) <= NEARLY:
                yield Motion(scale, float(angle))


def _shrunk(luma: Unit, size: tuple[int, int]) -> Unit:
    return np.asarray(Image.fromarray(luma.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))


def _contours(luma: Values) -> Values:
    found: Values = ndimage.gaussian_filter(luma, 1.0) - ndimage.gaussian_filter(luma, 2.0)
    return found


def _refined(source: Unit, target: Unit, motion: Motion) -> Motion | None:
    """The motion to a small part of a pixel; None where the moved source is not like the target, or nothing moves."""
    height, width = source.shape
    for sigma in (2.0, 0.0):
        first, second = (ndimage.gaussian_filter(each, sigma) if sigma else each for each in (source, target))
        for _ in range(ROUNDS):
            last, motion = motion, _nearer(first, second, motion)
            if abs(motion.scale - last.scale) * width < SETTLED and abs(motion.right - last.right) * width < SETTLED:
                break
            if not (0.3 < motion.scale < 3 and abs(motion.right) < 1 and abs(motion.down) < 1):
                return None
    warped, inside, _ = _warped(source, motion)
    if inside.mean() < 0.2:
        return None
    a, b = warped[inside], target[inside]
    if abs(float(np.corrcoef(a, b)[0, 1])) < LIKE:
        return None
    reach = max(width, height) / 2
    away = abs(motion.scale - 1) * reach, math.radians(abs(motion.angle)) * reach
    still = max(*away, abs(motion.right) * width, abs(motion.down) * height) < STILL
    return None if still else motion


def _nearer(source: Unit, target: Unit, motion: Motion) -> Motion:
    """One step of Gauss-Newton for scale, angle and shift, with the gain and offset of luma."""
    height, width = source.shape
    warped, inside, (x, y) = _warped(source, motion)
    if inside.sum() < 100:
        return motion
    rows, columns = np.gradient(source)
    places = _places(source.shape, motion)
    down, right = (ndimage.map_coordinates(each, places, order=1, mode="nearest") for each in (rows, columns))
    across, along = motion.steps
    by_scale = (right * (across * x + along * y) + down * (across * y - along * x)) / motion.scale
    by_angle = right * (across * y - along * x) - down * (across * x + along * y)
    gain, offset = np.polyfit(warped[inside], target[inside], 1)
    parts = [gain * by_scale, gain * by_angle, gain * right, gain * down, warped, np.ones_like(warped)]
    numbers = np.stack([part[inside] for part in parts], axis=1)
    wrong = target[inside] - (gain * warped[inside] + offset)
    step = np.linalg.lstsq(numbers, wrong, rcond=1e-8)[0]
    return replace(
        motion,
        scale=motion.scale + float(step[0]),
        angle=motion.angle + math.degrees(float(step[1])),
        right=motion.right + float(step[2]) / width,
        down=motion.down + float(step[3]) / height,
    )


def _places(shape: tuple[int, ...], motion: Motion) -> Values:
    """(2, H, W): rows and columns that the pixels come from."""
    height, width = shape
    a, b, c, d, e, f = motion.matrix(width, height)
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([d * x + e * y + f, a * x + b * y + c]) - 0.5


def _warped(source: Unit, motion: Motion) -> tuple[Unit, npt.NDArray[np.bool_], tuple[Values, Values]]:
    """A moved source, which of its pixels come from inside it, and where all lie about the middle, x and y."""
    height, width = source.shape
    places = _places(source.shape, motion)
    inside = (places[0] > 0) & (places[0] < height - 1) & (places[1] > 0) & (places[1] < width - 1)
    y, x = np.mgrid[:height, :width] + 0.5
    warped = ndimage.map_coordinates(source, places, order=1, mode="nearest")
    return warped, inside, (x - width / 2, y - height / 2)


def _rim(known: Known, motion: Motion) -> tuple[float, ...]:
    """The colour of the target where nothing of the source is left to see; black where all is."""
    height, width = known.source.shape[:2]
    places = _places((height, width), motion)
    outside = (places[0] < -1.5) | (places[0] > height + 0.5) | (places[1] < -1.5) | (places[1] > width + 0.5)
    if not outside.any():
        return (0.0, 0.0, 0.0)
    return tuple(float(value) for value in np.median(known.target[outside], axis=0).clip(0, 1))
