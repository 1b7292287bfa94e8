"""Editing tasks of geometry: the picture flipped, turned, mirrored, enlarged."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .draws import Draw, Params, choice, span
from .pixels import FloatPicture, to_bytes, to_float
from .task import Change, Task, pixel_task


def horizontal_flip(picture: FloatPicture, params: Params) -> FloatPicture:
    """Left and right change places."""
    return picture[:, ::-1]


def vertical_flip(picture: FloatPicture, params: Params) -> FloatPicture:
    """Top and bottom change places."""
    return picture[::-1]


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


def _task(name: str, change: Change, **fields: Draw) -> Task:
    return pixel_task(name, "editing", change, **fields)


TASKS: tuple[Task, ...] = (
    _task("horizontal flip", horizontal_flip),
    _task("vertical flip", vertical_flip),
    _task("quarter turn", turn, quarters=choice(1, 3)),
    _task("half turn", turn, quarters=choice(2)),
    _task("mirror halves", mirror_halves, keep=choice("left", "right")),
    _task("zoom in", zoom, factor=span(1.3, 2.0)),
)
