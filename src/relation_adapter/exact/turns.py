"""Mirror images and quarter turns of whole pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from relation_adapter.correction import LUMA, Known
from relation_adapter.images import Size
from relation_adapter.units import Unit

# Of a picture (H, W, C), under the names of Pillow.
TURNS: dict[str, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    "": lambda picture: picture,
    "flip_left_right": lambda picture: picture[:, ::-1],
    "flip_top_bottom": lambda picture: picture[::-1],
    "rotate_180": lambda picture: picture[::-1, ::-1],
    "rotate_90": np.rot90,
    "rotate_270": lambda picture: np.rot90(picture, 3),
    "transpose": lambda picture: picture.swapaxes(0, 1),
    "transverse": lambda picture: picture[::-1, ::-1].swapaxes(0, 1),
}
NEARLY = 0.02  # of the ratio, that rounded sides may be off
SIDEWAYS = ("rotate_90", "rotate_270", "transpose", "transverse")  # height and width change places


def turned(picture: Image.Image, turn: str) -> Image.Image:
    """A picture, turned by a name of TURNS."""
    return picture.transpose(Image.Transpose[turn.upper()]) if turn else picture


def lies_on_side(before: Size, after: Size) -> bool:
    """Whether a picture after has the ratio of the one before lying on its side, and not of that upright."""
    first, second = (math.log(width / height) for width, height in (before, after))
    return abs(first + second) < min(NEARLY, abs(first - second))


def turn_of(known: Sequence[Known]) -> str:
    """The turn after which the sources are most like their targets, in their luma, whatever becomes of its sign.

    Only turns by which they all get their targets' size.
    """
    lumas = [(one.source @ LUMA, one.target @ LUMA) for one in known]
    likeness = {
        name: sum(_likeness(turn(source), target) for source, target in lumas)
        for name, turn in TURNS.items()
        if all(turn(source).shape == target.shape for source, target in lumas)
    }
    return max(likeness, key=likeness.__getitem__, default="")  # the first of equals: as it is


def _likeness(first: Unit, second: Unit) -> float:
    first, second = first - first.mean(), second - second.mean()
    return abs(float((first * second).sum())) / (float(np.linalg.norm(first) * np.linalg.norm(second)) + 1e-9)
