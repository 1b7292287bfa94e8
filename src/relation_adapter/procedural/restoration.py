"""Low-level tasks of restoration: a picture is spoiled in a known way, and the truth is the picture itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .brush import Pen
from .draws import PALE, VIVID, Draw, Params, Rng, choice, colour, hsv, span, tint, whole
from .letters import LETTERS, write
from .low_level import haze, saturation
from .pixels import (
    FloatPicture,
    as_float32,
    gaussian_blur,
    gray,
    grid,
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
from .textures import noise_planes

Corner = tuple[float, float]


def grain(picture: FloatPicture, sigma: float) -> FloatPicture:
    """Gaussian noise per pixel and channel, of the picture's own."""
    return own_rng(picture).standard_normal(picture.shape, np.float32) * np.float32(sigma)


def add_noise(picture: FloatPicture, params: Params) -> FloatPicture:
    """Gaussian grain per pixel and channel."""
    return picture + grain(picture, params["sigma"])


def underexpose(picture: FloatPicture, params: Params) -> FloatPicture:
    """Dark, with grain."""
    return as_float32(wide(picture) ** params["gamma"] * params["gain"]) + grain(picture, params["sigma"])


def shake(picture: FloatPicture, params: Params) -> FloatPicture:
    """The camera moved along a straight line, and was a little out of focus."""
    reach, turn = params["length"] * short_side(picture) / 2, math.radians(params["angle"])
    height, width = picture.shape[:2]
    total = np.zeros(picture.shape, np.float32)
    steps = 9
    for step in np.linspace(-reach, reach, steps).tolist():
        down = (np.arange(height) + round(step * math.sin(turn))).clip(0, height - 1)
        across = (np.arange(width) + round(step * math.cos(turn))).clip(0, width - 1)
        total += picture[down][:, across]
    return gaussian_blur(total * np.float32(1 / steps), params["sigma"])


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


def spots(picture: FloatPicture, params: Params) -> FloatPicture:
    """Round blots of one colour."""
    rng, short = own_rng(picture), short_side(picture)
    image = Image.fromarray(to_bytes(picture))
    canvas = ImageDraw.Draw(image)
    for x, y, part in rng.random((params["count"], 3)).tolist():
        radius = max(0.6, params["radius"] * (0.5 + part) * short)
        left, top = x * image.width - radius, y * image.height - radius
        canvas.ellipse((left, top, left + 2 * radius, top + 2 * radius), fill=tuple(params["colour"]))
    return to_float(np.asarray(image))


def rain(picture: FloatPicture, params: Params) -> FloatPicture:
    """Pale parallel streaks."""
    rng, height, width = own_rng(picture), *picture.shape[:2]
    veil = Image.new("L", (2 * width, 2 * height))
    canvas, short = ImageDraw.Draw(veil), 2 * short_side(picture)
    lean, length = math.tan(math.radians(params["angle"])), params["length"] * short
    for x, y in rng.uniform(-0.1, 1.1, (params["count"], 2)) * [veil.width, veil.height]:
        canvas.line([(x, y), (x + lean * length, y + length)], fill=150, width=max(1, round(0.014 * short)))
    return mix(picture, as_float32([0.92, 0.94, 0.97]), to_float(np.asarray(veil.reduce(2)))[..., None])


def fade(picture: FloatPicture, params: Params) -> FloatPicture:
    """An old print that lost colour and contrast: toned, pale, lighter in the dark parts."""
    toned = mix(saturation(picture, {"factor": params["colour"]}), gray(picture) * unit_colour(params["paper"]), 0.5)
    return as_float32(0.28 + params["contrast"] * (toned - 0.2))


def monochrome(picture: FloatPicture, params: Params) -> FloatPicture:
    """A print without colours: from its ink to its paper, grainy."""
    toned = mix(unit_colour(params["ink"]), unit_colour(params["paper"]), gray(picture))
    return toned + gray(grain(picture, params["sigma"]))


def cast(picture: FloatPicture, params: Params) -> FloatPicture:
    """The light of a coloured lamp."""
    return picture * unit_colour(params["lamp"])


def own_field(picture: FloatPicture, slope: float) -> FloatPicture:
    """A smooth field (H, W, 1) of the picture's own in [0, 1]: noise of amplitude 1/f**slope."""
    height, width = picture.shape[:2]
    field = noise_planes(own_rng(picture), 48, 1, slope)[..., 0] * np.float32(0.2) + np.float32(0.5)
    long = max(height, width)
    image = Image.fromarray(to_bytes(field)).resize((long, long), Image.Resampling.BICUBIC)
    return to_float(np.asarray(image)[:height, :width])[..., None]


def clouds(picture: FloatPicture, params: Params) -> FloatPicture:
    """Clouds between the camera and the ground, thick in the middle, thin at the rim."""
    field = own_field(picture, params["slope"])
    cover = ((field - params["level"]) / params["softness"]).clip(0, params["thickness"])
    return mix(picture, unit_colour(params["colour"]), cover)


def shadow(picture: FloatPicture, params: Params) -> FloatPicture:
    """The shadow of something with four corners, cold as the light of the sky."""
    height, width = picture.shape[:2]
    rng = own_rng(picture)
    middle, reach = rng.uniform(0.3, 0.7, 2), rng.uniform(0.3, 0.6, 4)
    turns = [(turn + rng.uniform(0.1, 0.9)) * math.tau / 4 for turn in range(4)]
    corners = [
        ((middle[0] + by * math.cos(turn)) * width, (middle[1] + by * math.sin(turn)) * height)
        for by, turn in zip(reach, turns, strict=True)
    ]
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).polygon(corners, fill=255)
    weight = gaussian_blur(to_float(np.asarray(mask)), params["softness"])[..., None]
    return picture * mix(as_float32([1.0] * 3), unit_colour(params["shade"]), weight)


def moire(picture: FloatPicture, params: Params) -> FloatPicture:
    """Bent fringes in the colours of the rainbow, as of a screen that was photographed."""
    x, y = (wide(plane) for plane in grid(*picture.shape[:2]))
    turn = math.radians(params["angle"])
    along = math.cos(turn) * x + math.sin(turn) * y + params["bend"] * (x * x + y * y)
    apart = np.array([0.0, 1.0, 2.0]) * params["spread"]
    fringes = np.cos((along / params["pitch"])[..., None] * math.tau + apart)
    return as_float32(picture * (1 - params["strength"] * (0.5 + 0.5 * fringes)))


def _cosines(count: int) -> NDArray[np.float64]:
    """The orthonormal cosine transform, (count, count)."""
    place = (np.arange(count) + 0.5) * math.pi / count
    matrix = np.cos(np.arange(count)[:, None] * place[None, :]) * math.sqrt(2 / count)
    matrix[0] /= math.sqrt(2)
    return matrix


def compress(picture: FloatPicture, params: Params) -> FloatPicture:
    """Blocks whose cosine transform keeps few levels, fewer of colour and of detail, as in a small JPEG file."""
    height, width = picture.shape[:2]
    side = max(2, round(params["block"] * short_side(picture)))
    padded = wide(np.pad(picture, ((0, -height % side), (0, -width % side), (0, 0)), mode="edge"))
    light = padded[..., :1] * 0.299 + padded[..., 1:2] * 0.587 + padded[..., 2:] * 0.114
    planes = np.concatenate([light, padded[..., :1] - light, padded[..., 2:] - light], axis=2)
    rows, columns = planes.shape[0] // side, planes.shape[1] // side
    blocks = planes.reshape(rows, side, columns, side, 3).transpose(0, 2, 4, 1, 3)
    matrix, order = _cosines(side), np.arange(side) * 8 / side
    steps = (
        params["step"] * side / 8 * (1 + 0.5 * (order[:, None] + order[None, :])) * np.array([1, 2, 2])[:, None, None]
    )
    # Ties are common in plain blocks; the nudge makes them fall to the same side on every processor.
    levels = np.floor(matrix @ blocks @ matrix.T / steps + 0.5 + 1e-9)
    planes = (matrix.T @ (levels * steps) @ matrix).transpose(0, 3, 1, 4, 2).reshape(padded.shape)
    light, red, blue = (planes[:height, :width, channel] for channel in range(3))
    green = (light - 0.299 * (red + light) - 0.114 * (blue + light)) / 0.587
    return as_float32(np.stack([red + light, green, blue + light], axis=2))


def watermark(picture: FloatPicture, params: Params) -> FloatPicture:
    """A word written all over, half transparent."""
    height, width = picture.shape[:2]
    pen = Pen(max(height, width)).local(0.5, 0.5, 1, params["angle"])
    for row in range(-2, 3):
        for column in range(-1, 2):
            write(pen, params["word"], 0.56 * (column + row % 2 / 2), 0.27 * row, 0.15, (255, 255, 255), 0.03)
    alpha = to_float(np.asarray(pen.layer()))[:height, :width, 3:]
    return mix(picture, unit_colour(params["colour"]), alpha * np.float32(params["strength"]))


def colour_filter(picture: FloatPicture, params: Params) -> FloatPicture:
    """What a sensor sees: every cell one of red, green, blue, in squares of four."""
    height, width = picture.shape[:2]
    cell = max(1, round(params["cell"] * short_side(picture)))
    down, across = (np.arange(side) // cell % 2 for side in (height, width))
    channel = np.array(params["pattern"])[2 * down[:, None] + across[None, :]]
    return as_float32(picture * (channel[..., None] == np.arange(3)))


def sheet(picture: FloatPicture, params: Params) -> FloatPicture:
    """The picture as a sheet of paper that lies askew on a desk."""
    height, width = picture.shape[:2]
    corners = [(x * width, y * height) for x, y in params["corners"]]
    whole_sheet = [(0.0, 0.0), (float(width), 0.0), (float(width), float(height)), (0.0, float(height))]
    way = _perspective(corners, whole_sheet)
    method, smooth = Image.Transform.PERSPECTIVE, Image.Resampling.BILINEAR
    paper = Image.fromarray(to_bytes(picture)).transform((width, height), method, way, smooth)
    mask = Image.new("L", (width, height), 255).transform((width, height), method, way, smooth)
    covered = gaussian_blur(to_float(np.asarray(mask)), 0.03)[..., None]
    desk = unit_colour(params["desk"]) * (1 - np.float32(0.5) * covered)
    return mix(as_float32(desk), to_float(np.asarray(paper)), to_float(np.asarray(mask))[..., None])


def _perspective(starts: Sequence[Corner], ends: Sequence[Corner]) -> tuple[float, ...]:
    """Eight numbers of the map that takes four places to four others: (ax + by + c, dx + ey + f) / (gx + hy + 1)."""
    rows, values = [], []
    for (x, y), (u, v) in zip(starts, ends, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return tuple(float(value) for value in np.linalg.solve(np.array(rows, np.float64), np.array(values)))


def _undo(name: str, change: Change, **fields: Draw) -> Task:
    return pixel_task(name, "low_level", change, True, **fields)


def _unseen(name: str, change: Change, **fields: Draw) -> Task:
    return pixel_task(name, "low_level", change, True, False, **fields)


def _corners(rng: Rng) -> list[list[float]]:
    """Upper left, upper right, lower right, lower left; every corner a little inwards in its own way."""
    inwards = rng.uniform(0.03, 0.3, (4, 2))
    signs = ((0, 0), (1, 0), (1, 1), (0, 1))
    return [
        [round(float(abs(at - by)), 4) for at, by in zip(*pair, strict=True)]
        for pair in zip(signs, inwards, strict=True)
    ]


def _word(rng: Rng) -> str:
    return "".join(LETTERS[int(place)] for place in rng.integers(len(LETTERS), size=4))


def _lamp(rng: Rng) -> list[int]:
    """Light of any colour, orange and blue more often than others."""
    hue = rng.choice([0.08, 0.6, rng.random()])
    return list(hsv(hue + rng.uniform(-0.03, 0.03), rng.uniform(0.4, 0.65), 1.0))


PAPERS = choice([245, 205, 140], [245, 190, 180], [205, 215, 235])  # gone brown, red or blue
WHITE_OR_BLACK = choice([235, 235, 230], [20, 20, 20])
SKY_LIGHT = tint(colour((0.58, 0.68), (0.2, 0.4), (0.35, 0.55)))
CLOUD = tint(colour(saturation=(0.0, 0.1), value=(0.75, 1.0)))
PRINT = {
    "ink": tint(colour((0.03, 0.11), (0.3, 0.7), (0.1, 0.25))),
    "paper": tint(colour((0.09, 0.14), (0.1, 0.35), (0.85, 1.0))),
}
WOOD = tint(colour((0.0, 0.12), (0.2, 0.8), (0.2, 0.8)))
FILTERS = choice([0, 1, 1, 2], [2, 1, 1, 0], [1, 0, 2, 1], [1, 2, 0, 1])
FRINGES: dict[str, Draw] = {"pitch": span(0.05, 0.12), "angle": span(0, 180), "bend": span(-0.5, 0.5)}

TASKS: tuple[Task, ...] = (
    _undo("haze removal", haze, strength=span(0.3, 0.6), slope=span(0.0, 0.5), colour=PALE),
    _undo("denoising", add_noise, sigma=span(0.05, 0.18)),
    _undo("deblurring", shake, angle=span(0, 180), length=span(0.05, 0.11), sigma=span(0.006, 0.014)),
    _undo("low-light enhancement", underexpose, gamma=span(1.1, 1.6), gain=span(0.25, 0.5), sigma=span(0.0, 0.02)),
    _undo("super resolution", lower_resolution, cells=whole(14, 32)),
    _undo("scratch removal", scratch, count=whole(4, 9), width=span(0.014, 0.024), colour=WHITE_OR_BLACK),
    _undo("spot removal", spots, count=whole(12, 30), radius=span(0.012, 0.028), colour=VIVID),
    _undo("rain removal", rain, count=whole(40, 80), angle=span(-35, 35), length=span(0.12, 0.25)),
    _undo("old photo restoration", fade, contrast=span(0.35, 0.7), colour=span(0.2, 0.9), paper=PAPERS),
    _undo(
        "cloud removal",
        clouds,
        slope=span(1.4, 1.9),
        level=span(0.4, 0.5),
        softness=span(0.1, 0.25),
        thickness=span(0.75, 0.95),
        colour=CLOUD,
    ),
    _undo("shadow removal", shadow, softness=span(0.005, 0.04), shade=SKY_LIGHT),
    _undo("moire removal", moire, **FRINGES, spread=span(0.6, 2.1), strength=span(0.35, 0.6)),
    _undo("white balance", cast, lamp=_lamp),
    _undo("old photo colouring", monochrome, **PRINT, sigma=span(0.0, 0.06)),
    _undo("compression artefact removal", compress, block=span(0.06, 0.13), step=span(0.18, 0.4)),
    _undo(
        "watermark removal", watermark, word=_word, angle=span(-40, 40), colour=WHITE_OR_BLACK, strength=span(0.4, 0.7)
    ),
    _unseen("demosaicing", colour_filter, pattern=FILTERS, cell=span(0.008, 0.02)),
    _unseen("document rectification", sheet, corners=_corners, desk=WOOD),
)
