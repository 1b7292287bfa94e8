"""Low-level tasks: tone, colour, sharpness, geometry, restoration."""

from __future__ import annotations

import math
import zlib

import numpy as np
from PIL import Image, ImageDraw

from .draws import Params, choice, colour, draws, pale, span
from .pixels import (
    FloatPicture,
    as_float32,
    edges,
    gaussian_blur,
    gray,
    grid,
    luminance,
    mix,
    resize,
    short_side,
    to_bytes,
    to_float,
    unit_colour,
)
from .task import PixelTask, Task


def expose(picture: FloatPicture, params: Params) -> FloatPicture:
    """Gain, offset, then gamma."""
    lifted = (picture * params["gain"] + params["offset"]).clip(0, 1)
    return as_float32(lifted ** params["gamma"])


def contrast(picture: FloatPicture, params: Params) -> FloatPicture:
    """Distance from mid grey times factor."""
    return as_float32((picture - 0.5) * params["factor"] + 0.5)


def saturation(picture: FloatPicture, params: Params) -> FloatPicture:
    """Distance from the luma times factor; 0 is grey."""
    return mix(gray(picture), picture, params["factor"])


def white_balance(picture: FloatPicture, params: Params) -> FloatPicture:
    """Red and blue gains."""
    return picture * as_float32([params["red"], 1.0, params["blue"]])


def hue_rotate(picture: FloatPicture, params: Params) -> FloatPicture:
    """Turn the colours by an angle (degrees) around the grey axis."""
    angle = math.radians(params["angle"])
    cos, sin = math.cos(angle), math.sin(angle)
    one, root = (1 - cos) / 3, sin / math.sqrt(3)
    matrix = [[cos + one, one - root, one + root], [one + root, cos + one, one - root], [one - root, one + root, cos + one]]
    return picture @ as_float32(matrix).T


def channel_swap(picture: FloatPicture, params: Params) -> FloatPicture:
    """Another order of red, green, blue."""
    return picture[..., params["order"]]


def blur(picture: FloatPicture, params: Params) -> FloatPicture:
    """Gaussian; sigma a fraction of the short side."""
    return gaussian_blur(picture, params["sigma"])


def sharpen(picture: FloatPicture, params: Params) -> FloatPicture:
    """Unsharp mask."""
    return mix(gaussian_blur(picture, params["sigma"]), picture, 1 + params["amount"])


def edge_detection(picture: FloatPicture, params: Params) -> FloatPicture:
    """Bright contours on black."""
    contours = edges(gaussian_blur(luminance(picture), 0.008)) * params["gain"]
    return np.repeat(contours[..., None], 3, axis=2)


def horizontal_flip(picture: FloatPicture, params: Params) -> FloatPicture:
    """Left and right change places."""
    return picture[:, ::-1]


def vertical_flip(picture: FloatPicture, params: Params) -> FloatPicture:
    """Top and bottom change places."""
    return picture[::-1]


def haze(picture: FloatPicture, params: Params) -> FloatPicture:
    """A veil, thicker towards the top."""
    _, y = grid(*picture.shape[:2])
    weight = (params["strength"] - params["slope"] * y)[..., None].clip(0, 0.95)
    return mix(picture, unit_colour(params["colour"]), weight)


def _own_rng(picture: FloatPicture) -> np.random.Generator:
    """Random numbers of the picture itself: two pictures of a quad must not share their grain."""
    return np.random.default_rng(zlib.crc32(picture.tobytes()))


def add_noise(picture: FloatPicture, params: Params) -> FloatPicture:
    """Gaussian grain per pixel and channel."""
    grain = _own_rng(picture).standard_normal(picture.shape, np.float32)
    return picture + grain * np.float32(params["sigma"])


def underexpose(picture: FloatPicture, params: Params) -> FloatPicture:
    """Dark, with grain."""
    return add_noise(as_float32(picture ** params["gamma"] * params["gain"]), params)


def lower_resolution(picture: FloatPicture, params: Params) -> FloatPicture:
    """Shrunk to `cells` pixels on the short side and enlarged again."""
    height, width = picture.shape[:2]
    factor = min(1.0, params["cells"] / short_side(picture))
    small = resize(picture, max(1, round(height * factor)), max(1, round(width * factor)))
    return resize(small, height, width)


def scratch(picture: FloatPicture, params: Params) -> FloatPicture:
    """Thin lines across the picture."""
    rng, short = _own_rng(picture), short_side(picture)
    image = Image.fromarray(to_bytes(picture))
    canvas = ImageDraw.Draw(image)
    for _ in range(params["count"]):
        start, end = rng.uniform(-0.1, 1.1, (2, 2)) * [image.width, image.height]
        line = [tuple(start), tuple((start + end) / 2 + rng.normal(0, 0.05 * short, 2)), tuple(end)]
        canvas.line(line, fill=tuple(params["colour"]), width=max(1, round(params["width"] * short)))
    return to_float(np.asarray(image))


def fade(picture: FloatPicture, params: Params) -> FloatPicture:
    """An old brownish print: toned, flat, lighter in the dark parts."""
    toned = gray(picture) * unit_colour(params["paper"])
    return as_float32(0.1 + params["contrast"] * (toned - 0.1) + 0.12 * (1 - params["contrast"]))


def _pixel(name: str, change: object, backwards: bool = False, **fields: object) -> Task:
    return PixelTask(name, "low_level", draws(**fields), backwards, change)  # type: ignore[arg-type]


WHITE_OR_BLACK = choice([235, 235, 230], [20, 20, 20])

TASKS: tuple[Task, ...] = ()
