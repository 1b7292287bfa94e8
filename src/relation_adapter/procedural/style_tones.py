"""Style tasks of tone: every pixel, or its place, decides its new colour alone."""

from __future__ import annotations

import math

import numpy as np

from .craft import style_task
from .draws import VIVID, Params, choice, span, whole
from .pixels import FloatPicture, as_float32, gray, grid, mix, unit_colour, wide
from .task import Task


def white_balance(picture: FloatPicture, params: Params) -> FloatPicture:
    """Red and blue gains."""
    return picture * as_float32([params["red"], 1.0, params["blue"]])


def hue_rotate(picture: FloatPicture, params: Params) -> FloatPicture:
    """Turn the colours by an angle (degrees) around the grey axis."""
    angle = math.radians(params["angle"])
    cos, sin = math.cos(angle), math.sin(angle)
    one, root = (1 - cos) / 3, sin / math.sqrt(3)
    matrix = [
        [cos + one, one - root, one + root],
        [one + root, cos + one, one - root],
        [one - root, one + root, cos + one],
    ]
    return as_float32(wide(picture) @ np.array(matrix).T)


def tinted(picture: FloatPicture, params: Params) -> FloatPicture:
    """Towards the luma in one colour."""
    return mix(picture, gray(picture) * unit_colour(params["colour"]) * 1.1, params["strength"])


def invert(picture: FloatPicture, params: Params) -> FloatPicture:
    """The negative of some channels."""
    return mix(picture, 1 - picture, as_float32(params["channels"]) * np.float32(params["strength"]))


def posterize(picture: FloatPicture, params: Params) -> FloatPicture:
    """Few levels per channel."""
    steps = params["levels"] - 1
    return as_float32(np.round(picture * steps) / steps)


def solarize(picture: FloatPicture, params: Params) -> FloatPicture:
    """Everything above the threshold falls back towards black."""
    return np.where(
        picture > params["threshold"], (1 - picture) * params["threshold"] / (1 - params["threshold"]), picture
    )


def threshold(picture: FloatPicture, params: Params) -> FloatPicture:
    """Black and white, with a narrow ramp that keeps the outlines smooth."""
    level = ((gray(picture) - params["level"]) * 12 + 0.5).clip(0, 1)
    return np.repeat(level, 3, axis=2)


def channel_swap(picture: FloatPicture, params: Params) -> FloatPicture:
    """Another order of red, green, blue."""
    return picture[..., params["order"]]


def vignette(picture: FloatPicture, params: Params) -> FloatPicture:
    """Darker towards the corners."""
    height, width = picture.shape[:2]
    x, y = grid(height, width)
    short = min(height, width)
    reach = np.sqrt(2 * (wide(x * (short / width)) ** 2 + wide(y * (short / height)) ** 2))
    shade = ((reach - params["inner"]) / (1 - params["inner"])).clip(0, 1) ** 1.5
    return as_float32(picture * (1 - params["strength"] * shade)[..., None])


ORDERS = choice([0, 2, 1], [1, 0, 2], [2, 1, 0])  # the cyclic ones are hue rotations
SOME_CHANNELS = choice([1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1])
SEPIA = choice([255, 214, 165], [235, 180, 125], [255, 225, 190])
ALL_CHANNELS = choice([1, 1, 1])

TASKS: tuple[Task, ...] = (
    style_task("warmer", white_balance, red=span(1.15, 1.4), blue=span(0.5, 0.75)),
    style_task("cooler", white_balance, red=span(0.5, 0.75), blue=span(1.15, 1.4)),
    style_task("sepia", tinted, colour=SEPIA, strength=span(0.7, 1.0)),
    style_task("tint", tinted, colour=VIVID, strength=span(0.5, 0.85)),
    style_task("hue rotate", hue_rotate, angle=span(60, 300)),
    style_task("channel swap", channel_swap, order=ORDERS),
    style_task("negative", invert, channels=ALL_CHANNELS, strength=span(0.7, 1.0)),
    style_task("invert some channels", invert, channels=SOME_CHANNELS, strength=span(0.85, 1.0)),
    style_task("posterize", posterize, levels=whole(3, 5)),
    style_task("solarize", solarize, threshold=span(0.4, 0.65)),
    style_task("threshold", threshold, level=span(0.35, 0.6)),
    style_task("vignette", vignette, inner=span(0.25, 0.5), strength=span(0.7, 1.0)),
)
