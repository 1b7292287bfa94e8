"""Pictures without things in them, with the statistics of photographs."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .brush import OVERSAMPLING
from .draws import Rng, natural
from .pixels import FloatPicture, as_float32, gaussian_blur, grid, luminance, mix, to_float, unit_colour, wide


@lru_cache(maxsize=8)
def _frequencies(size: int) -> NDArray[np.float64]:
    across, down = np.fft.rfftfreq(size), np.fft.fftfreq(size)
    radius = np.hypot(down[:, None], across[None, :])
    radius[0, 0] = np.inf
    return radius * size


def noise_planes(rng: Rng, size: int, planes: int, slope: float) -> FloatPicture:
    """Gaussian fields (size, size, planes), amplitude 1/f**slope, mean 0, deviation 1."""
    shape = (planes, size, size // 2 + 1)
    spectrum = rng.standard_normal(shape, np.float32) + 1j * rng.standard_normal(shape, np.float32)
    fields = np.fft.irfft2(spectrum * _frequencies(size) ** -slope, s=(size, size))
    fields /= fields.std(axis=(1, 2), keepdims=True) + 1e-6
    return np.ascontiguousarray(as_float32(fields).transpose(1, 2, 0))


def draw_noise(rng: Rng, size: int) -> FloatPicture:
    """Coloured 1/f noise; the channels vary together as in photos, each picture its own way."""
    fields = noise_planes(rng, size, 3, rng.uniform(0.8, 1.9))
    directions = rng.normal(size=(3, 3)) * np.array([[0.3], [rng.uniform(0.15, 0.6)], [rng.uniform(0.05, 0.3)]])
    directions[0] = rng.uniform(0.7, 1.15, 3)
    spread = rng.uniform(0.1, 0.25)
    picture = unit_colour(natural(rng)) * 0.5 + 0.25 + spread * (wide(fields) @ directions)
    if rng.random() < 0.3:  # hard-edged patches, as cloud or rock has them
        picture = 0.5 + 0.5 * np.tanh((picture - 0.5) * rng.uniform(3, 10)) * rng.uniform(0.5, 0.9)
    return as_float32(picture)


def draw_gradient(rng: Rng, size: int) -> FloatPicture:
    """A smooth passage between three colours, linear or round."""
    x, y = grid(size, size)
    turn = rng.uniform(0, math.tau)
    along = (math.cos(turn) * x + math.sin(turn) * y + 0.7) / 1.4
    if rng.random() < 0.35:
        along = np.hypot(x - rng.uniform(-0.4, 0.4), y - rng.uniform(-0.4, 0.4)) / rng.uniform(0.6, 1.2)
    first, middle, last = (unit_colour(natural(rng)) for _ in range(3))
    weight = as_float32(along).clip(0, 1)[..., None]
    return mix(mix(first, middle, weight), mix(middle, last, weight), weight)


def _leaf(rng: Rng, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """An outline around (x, y): a polygon or an ellipse, stretched and turned."""
    corners = int(rng.choice([3, 4, 4, 5, 6, 16, 16, 16]))
    turn, stretch = rng.uniform(0, math.tau), rng.uniform(0.35, 1.0)
    cos, sin = math.cos(turn), math.sin(turn)
    angles = [corner * math.tau / corners for corner in range(corners)]
    flat = [(radius * math.cos(angle), radius * stretch * math.sin(angle)) for angle in angles]
    return [(x + cos * px - sin * py, y + sin * px + cos * py) for px, py in flat]


def scatter_leaves(rng: Rng, picture: FloatPicture, count: int, largest: float) -> FloatPicture:
    """Paint shapes whose sizes follow a power law over a picture, as in the dead-leaves model."""
    size = picture.shape[0]
    side = size * OVERSAMPLING
    image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    canvas = ImageDraw.Draw(image)
    palette = [natural(rng) for _ in range(int(rng.integers(3, 12)))]
    smallest = 0.025
    radii = smallest * (largest / smallest) ** (rng.random(count) ** 1.5)
    centres = rng.random((count, 2))
    jitter = rng.integers(-25, 26, (count, 3))
    picks = rng.integers(len(palette), size=count)
    for radius, (x, y), shift, pick in zip(radii, centres, jitter, picks, strict=True):
        red, green, blue = (int(min(255, max(0, value + by))) for value, by in zip(palette[pick], shift, strict=True))
        canvas.polygon(_leaf(rng, x * side, y * side, radius * side), fill=(red, green, blue))
    return paint_over(picture, image.reduce(OVERSAMPLING))


def paint_over(picture: FloatPicture, layer: Image.Image) -> FloatPicture:
    """Compose an RGBA layer of the same size onto a picture."""
    values = to_float(np.asarray(layer))
    return mix(picture, values[..., :3], values[..., 3:])


def draw_dead_leaves(rng: Rng, size: int) -> FloatPicture:
    """Overlapping shapes of all sizes, some of them textured."""
    count = int(rng.integers(15, 90))
    leaves = scatter_leaves(rng, draw_gradient(rng, size), count, rng.uniform(0.15, 0.5))
    return add_relief(rng, leaves)


def draw_shapes(rng: Rng, size: int) -> FloatPicture:
    """A smooth ground with a few large shapes."""
    count = int(rng.integers(1, 9))
    return add_relief(rng, scatter_leaves(rng, draw_gradient(rng, size), count, rng.uniform(0.2, 0.5)))


def add_relief(rng: Rng, picture: FloatPicture) -> FloatPicture:
    """Multiply with a rough field whose strength follows the colours, so that surfaces differ in texture."""
    field = noise_planes(rng, picture.shape[0], 1, rng.uniform(0.4, 1.4))
    where = np.sin(wide(luminance(picture)) * rng.uniform(3, 12))[..., None]
    return as_float32(picture * (1 + rng.uniform(0.05, 0.3) * field * where))


def draw_stripes(rng: Rng, size: int) -> FloatPicture:
    """Waves, checks or stripes of two colours, slightly bent."""
    x, y = (wide(plane) for plane in grid(size, size))
    turn, pitch = rng.uniform(0, math.tau), rng.uniform(3, 14) * math.tau
    bend = noise_planes(rng, size, 1, 1.8)[..., 0] * rng.uniform(0, 0.8)
    wave = np.sin((math.cos(turn) * x + math.sin(turn) * y) * pitch + bend)
    if rng.random() < 0.4:
        wave = wave * np.sin((math.cos(turn) * y - math.sin(turn) * x) * pitch)
    weight = as_float32(0.5 + 0.5 * np.tanh(wave * rng.uniform(1, 8)))[..., None]
    return mix(draw_gradient(rng, size), draw_gradient(rng, size), weight)


KINDS = (draw_noise, draw_dead_leaves, draw_shapes, draw_gradient, draw_stripes)


def draw_texture(rng: Rng, size: int, weights: tuple[float, ...] = (0.27, 0.4, 0.2, 0.05, 0.08)) -> FloatPicture:
    """A picture of one of the KINDS, (size, size, 3), about [0, 1]."""
    return KINDS[int(rng.choice(len(KINDS), p=weights))](rng, size)


def draw_backdrop(rng: Rng, size: int) -> FloatPicture:
    """What stands behind a subject: calmer than a texture, often out of focus."""
    backdrop = draw_texture(rng, size, (0.25, 0.2, 0.1, 0.4, 0.05))
    if rng.random() < 0.5:
        backdrop = gaussian_blur(backdrop, rng.uniform(0.01, 0.05))
    return backdrop
