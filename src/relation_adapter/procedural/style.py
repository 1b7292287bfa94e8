"""Style tasks: the same picture in another technique."""

from __future__ import annotations

import numpy as np

from .craft import LIGHTS, along, cells, outlines, pane_means, panes, printed, ramp, shifted, slope, style_task, wave
from .draws import DEEP, Params, Rng, choice, colour, deep, pale, span, tint, vivid, whole
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
    unit_colour,
    wide,
)
from .task import Task


def pencil(picture: FloatPicture, params: Params) -> FloatPicture:
    """Dark strokes where the luma is below its surroundings, on paper."""
    light = luminance(picture)
    dodge = (light + 0.02) / (gaussian_blur(light, params["sigma"]) + 0.02)
    return printed(params["ink"], params["paper"], as_float32(wide(dodge.clip(0, 1)) ** params["pressure"]))


def pop_art(picture: FloatPicture, params: Params) -> FloatPicture:
    """Four flat colours in the order of the luma."""
    colours = params["colours"]
    light = gaussian_blur(luminance(picture), 0.012).clip(0, 0.999) * len(colours)
    palette = np.array(colours, np.float32) / 255
    return as_float32(palette[light.astype(np.intp)])


def gradient_map(picture: FloatPicture, params: Params) -> FloatPicture:
    """The luma painted in a passage of colours."""
    return ramp(luminance(picture), params["colours"])


def pixel_art(picture: FloatPicture, params: Params) -> FloatPicture:
    """Square blocks of one colour."""
    return cells(picture, params["cells"]).colour


def toy_bricks(picture: FloatPicture, params: Params) -> FloatPicture:
    """Blocks with a lit stud and a shaded rim."""
    brick = cells(picture, params["cells"])
    x, y = brick.x, brick.y
    stud = (x * x + y * y < 0.62**2) * (0.1 - 0.09 * (x + y))
    rim = -0.22 * (np.maximum(x, y) > 0.72)
    return as_float32((brick.colour * 0.85 + 0.05) * (1 + stud + rim)[..., None] + 0.1 * stud[..., None])


def halftone(picture: FloatPicture, params: Params) -> FloatPicture:
    """Dots of ink on paper, larger where it is dark."""
    shape, angle = picture.shape, params["angle"]
    screen = 0.1 + 0.4 * (wave(along(shape, angle), params["pitch"]) + wave(along(shape, angle + 90), params["pitch"]))
    bare = (gaussian_blur(luminance(picture), 0.01) - screen) * 5 + 0.5
    return printed(params["ink"], params["paper"], bare)


def engraving(picture: FloatPicture, params: Params) -> FloatPicture:
    """Parallel lines of ink, thicker where it is dark."""
    lines = 0.2 + 0.6 * wave(along(picture.shape, params["angle"]), params["pitch"])
    return printed(params["ink"], [247, 245, 235], (luminance(picture) - lines) * 4 + 0.5)


def oil_painting(picture: FloatPicture, params: Params) -> FloatPicture:
    """Kuwahara's filter: every pixel takes the mean of the calmest of four squares that touch it."""
    half = max(1, round(params["reach"] * short_side(picture) / 2))
    light = gray(picture)
    moments = box_blur(np.concatenate([picture, light, light * light], axis=2), 2 * half)
    spread = moments[..., 4] - moments[..., 3] ** 2
    best, calmest = moments[..., :3], np.full(spread.shape, np.inf, np.float32)
    for down, across in ((-half, -half), (-half, half), (half, -half), (half, half)):
        moved = shifted(spread, down, across)
        better = moved < calmest
        best = np.where(better[..., None], shifted(moments[..., :3], down, across), best)
        calmest = np.where(better, moved, calmest)
    return mix(gray(best), best, params["saturation"])


def cartoon(picture: FloatPicture, params: Params) -> FloatPicture:
    """Flat, strong colours and dark outlines."""
    smooth = oil_painting(picture, {"reach": 0.035, "saturation": 1.25})
    steps = params["levels"]
    light = gray(smooth)
    flat = smooth + (np.floor(light * steps) + 0.5) / steps - light
    outline = ((edges(luminance(smooth), 0.016) - 0.25) * 5).clip(0, 1)[..., None]
    return mix(mix(gray(flat), flat, params["saturation"]), as_float32([0.05, 0.05, 0.08]), outline)


def stained_glass(picture: FloatPicture, params: Params) -> FloatPicture:
    """Irregular panes of one colour in lead."""
    cut = panes(*picture.shape[:2], params["cells"], params["cells"])
    lead = (cut.edge < params["lead"])[..., None]
    return as_float32(np.where(lead, 0.06, mix(as_float32([0.5] * 3), pane_means(picture, cut.index), 1.2)))


def blueprint(picture: FloatPicture, params: Params) -> FloatPicture:
    """Pale outlines on a deep ground."""
    contours = outlines(picture, params["gain"])
    return mix(unit_colour(params["ground"]), as_float32([0.92, 0.95, 1.0]), contours[..., None])


def neon(picture: FloatPicture, params: Params) -> FloatPicture:
    """Glowing outlines in one colour over the darkened picture."""
    contours = outlines(picture, params["gain"])
    glow = np.maximum(contours, gaussian_blur(contours, 0.03) * 0.9)[..., None]
    return as_float32(picture * 0.25 + glow * unit_colour(params["colour"]))


def emboss(picture: FloatPicture, params: Params) -> FloatPicture:
    """A grey relief lit from one side."""
    rise = slope(gaussian_blur(luminance(picture), 0.006), params["light"])
    return np.repeat((0.5 + rise * params["depth"])[..., None], 3, axis=2)


def soft_glow(picture: FloatPicture, params: Params) -> FloatPicture:
    """The picture screened with its own blur."""
    blurred = gaussian_blur(picture, params["sigma"])
    return mix(picture, 1 - (1 - picture) * (1 - blurred), params["strength"])


def scan_lines(picture: FloatPicture, params: Params) -> FloatPicture:
    """Dark lines across, as on an old tube."""
    _, y = grid(*picture.shape[:2])
    dark = (wave(y, params["pitch"]) > 0.5)[..., None]
    return as_float32(picture * np.where(dark, np.float32(1 - params["strength"]), np.float32(1.1)))


def colour_fringes(picture: FloatPicture, params: Params) -> FloatPicture:
    """Red moved one way, blue the other."""
    step = max(1, round(params["shift"] * short_side(picture))) * params["side"]
    red, blue = shifted(picture[..., :1], 0, step), shifted(picture[..., 2:], 0, -step)
    return np.concatenate([red, picture[..., 1:2], blue], axis=2)


def _palette(rng: Rng) -> list[list[int]]:
    """Four colours from deep to pale whose hues lie apart."""
    hue = rng.random()
    parts = [(0.0, 0.9, 0.3), (0.3, 0.9, 0.65), (0.6, 0.75, 0.95), (0.85, 0.35, 1.0)]
    return [list(colour((hue + turn,) * 2, (tone,) * 2, (value,) * 2)(rng)) for turn, tone, value in parts]


def _two_tones(rng: Rng) -> list[list[int]]:
    return [list(deep(rng)), list(pale(rng))]


def _three_tones(rng: Rng) -> list[list[int]]:
    return [list(deep(rng)), list(vivid(rng)), list(pale(rng))]


PAPER = tint(colour(saturation=(0.0, 0.25), value=(0.9, 1)))

TASKS: tuple[Task, ...] = (
    style_task("pencil filter", pencil, sigma=span(0.03, 0.06), pressure=span(2.0, 4.0), ink=DEEP, paper=PAPER),
    style_task("pop art", pop_art, colours=_palette),
    style_task("pixel form", pixel_art, cells=whole(9, 16)),
    style_task("Lego form", toy_bricks, cells=whole(9, 14)),
    style_task("duotone", gradient_map, colours=_two_tones),
    style_task("false colours", gradient_map, colours=_three_tones),
    style_task("halftone", halftone, angle=span(0, 90), pitch=span(0.07, 0.11), ink=DEEP, paper=PAPER),
    style_task("engraving", engraving, angle=span(0, 180), pitch=span(0.06, 0.09), ink=DEEP),
    style_task("oil painting", oil_painting, reach=span(0.045, 0.075), saturation=span(1.0, 1.9)),
    style_task("cartoon", cartoon, levels=whole(4, 6), saturation=span(1.3, 1.8)),
    style_task("stained glass", stained_glass, cells=whole(7, 11), lead=span(0.1, 0.15)),
    style_task("blueprint", blueprint, gain=span(2.0, 4.0), ground=tint(colour((0.55, 0.68), (0.7, 0.95), (0.3, 0.6)))),
    style_task("neon outlines", neon, gain=span(2.0, 4.0), colour=tint(colour(saturation=(0.6, 1), value=(0.9, 1)))),
    style_task("emboss", emboss, light=LIGHTS, depth=span(1.2, 2.2)),
    style_task("soft glow", soft_glow, sigma=span(0.03, 0.06), strength=span(0.45, 0.95)),
    style_task("scan lines", scan_lines, pitch=span(0.0625, 0.1), strength=span(0.5, 0.8)),
    style_task("colour fringes", colour_fringes, shift=span(0.03, 0.07), side=choice(1, -1)),
)
