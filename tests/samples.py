"""Small pictures that tests share."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

RED, WHITE = (255, 0, 0), (255, 255, 255)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def natural(size: int = 384) -> Image.Image:
    """Noise whose amplitude falls with frequency as in photos, plus hard-edged discs."""
    return _natural(size).copy()


@cache
def _natural(size: int) -> Image.Image:
    rng = np.random.default_rng(1)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = 1
    planes = []
    for _ in range(3):
        spectrum = np.fft.rfft2(rng.normal(size=(size, size))) / frequency**1.2
        spectrum[0, 0] = 0
        plane = np.fft.irfft2(spectrum, s=(size, size))
        planes.append(0.5 + 0.16 * plane / plane.std())
    picture = np.stack(planes, -1)
    y, x = np.mgrid[:size, :size]
    for _ in range(12):
        centre, radius = rng.uniform(0, size, 2), rng.uniform(size / 30, size / 8)
        disc = np.hypot(y - centre[0], x - centre[1]) < radius
        picture[disc] = 0.5 * picture[disc] + 0.5 * rng.uniform(0, 1, 3)
    return Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8))


def psnr(a: Image.Image, b: Image.Image) -> float:
    error = np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def pixel(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    value = image.getpixel((x, y))
    assert isinstance(value, tuple)
    return value
