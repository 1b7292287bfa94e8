"""Low-level tasks that spoil or change: light, colour, sharpness, haze."""

from __future__ import annotations

import numpy as np

from .draws import PALE, Draw, Params, span
from .pixels import (
    FloatPicture,
    as_float32,
    edges,
    gaussian_blur,
    gray,
    grid,
    luminance,
    mix,
    unit_colour,
    wide,
)
from .task import Change, Task, pixel_task


def expose(picture: FloatPicture, params: Params) -> FloatPicture:
    """Gain, offset, then gamma."""
    lifted = (picture * params["gain"] + params["offset"]).clip(0, 1)
    return as_float32(wide(lifted) ** params["gamma"])


def contrast(picture: FloatPicture, params: Params) -> FloatPicture:
    """Distance from mid grey times factor."""
    return as_float32((picture - 0.5) * params["factor"] + 0.5)


def saturation(picture: FloatPicture, params: Params) -> FloatPicture:
    """Distance from the luma times factor; 0 is grey."""
    return mix(gray(picture), picture, params["factor"])


def blur(picture: FloatPicture, params: Params) -> FloatPicture:
    """Gaussian; sigma a fraction of the short side."""
    return gaussian_blur(picture, params["sigma"])


def sharpen(picture: FloatPicture, params: Params) -> FloatPicture:
    """Unsharp mask."""
    return mix(gaussian_blur(picture, params["sigma"]), picture, 1 + params["amount"])


def edge_detection(picture: FloatPicture, params: Params) -> FloatPicture:
    """Bright contours on black, as broad as asked for (fraction of the short side)."""
    reach = params["breadth"] / 2
    contours = edges(gaussian_blur(luminance(picture), reach), reach) * params["gain"]
    return np.repeat(contours[..., None], 3, axis=2)


def haze(picture: FloatPicture, params: Params) -> FloatPicture:
    """A veil, thicker towards the top."""
    _, y = grid(*picture.shape[:2])
    weight = (params["strength"] - params["slope"] * y)[..., None].clip(0, 0.95)
    return mix(picture, unit_colour(params["colour"]), weight)


def _task(name: str, change: Change, **fields: Draw) -> Task:
    return pixel_task(name, "low_level", change, **fields)


TASKS: tuple[Task, ...] = (
    _task("brighten", expose, gain=span(1.15, 1.4), offset=span(0.0, 0.06), gamma=span(0.5, 0.8)),
    _task("darken", expose, gain=span(0.6, 0.85), offset=span(-0.04, 0.0), gamma=span(1.25, 1.7)),
    _task("raise contrast", contrast, factor=span(1.5, 2.3)),
    _task("lower contrast", contrast, factor=span(0.2, 0.6)),
    _task("grayscale", saturation, factor=span(0.0, 0.12)),
    _task("saturate", saturation, factor=span(1.6, 2.4)),
    _task("desaturate", saturation, factor=span(0.2, 0.55)),
    _task("blur", blur, sigma=span(0.018, 0.045)),
    _task("sharpen", sharpen, sigma=span(0.012, 0.025), amount=span(1.2, 2.5)),
    _task("edge detection", edge_detection, breadth=span(0.012, 0.03), gain=span(2.0, 4.0)),
    _task("add haze", haze, strength=span(0.35, 0.65), slope=span(0.0, 0.6), colour=PALE),
)
