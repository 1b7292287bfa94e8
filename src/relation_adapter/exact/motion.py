"""Edits that move the whole picture: slid aside, cut out and enlarged, shrunk, tilted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Motion:
    """Where a moved picture's pixels come from.

    From their place about the middle in pixels, by scale and angle (clockwise, degrees), and then by shares of width
    and height to the right and down. rim: the colour of what comes from outside, in [0, 1]; None: the other side's.
    """

    scale: float = 1.0
    angle: float = 0.0
    right: float = 0.0
    down: float = 0.0
    rim: tuple[float, ...] | None = None

    @property
    def steps(self) -> tuple[float, float]:
        """What a step to the right becomes where the pixels come from: to the right and, counted upwards, along."""
        turn = math.radians(self.angle)
        return self.scale * math.cos(turn), self.scale * math.sin(turn)

    def part(self, share: float) -> Motion:
        """The same way gone by a share."""
        scale = self.scale**share
        return replace(self, scale=scale, angle=self.angle * share, right=self.right * share, down=self.down * share)

    def matrix(self, width: int, height: int) -> tuple[float, float, float, float, float, float]:
        """Of a picture of that size in pixels, as `Image.transform` takes it."""
        across, along = self.steps
        x, y = width / 2, height / 2
        right, down = self.right * width, self.down * height
        return across, along, x - across * x - along * y + right, -along, across, y + along * x - across * y + down


def moved(picture: Image.Image, motion: Motion) -> Image.Image:
    """A picture of the same size, moved."""
    width, height = picture.size
    if motion.rim is None:
        pixels = np.asarray(picture)
        rolled = np.roll(pixels, (-round(motion.down * height), -round(motion.right * width)), axis=(0, 1))
        return Image.fromarray(rolled)
    a, b, c, d, e, f = motion.matrix(width, height)
    if motion.scale > 1:  # several pixels to one: their mean, as every program makes it
        smaller = max(1, round(width / motion.scale)), max(1, round(height / motion.scale))
        picture = picture.resize(smaller, Image.Resampling.BILINEAR)
        x, y = smaller[0] / width, smaller[1] / height
        a, b, c, d, e, f = a * x, b * x, c * x, d * y, e * y, f * y
    colour = tuple(round(255 * value) for value in motion.rim)
    how = Image.Resampling.BILINEAR
    return picture.transform((width, height), Image.Transform.AFFINE, (a, b, c, d, e, f), how, fillcolor=colour)


def motion_from(values: Mapping[str, Any] | None) -> Motion | None:
    """Of plain JSON, as `asdict` makes it. Raises ValueError on anything else."""
    if values is None:
        return None
    try:
        numbers = [float(values[name]) for name in ("scale", "angle", "right", "down")]
        rim = None if values["rim"] is None else tuple(float(value) for value in values["rim"])
    except (KeyError, TypeError) as error:
        raise ValueError("motion is not understood") from error
    motion = Motion(numbers[0], numbers[1], numbers[2], numbers[3], rim)
    colour = rim is None or (len(rim) == 3 and all(0 <= value <= 1 for value in rim))
    if not (0.1 < motion.scale < 10 and max(abs(number) for number in numbers[1:]) <= 180 and colour):
        raise ValueError("motion is out of range")
    return motion
