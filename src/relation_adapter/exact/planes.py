"""Edits that show the picture as a plane seen from elsewhere: a keystone; or sheared, or stretched to one side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from relation_adapter.exact.warps import BEYOND, grid, seen_at
from relation_adapter.units import STRIP_PIXELS, Unit, picture_of_strips, to_unit

Matrix = npt.NDArray[np.float64]
Places = npt.NDArray[np.floating[Any]]

HARD = ("black", "white")
STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Plane:
    """Where a picture's pixels come from, in half widths to the right of its middle and half heights down.

    numbers: a to h, of a place (x, y): from ((a x + b y + c) / (g x + h y + 1), (d x + e y + f) / (g x + h y + 1)).
    ratio: width to height of the picture they are told of. beyond: what lies beyond the rim, a name of BEYOND.
    """

    numbers: tuple[float, ...]
    ratio: float
    beyond: str = "black"

    def part(self, share: float) -> Plane:
        """The same way gone by a share."""
        pairs = zip(self.numbers, STRAIGHT, strict=True)
        return replace(self, numbers=tuple(straight + share * (number - straight) for number, straight in pairs))

    def places(self, x: Places, y: Places, ratio: float) -> tuple[Places, Places]:
        """Where those places (x, y) of a picture of that ratio come from.

        A keystone is as steep in shares of any picture; what is sheared, in angles.
        """
        a, b, c, d, e, f, g, h = self.numbers
        if g == h == 0:
            b, d = b * self.ratio / ratio, d * ratio / self.ratio
        deep = np.maximum(g * x + h * y + 1, 1e-3)
        return (a * x + b * y + c) / deep, (d * x + e * y + f) / deep


def seen_from(picture: Image.Image, plane: Plane) -> Image.Image:
    """An RGB picture of any size, of the same size as that plane."""
    return picture_of_strips(_strips(to_unit(picture), plane))


def _strips(source: Unit, plane: Plane) -> Iterator[Unit]:
    height, width = source.shape[:2]
    short, rows = min(height, width), max(1, STRIP_PIXELS // width)
    across, down = 2 * short / width, 2 * short / height
    x, y = grid(height, width)
    for top in range(0, height, rows):
        strip = slice(top, top + rows)
        right, below = plane.places(across * x[strip], down * y[strip], width / height)
        if plane.beyond in HARD:  # the rim ends with the last pixel: no colour is mixed with it
            made = seen_at(source, right / across, below / down, "edge")
            made[(np.abs(right) > 1) | (np.abs(below) > 1)] = BEYOND[plane.beyond][1]
        else:
            made = seen_at(source, right / across, below / down, plane.beyond)
        yield made.clip(0, 1).astype(np.float32)


def plane_from(values: Mapping[str, Any] | None) -> Plane | None:
    """Of plain JSON, as `asdict` makes it. Raises ValueError on anything else."""
    if values is None:
        return None
    try:
        numbers = tuple(float(value) for value in values["numbers"])
        plane = Plane(numbers, float(values["ratio"]), str(values["beyond"]))
    except (KeyError, TypeError) as error:
        raise ValueError("plane is not understood") from error
    within = len(numbers) == len(STRAIGHT) and all(abs(number) < 100 for number in numbers)
    if not (within and 0.001 < plane.ratio < 1000 and plane.beyond in BEYOND):
        raise ValueError("plane is out of range")
    return plane
