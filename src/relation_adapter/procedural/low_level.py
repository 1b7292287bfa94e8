"""Low-level tasks: light, colour, sharpness, restoration."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from .draws import Draw, Params, choice, pale, span, tint, vivid, whole
from .pixels import (
    FloatPicture,
    as_float32,
    edges,
    gaussian_blur,
    gray,
    grid,
    luminance,
    mix,
    own_rng,
    resize,
    short_side,
    to_bytes,
    to_float,
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
    """Bright contours on black."""
    contours = edges(gaussian_blur(luminance(picture), 0.008)) * params["gain"]
    return np.repeat(contours[..., None], 3, axis=2)


def haze(picture: FloatPicture, params: Params) -> FloatPicture:
    """A veil, thicker towards the top."""
    _, y = grid(*picture.shape[:2])
    weight = (params["strength"] - params["slope"] * y)[..., None].clip(0, 0.95)
    return mix(picture, unit_colour(params["colour"]), weight)


def grain(picture: FloatPicture, sigma: float) -> FloatPicture:
    """Gaussian noise per pixel and channel, of the picture's own."""
    return own_rng(picture).standard_normal(picture.shape, np.float32) * np.float32(sigma)


def add_noise(picture: FloatPicture, params: Params) -> FloatPicture:
    """Gaussian grain per pixel and channel."""
    return picture + grain(picture, params["sigma"])


def underexpose(picture: FloatPicture, params: Params) -> FloatPicture:
    """Dark, with grain."""
    return as_float32(wide(picture) ** params["gamma"] * params["gain"]) + grain(picture, params["sigma"])


def lower_resolution(picture: FloatPicture, params: Params) -> FloatPicture:
    """Shrunk to `cells` pixels on the short side and enlarged again."""
    height, width = picture.shape[:2]
    factor = min(1.0, params["cells"] / short_side(picture))
    small = resize(picture, max(1, round(height * factor)), max(1, round(width * factor)))
    return resize(small, height, width)


def scratch(picture: FloatPicture, params: Params) -> FloatPicture:
    """Thin lines across the picture."""
    rng, short = own_rng(picture), short_side(picture)
    image = Image.fromarray(to_bytes(picture))
    canvas = ImageDraw.Draw(image)
    for _ in range(params["count"]):
        start, end = rng.uniform(-0.1, 1.1, (2, 2)) * [image.width, image.height]
        line = [tuple(start), tuple((start + end) / 2 + rng.normal(0, 0.05 * short, 2)), tuple(end)]
        canvas.line(line, fill=tuple(params["colour"]), width=max(1, round(params["width"] * short)))
    return to_float(np.asarray(image))


def specks(picture: FloatPicture, params: Params) -> FloatPicture:
    """Dots of one colour, each a 64th of the short side."""
    cell = max(1, round(short_side(picture) / 64))
    height, width = picture.shape[:2]
    hit = own_rng(picture).random((-(-height // cell), -(-width // cell))) < params["density"]
    mask = hit.repeat(cell, axis=0).repeat(cell, axis=1)[:height, :width, None]
    return np.where(mask, unit_colour(params["colour"]), picture)


def rain(picture: FloatPicture, params: Params) -> FloatPicture:
    """Pale parallel streaks."""
    rng, short = own_rng(picture), short_side(picture)
    veil = Image.new("L", picture.shape[1::-1])
    canvas = ImageDraw.Draw(veil)
    lean, length = math.tan(math.radians(params["angle"])), params["length"] * short
    for x, y in rng.uniform(-0.1, 1.1, (params["count"], 2)) * [veil.width, veil.height]:
        canvas.line([(x, y), (x + lean * length, y + length)], fill=150, width=max(1, round(0.014 * short)))
    return mix(picture, as_float32([0.92, 0.94, 0.97]), to_float(np.asarray(veil))[..., None])


def fade(picture: FloatPicture, params: Params) -> FloatPicture:
    """An old brownish print: toned, pale, lighter in the dark parts."""
    toned = mix(saturation(picture, {"factor": params["colour"]}), gray(picture) * unit_colour(params["paper"]), 0.5)
    return as_float32(0.28 + params["contrast"] * (toned - 0.2))


def _task(name: str, change: Change, **fields: Draw) -> Task:
    return pixel_task(name, "low_level", change, **fields)


def _undo(name: str, change: Change, **fields: Draw) -> Task:
    return pixel_task(name, "low_level", change, True, **fields)


PAPERS = choice([235, 205, 160], [240, 215, 175], [225, 205, 180])
WHITE_OR_BLACK = choice([235, 235, 230], [20, 20, 20])

TASKS: tuple[Task, ...] = (
    _task("brighten", expose, gain=span(1.15, 1.4), offset=span(0.0, 0.06), gamma=span(0.5, 0.8)),
    _task("darken", expose, gain=span(0.6, 0.85), offset=span(-0.04, 0.0), gamma=span(1.25, 1.7)),
    _task("raise contrast", contrast, factor=span(1.5, 2.3)),
    _task("lower contrast", contrast, factor=span(0.3, 0.6)),
    _task("grayscale", saturation, factor=span(0.0, 0.12)),
    _task("saturate", saturation, factor=span(1.6, 2.4)),
    _task("desaturate", saturation, factor=span(0.3, 0.5)),
    _task("blur", blur, sigma=span(0.018, 0.045)),
    _task("sharpen", sharpen, sigma=span(0.012, 0.025), amount=span(1.2, 2.5)),
    _task("edge detection", edge_detection, gain=span(1.5, 3.0)),
    _task("add haze", haze, strength=span(0.35, 0.65), slope=span(0.0, 0.6), colour=tint(pale)),
    _undo("remove haze", haze, strength=span(0.3, 0.6), slope=span(0.0, 0.5), colour=tint(pale)),
    _undo("remove noise", add_noise, sigma=span(0.07, 0.16)),
    _undo("remove blur", blur, sigma=span(0.014, 0.028)),
    _undo("light up the dark", underexpose, gamma=span(1.1, 1.6), gain=span(0.25, 0.5), sigma=span(0.0, 0.02)),
    _undo("raise resolution", lower_resolution, cells=whole(20, 32)),
    _undo("remove scratches", scratch, count=whole(4, 9), width=span(0.014, 0.024), colour=WHITE_OR_BLACK),
    _undo("remove specks", specks, density=span(0.04, 0.1), colour=tint(vivid)),
    _undo("remove rain", rain, count=whole(40, 80), angle=span(-35, 35), length=span(0.12, 0.25)),
    _undo("restore old photo", fade, contrast=span(0.45, 0.65), colour=span(0.5, 0.9), paper=PAPERS),
)
