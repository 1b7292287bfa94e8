"""Small random draws that parameters and scenes are made of."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import Any

import numpy as np

Params = dict[str, Any]  # JSON-able
Rng = np.random.Generator
Draw = Callable[[Rng], Any]
Colour = tuple[int, int, int]


def span(low: float, high: float) -> Draw:
    """Uniform in [low, high], rounded for a short JSON."""
    return lambda rng: round(float(rng.uniform(low, high)), 4)


def whole(low: int, high: int) -> Draw:
    """Uniform whole number in low..high, both included."""
    return lambda rng: int(rng.integers(low, high + 1))


def choice(*options: Any) -> Draw:
    """One of the options."""
    return lambda rng: options[int(rng.integers(len(options)))]


def draws(**fields: Draw) -> Callable[[Rng], Params]:
    """A parameter sampler: one draw per field, in the order written."""
    return lambda rng: {name: draw(rng) for name, draw in fields.items()}


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Bytes of a colour; all three in [0, 1], the hue wraps."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return int(red * 255), int(green * 255), int(blue * 255)


def colour(
    hue: tuple[float, float] = (0, 1), saturation: tuple[float, float] = (0, 1), value: tuple[float, float] = (0, 1)
) -> Callable[[Rng], Colour]:
    """A colour drawn uniformly in HSV ranges."""
    return lambda rng: hsv(rng.uniform(*hue), rng.uniform(*saturation), rng.uniform(*value))


def tint(draw: Callable[[Rng], Colour]) -> Draw:
    """A colour as a list, which JSON gives back unchanged."""
    return lambda rng: list(draw(rng))


vivid = colour(saturation=(0.65, 1), value=(0.6, 1))
pale = colour(saturation=(0.05, 0.4), value=(0.8, 1))
deep = colour(saturation=(0.3, 0.9), value=(0.05, 0.35))
VIVID, PALE, DEEP = tint(vivid), tint(pale), tint(deep)  # the same for parameters
SIDE = choice(-1, 1)


def natural(rng: Rng) -> Colour:
    """A colour as photos have it: mostly muted, any lightness, now and then vivid."""
    saturation = rng.beta(1.2, 2.2)
    return hsv(rng.random(), saturation, rng.uniform(0.08, 1.0))
