"""Editing tasks of geometry: the picture flipped, turned, tilted, slid aside, mirrored, enlarged."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from .draws import SIDE, VIVID, Draw, Params, Rng, choice, span, whole
from .pixels import (
    FloatPicture,
    box_distance,
    coverage,
    grid,
    half_sides,
    mix,
    short_side,
    to_bytes,
    to_float,
    unit_colour,
)
from .printing import sample
from .task import Change, Task, pixel_task


def flip(picture: FloatPicture, params: Params) -> FloatPicture:
    """Left and right change places, or top and bottom."""
    return picture[:, ::-1] if params["axis"] == "horizontal" else picture[::-1]


def turn(picture: FloatPicture, params: Params) -> FloatPicture:
    """Quarter turns to the left."""
    return np.rot90(picture, params["quarters"])


def mirror_halves(picture: FloatPicture, params: Params) -> FloatPicture:
    """One half is the mirror image of the other."""
    mirrored, half = picture.copy(), picture.shape[1] // 2
    if half and params["keep"] == "left":
        mirrored[:, -half:] = picture[:, :half][:, ::-1]
    elif half:
        mirrored[:, :half] = picture[:, -half:][:, ::-1]
    return mirrored


def zoom(picture: FloatPicture, params: Params) -> FloatPicture:
    """The middle, enlarged."""
    height, width = picture.shape[:2]
    margin = 0.5 - 0.5 / params["factor"]
    box = (width * margin, height * margin, width * (1 - margin), height * (1 - margin))
    image = Image.fromarray(to_bytes(picture)).resize((width, height), Image.Resampling.BILINEAR, box=box)
    return to_float(np.asarray(image))


def tilt(picture: FloatPicture, params: Params) -> FloatPicture:
    """Turned about its middle by some degrees, clockwise above zero; a plain colour where nothing is left to see."""
    height, width = picture.shape[:2]
    short, (x, y) = short_side(picture), grid(height, width)
    turn = math.radians(params["angle"])
    across, down = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    turned = sample(picture, across * (short / width) + 0.5, down * (short / height) + 0.5)
    inside = coverage(box_distance(across, down, half_sides(picture)))
    return mix(unit_colour(params["colour"]), turned, inside)


def slide(picture: FloatPicture, params: Params) -> FloatPicture:
    """Pushed to one side by a share of it; what leaves comes in again at the other side."""
    axis = 1 if params["to"] in ("left", "right") else 0
    step = round(params["share"] * picture.shape[axis])
    return np.roll(picture, -step if params["to"] in ("left", "up") else step, axis)


def _lean(rng: Rng) -> float:
    """Degrees, either way."""
    side: int = SIDE(rng)
    return side * float(span(8, 25)(rng))


def _task(name: str, change: Change, **fields: Draw) -> Task:
    return pixel_task(name, "editing", change, **fields)


TASKS: tuple[Task, ...] = (
    _task("flip", flip, axis=choice("horizontal", "vertical")),
    _task("turn", turn, quarters=whole(1, 3)),
    _task("tilt", tilt, angle=_lean, colour=VIVID),
    _task("slide", slide, to=choice("left", "right", "up", "down"), share=span(0.15, 0.45)),
    _task("mirror halves", mirror_halves, keep=choice("left", "right")),
    _task("zoom in", zoom, factor=span(1.3, 2.0)),
)
