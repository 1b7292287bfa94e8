"""Style tasks: the same picture in another technique."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .draws import Draw, Params, choice, colour, deep, pale, span, tint, vivid, whole
from .pixels import (
    FloatPicture,
    as_float32,
    box_blur,
    edges,
    gaussian_blur,
    gray,
    grid,
    luminance,
    mix,
    short_side,
    to_bytes,
    to_float,
    unit_colour,
)
from .task import Change, Task, pixel_task


def pencil(picture: FloatPicture, params: Params) -> FloatPicture:
    """Dark strokes where the luma is below its surroundings, on paper."""
    light = luminance(picture)
    dodge = (light + 0.02) / (gaussian_blur(light, params["sigma"]) + 0.02)
    strokes = dodge.clip(0, 1) ** params["pressure"]
    return mix(unit_colour(params["ink"]), unit_colour(params["paper"]), as_float32(strokes)[..., None])


def ramp(plane: FloatPicture, colours: list[list[int]]) -> FloatPicture:
    """A (H, W) plane in [0, 1] through evenly spaced colours."""
    stops = np.linspace(0, 1, len(colours))
    palette = np.array(colours, np.float32) / 255
    return as_float32(np.stack([np.interp(plane, stops, palette[:, channel]) for channel in range(3)], axis=2))


def pop_art(picture: FloatPicture, params: Params) -> FloatPicture:
    """Four flat colours in the order of the luma."""
    colours = params["colours"]
    light = gaussian_blur(luminance(picture), 0.012).clip(0, 0.999) * len(colours)
    palette = np.array(colours, np.float32) / 255
    return as_float32(palette[light.astype(np.intp)])


def gradient_map(picture: FloatPicture, params: Params) -> FloatPicture:
    """The luma painted in a passage of colours."""
    return ramp(luminance(picture), params["colours"])


def _blocks(picture: FloatPicture, cells: int) -> tuple[FloatPicture, FloatPicture, FloatPicture]:
    """The mean colour of square blocks, `cells` to the short side, and each pixel's place in its block in [-1, 1]."""
    height, width = picture.shape[:2]
    rows = max(1, round(height * cells / short_side(picture)))
    columns = max(1, round(width * cells / short_side(picture)))
    small = Image.fromarray(to_bytes(picture)).resize((columns, rows), Image.Resampling.BOX)
    down, across = np.arange(height) * rows / height, np.arange(width) * columns / width
    flat = to_float(np.asarray(small))[down.astype(int)][:, across.astype(int)]
    half = as_float32(0.5 * rows / height), as_float32(0.5 * columns / width)
    return flat, as_float32(across % 1 + half[1])[None, :] * 2 - 1, as_float32(down % 1 + half[0])[:, None] * 2 - 1


def pixel_art(picture: FloatPicture, params: Params) -> FloatPicture:
    """Square blocks of one colour."""
    return _blocks(picture, params["cells"])[0]


def toy_bricks(picture: FloatPicture, params: Params) -> FloatPicture:
    """Blocks with a lit stud and a shaded rim."""
    flat, x, y = _blocks(picture, params["cells"])
    radius = np.hypot(x, y)
    stud = (radius < 0.62) * (0.1 - 0.09 * (x + y))
    rim = -0.22 * (np.maximum(x, y) > 0.72)
    return as_float32((flat * 0.85 + 0.05) * (1 + stud + rim)[..., None] + 0.1 * stud[..., None])


def halftone(picture: FloatPicture, params: Params) -> FloatPicture:
    """Dots of ink on paper, larger where it is dark."""
    x, y = grid(*picture.shape[:2])
    turn, pitch = math.radians(params["angle"]), math.tau / params["pitch"]
    across, down = math.cos(turn) * x + math.sin(turn) * y, math.cos(turn) * y - math.sin(turn) * x
    screen = 0.5 + 0.2 * (np.cos(across * pitch) + np.cos(down * pitch))
    bare = ((gaussian_blur(luminance(picture), 0.01) - screen) * 5 + 0.5).clip(0, 1)
    return mix(unit_colour(params["ink"]), unit_colour(params["paper"]), as_float32(bare)[..., None])


def engraving(picture: FloatPicture, params: Params) -> FloatPicture:
    """Parallel lines of ink, thicker where it is dark."""
    x, y = grid(*picture.shape[:2])
    turn = math.radians(params["angle"])
    wave = 0.5 + 0.3 * np.sin((math.cos(turn) * x + math.sin(turn) * y) * (math.tau / params["pitch"]))
    bare = ((luminance(picture) - wave) * 4 + 0.5).clip(0, 1)
    return mix(unit_colour(params["ink"]), as_float32([0.97, 0.96, 0.92]), as_float32(bare)[..., None])


def oil_painting(picture: FloatPicture, params: Params) -> FloatPicture:
    """Kuwahara's filter: every pixel takes the mean of the calmest of four squares that touch it."""
    half = max(1, round(params["reach"] * short_side(picture) / 2))
    light = gray(picture)
    moments = box_blur(np.concatenate([picture, light, light * light], axis=2), 2 * half)
    spread = moments[..., 4] - moments[..., 3] ** 2
    best, calmest = moments[..., :3], np.full(spread.shape, np.inf, np.float32)
    for down, across in ((-half, -half), (-half, half), (half, -half), (half, half)):
        moved = _shifted(spread, down, across)
        better = moved < calmest
        best = np.where(better[..., None], _shifted(moments[..., :3], down, across), best)
        calmest = np.where(better, moved, calmest)
    return mix(gray(best), best, 1.25)


def _shifted(values: FloatPicture, down: int, across: int) -> FloatPicture:
    """values[y + down, x + across], the rim repeated."""
    rows = (np.arange(values.shape[0]) + down).clip(0, values.shape[0] - 1)
    columns = (np.arange(values.shape[1]) + across).clip(0, values.shape[1] - 1)
    return as_float32(values[rows][:, columns])


def cartoon(picture: FloatPicture, params: Params) -> FloatPicture:
    """Flat, strong colours and dark outlines."""
    smooth = oil_painting(picture, {"reach": 0.035})
    steps = params["levels"]
    light = gray(smooth)
    flat = smooth + (np.floor(light * steps) + 0.5) / steps - light
    outline = ((edges(luminance(smooth), 0.016) - 0.25) * 5).clip(0, 1)[..., None]
    return mix(mix(gray(flat), flat, params["saturation"]), as_float32([0.05, 0.05, 0.08]), outline)


def _neighbours(count: int, rows: int, columns: int) -> tuple[FloatPicture, FloatPicture]:
    """Jittered cell centres around a count x count lattice, one ring wider; fixed, so all glass is cut alike."""
    jitter = np.random.default_rng(count).uniform(0.15, 0.85, (2, rows + 2, columns + 2))
    down = np.arange(-1, rows + 1)[:, None] + jitter[0]
    across = np.arange(-1, columns + 1)[None, :] + jitter[1]
    return as_float32(down), as_float32(across)


def stained_glass(picture: FloatPicture, params: Params) -> FloatPicture:
    """Irregular panes of one colour in lead."""
    height, width = picture.shape[:2]
    pitch = short_side(picture) / params["cells"]
    rows, columns = math.ceil(height / pitch), math.ceil(width / pitch)
    centre_y, centre_x = _neighbours(params["cells"], rows, columns)
    y = as_float32((np.arange(height) + 0.5) / pitch)[:, None]
    x = as_float32((np.arange(width) + 0.5) / pitch)[None, :]
    nearest = np.full((height, width), np.inf, np.float32)
    second, pane = nearest.copy(), np.zeros((height, width), np.intp)
    for row in range(3):
        for column in range(3):
            cell = (y.astype(int) + row) * (columns + 2) + x.astype(int) + column
            distance = np.hypot(centre_y.ravel()[cell] - y, centre_x.ravel()[cell] - x)
            closer = distance < nearest
            second = np.where(closer, nearest, np.minimum(second, distance))
            nearest, pane = np.where(closer, distance, nearest), np.where(closer, cell, pane)
    lead = ((second - nearest) < params["lead"])[..., None]
    return as_float32(np.where(lead, 0.06, mix(as_float32([0.5] * 3), _pane_means(picture, pane), 1.2)))


def _pane_means(picture: FloatPicture, pane: NDArray[np.intp]) -> FloatPicture:
    counts = np.bincount(pane.ravel())
    sums = [np.bincount(pane.ravel(), picture[..., channel].ravel()) for channel in range(3)]
    means = np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None]
    return as_float32(means[pane])


def blueprint(picture: FloatPicture, params: Params) -> FloatPicture:
    """Pale outlines on a deep ground."""
    contours = (edges(gaussian_blur(luminance(picture), 0.008), 0.012) * params["gain"]).clip(0, 1)
    return mix(unit_colour(params["ground"]), as_float32([0.92, 0.95, 1.0]), contours[..., None])


def neon(picture: FloatPicture, params: Params) -> FloatPicture:
    """Glowing outlines in one colour over the darkened picture."""
    contours = (edges(gaussian_blur(luminance(picture), 0.008), 0.012) * params["gain"]).clip(0, 1)
    glow = np.maximum(contours, gaussian_blur(contours, 0.03) * 0.9)[..., None]
    return as_float32(picture * 0.25 + glow * unit_colour(params["colour"]))


def emboss(picture: FloatPicture, params: Params) -> FloatPicture:
    """A grey relief lit from one side."""
    light = gaussian_blur(luminance(picture), 0.006)
    step = max(1, round(0.014 * short_side(picture)))
    down, across = params["light"]
    slope = _shifted(light, down * step, across * step) - _shifted(light, -down * step, -across * step)
    return np.repeat((0.5 + slope * params["depth"])[..., None], 3, axis=2)


def soft_glow(picture: FloatPicture, params: Params) -> FloatPicture:
    """The picture screened with its own blur."""
    blurred = gaussian_blur(picture, params["sigma"])
    return mix(picture, 1 - (1 - picture) * (1 - blurred), params["strength"])


def scan_lines(picture: FloatPicture, params: Params) -> FloatPicture:
    """Dark lines across, as on an old tube."""
    _, y = grid(*picture.shape[:2])
    dark = (np.sin(y * (math.tau / params["pitch"])) > 0)[..., None]
    return as_float32(picture * np.where(dark, np.float32(1 - params["strength"]), np.float32(1.1)))


def colour_fringes(picture: FloatPicture, params: Params) -> FloatPicture:
    """Red moved one way, blue the other."""
    step = max(1, round(params["shift"] * short_side(picture))) * params["side"]
    red, blue = _shifted(picture[..., :1], 0, step), _shifted(picture[..., 2:], 0, -step)
    return np.concatenate([red, picture[..., 1:2], blue], axis=2)


def _palette(rng: np.random.Generator) -> list[list[int]]:
    """Four colours from deep to pale whose hues lie apart."""
    hue = rng.random()
    parts = [(0.0, 0.9, 0.3), (0.3, 0.9, 0.65), (0.6, 0.75, 0.95), (0.85, 0.35, 1.0)]
    return [list(colour((hue + turn,) * 2, (tone,) * 2, (value,) * 2)(rng)) for turn, tone, value in parts]


def _two_tones(rng: np.random.Generator) -> list[list[int]]:
    return [list(deep(rng)), list(pale(rng))]


def _three_tones(rng: np.random.Generator) -> list[list[int]]:
    return [list(deep(rng)), list(vivid(rng)), list(pale(rng))]


def _task(name: str, change: Change, **fields: Draw) -> Task:
    return pixel_task(name, "style", change, False, **fields)


INK = tint(deep)
PAPER = tint(colour(saturation=(0.0, 0.25), value=(0.9, 1)))
LIGHTS = choice([1, 1], [1, -1], [-1, 1], [-1, -1])

TASKS: tuple[Task, ...] = (
    _task("pencil drawing", pencil, sigma=span(0.03, 0.06), pressure=span(2.0, 4.0), ink=INK, paper=PAPER),
    _task("pop art", pop_art, colours=_palette),
    _task("pixel art", pixel_art, cells=whole(9, 16)),
    _task("toy bricks", toy_bricks, cells=whole(9, 14)),
    _task("duotone", gradient_map, colours=_two_tones),
    _task("false colours", gradient_map, colours=_three_tones),
    _task("halftone", halftone, angle=span(0, 90), pitch=span(0.07, 0.11), ink=INK, paper=PAPER),
    _task("engraving", engraving, angle=span(0, 180), pitch=span(0.06, 0.09), ink=INK),
    _task("oil painting", oil_painting, reach=span(0.045, 0.08)),
    _task("cartoon", cartoon, levels=whole(4, 6), saturation=span(1.3, 1.8)),
    _task("stained glass", stained_glass, cells=whole(7, 11), lead=span(0.1, 0.15)),
    _task("blueprint", blueprint, gain=span(2.0, 4.0), ground=tint(colour((0.55, 0.68), (0.7, 0.95), (0.3, 0.6)))),
    _task("neon outlines", neon, gain=span(2.0, 4.0), colour=tint(colour(saturation=(0.6, 1), value=(0.9, 1)))),
    _task("emboss", emboss, light=LIGHTS, depth=span(1.2, 2.2)),
    _task("soft glow", soft_glow, sigma=span(0.03, 0.06), strength=span(0.6, 0.95)),
    _task("scan lines", scan_lines, pitch=span(0.0625, 0.1), strength=span(0.5, 0.8)),
    _task("colour fringes", colour_fringes, shift=span(0.03, 0.07), side=choice(1, -1)),
)
