"""Edits that tear a picture into bands and slide them sideways, their colours apart: a glitch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from relation_adapter.units import Unit

Shifts = npt.NDArray[np.int64]

TEAR = 3e-4  # mean square of a row: what a tear between two rows has to save
PIXELS = 400_000  # that are looked at
MOST = 24  # tears; more are noise


@dataclass(frozen=True)
class Slips:
    """Bands from top to bottom, and how far each has slid.

    bands: where each begins, in heights from the top, and the slips to the right of red, green and blue, in widths;
    what leaves comes in again at the other side.
    """

    bands: tuple[tuple[float, float, float, float], ...]

    def part(self, share: float) -> Slips:
        """The same way gone by a share."""
        return Slips(tuple((top, share * red, share * green, share * blue) for top, red, green, blue in self.bands))


def slipped(picture: Image.Image, slips: Slips) -> Image.Image:
    """An RGB picture of any size, its bands slid."""
    pixels = np.array(picture)
    height, width = pixels.shape[:2]
    tops = [round(band[0] * height) for band in slips.bands]
    for top, bottom, band in zip(tops, [*tops[1:], height], slips.bands, strict=True):
        for colour, slip in enumerate(band[1:]):
            pixels[top:bottom, :, colour] = np.roll(pixels[top:bottom, :, colour], round(slip * width), axis=1)
    return Image.fromarray(pixels)


def slips_of(source: Unit, target: Unit) -> Slips | None:
    """How the target's bands have most likely slid; None where none has, or too many. Of large ones by some rows."""
    every = math.ceil(target.shape[0] * target.shape[1] / PIXELS)
    source, target = source[::every], target[::every]
    height, width = target.shape[:2]
    shifts = np.stack([_path(_costs(source[..., colour], target[..., colour])) for colour in range(3)], axis=1)
    tops = [0, *(np.flatnonzero(np.any(np.diff(shifts, axis=0) != 0, axis=1)) + 1)]
    if len(tops) > MOST or np.ptp(shifts) == 0:  # a picture that slid as a whole is one that moved
        return None
    slid = np.where(shifts > width // 2, shifts - width, shifts) / width
    return Slips(tuple((int(top) / height, *map(float, slid[top])) for top in tops))


def _costs(source: Unit, target: Unit) -> npt.NDArray[np.float64]:
    """(H, W): the mean square error of every row after every slip."""
    width = source.shape[1]
    products = np.fft.irfft(np.fft.rfft(target) * np.fft.rfft(source).conj(), n=width)
    powers = np.square(source).sum(axis=1) + np.square(target).sum(axis=1)
    found: npt.NDArray[np.float64] = (powers[:, None] - 2 * products).clip(0) / width
    return found


def _path(costs: npt.NDArray[np.float64]) -> Shifts:
    """(H,): a slip for every row, with the least sum of costs and of tears (Viterbi, 1967)."""
    height, width = costs.shape
    before = np.empty((height, width), np.int64)
    total = np.zeros(width)
    for row, cost in enumerate(costs):
        best = int(total.argmin())
        before[row] = np.where(total <= total[best] + TEAR, np.arange(width), best)
        total = np.minimum(total, total[best] + TEAR) + cost
    found = np.empty(height, np.int64)
    found[-1] = total.argmin()
    for row in range(height - 1, 0, -1):
        found[row - 1] = before[row, found[row]]
    return found


def slips_from(values: Sequence[Any] | None) -> Slips | None:
    """Of plain JSON, the bands. Raises ValueError on anything else."""
    if values is None:
        return None
    try:
        bands = [tuple(map(float, band)) for band in values]
    except TypeError as error:
        raise ValueError("slips are not understood") from error
    tops = [band[0] for band in bands if len(band) == 4]
    within = all(abs(number) <= 1 for band in bands for number in band)
    if not (within and len(tops) == len(bands) <= MOST and tops[:1] == [0.0] and tops == sorted(tops)):
        raise ValueError("slips are out of range")
    return Slips(tuple(bands))  # type: ignore[arg-type]
