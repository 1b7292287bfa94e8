"""Style tasks: the picture printed, stencilled, typed."""

from __future__ import annotations

import numpy as np

from .craft import (
    along,
    cells,
    field,
    glyphs,
    inwards,
    outlines,
    printed,
    ramp,
    shifted,
    soft_step,
    streaks,
    style_task,
    teeth,
    tones,
    wave,
)
from .draws import DEEP, PALE, VIVID, Params, Rng, choice, colour, span, tint, whole
from .pixels import (
    FloatPicture,
    as_float32,
    gaussian_blur,
    mix,
    resize,
    short_side,
    unit_colour,
)
from .task import Task


def woodcut(picture: FloatPicture, params: Params) -> FloatPicture:
    """A block of wood: black masses, carved lines that swell and bend with the light, a trace of the grain."""
    light = tones(picture, 0.014)
    bent = along(picture.shape, params["angle"]) + 0.09 * gaussian_blur(light, 0.05)
    carved = teeth(bent + 0.012 * field(picture.shape, 0.08, 41), params["pitch"])
    bare = soft_step(light * 1.25 - 0.16 - carved * 0.85, 7)
    bare = bare * (1 - outlines(picture, 2.0)) * soft_step(light - 0.16, 20)
    grain = soft_step(streaks(picture.shape, 90, 0.016, 0.5, 42) - 0.85, 8)
    return printed(params["ink"], params["paper"], as_float32(np.maximum(bare, 0.5 * grain)))


def colour_halftone(picture: FloatPicture, params: Params) -> FloatPicture:
    """Dots of cyan, magenta and yellow on three turned screens."""
    smooth = gaussian_blur(picture, 0.01)
    inks = []
    for channel, turn in enumerate((15, 75, 0)):
        angle = params["angle"] + turn
        first, second = (wave(along(picture.shape, angle + side), params["pitch"]) for side in (0, 90))
        inks.append(soft_step(smooth[..., channel] - 0.1 - 0.4 * (first + second), 5))
    return as_float32(np.stack(inks, axis=2) * unit_colour(params["paper"]))


def risograph(picture: FloatPicture, params: Params) -> FloatPicture:
    """Two grainy inks that do not quite meet."""
    light = tones(picture)
    warm = gaussian_blur((picture[..., 0] - picture[..., 2]) * 0.5 + 0.5, 0.008)
    step = max(1, round(params["shift"] * short_side(picture))) * params["side"]
    grain = (field(picture.shape, 0.009, 43) - 0.5) * 0.7
    first = soft_step(0.55 - light + grain, 2.5)
    second = soft_step(0.35 + 0.9 * (warm - 0.5) - 0.4 * (light - 0.5) + grain, 2.5)
    paper = as_float32([0.97, 0.96, 0.93])
    sheet = paper * mix(as_float32([1.0] * 3), unit_colour(params["second"]), shifted(second, step, step)[..., None])
    return as_float32(sheet * mix(as_float32([1.0] * 3), unit_colour(params["first"]), first[..., None]))


BAYER = as_float32([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16 + 1 / 32


def dithering(picture: FloatPicture, params: Params) -> FloatPicture:
    """Two colours in the checks of an old screen."""
    dot = cells(picture, params["cells"])
    light = tones(dot.colour, 0.0)
    return printed(params["dark"], params["light"], as_float32(light > BAYER[dot.row % 4, dot.column % 4]))


def cyanotype(picture: FloatPicture, params: Params) -> FloatPicture:
    """A blue print on paper that was coated with a wide brush."""
    turn = 0 if params["across"] else 90
    inside = inwards(picture) - params["border"]
    ragged = (streaks(picture.shape, turn, 0.02, 0.3, 44) - 0.5) * 0.12
    coat = soft_step(inside + ragged, 40)
    blue = tones(picture) * (0.9 + 0.2 * streaks(picture.shape, turn, 0.03, 0.7, 45)) * 0.9
    return printed(params["blue"], [240, 240, 228], as_float32(1 - coat * (1 - blue)))


def stencil_graffiti(picture: FloatPicture, params: Params) -> FloatPicture:
    """Spray paint through two stencils on a wall of bricks."""
    wall = cells(picture, params["bricks"] / 2.2, 0.45)
    place = along(picture.shape, 0) * (params["bricks"] / 2.2) + 0.5 * (wall.row % 2)
    mortar = (np.abs(place - np.floor(place) - 0.5) > 0.46) | (np.abs(wall.y) > 0.84)
    tone = 0.8 + 0.3 * field(picture.shape, 0.05, 46) + 0.1 * field(picture.shape, 0.012, 47)
    bricks = mix(unit_colour(params["wall"]), as_float32([0.78, 0.76, 0.72]), mortar[..., None]) * tone[..., None]
    light = gaussian_blur(tones(picture, 0.015), 0.012)
    mist = (field(picture.shape, 0.009, 48) - 0.5) * 0.12
    pale_paint, dark_paint = soft_step(light - 0.66 + mist, 12), soft_step(0.3 - light + mist, 12)
    sprayed = mix(bricks, unit_colour(params["paint"]), 0.9 * pale_paint[..., None])
    return mix(sprayed, as_float32([0.06, 0.06, 0.07]), 0.92 * dark_paint[..., None])


LETTERS = " .:-+=*%#@"


def typewriter_art(picture: FloatPicture, params: Params) -> FloatPicture:
    """Letters in rows, fuller ones where there is more ink; at twice the size, for legible letters when small."""
    height, width = picture.shape[:2]
    double = resize(picture, 2 * height, 2 * width)
    place = cells(double, params["letters"], 9 / 7)
    light = tones(place.colour, 0.0)
    ink = light if params["glowing"] else 1 - light
    which = (ink * (len(LETTERS) - 0.01)).astype(np.intp)
    row, column = ((place.y / 2 + 0.5) * 9).astype(np.intp), ((place.x / 2 + 0.5) * 7).astype(np.intp)
    typed = resize(glyphs(LETTERS)[which, row.clip(0, 8), column.clip(0, 6)], height, width)
    dark, bright = params["dark"], params["bright"]
    return printed(dark, bright, typed) if params["glowing"] else printed(dark, bright, 1 - typed)


def painted_tiles(picture: FloatPicture, params: Params) -> FloatPicture:
    """Glazed tiles painted in one colour, with joints and a gloss."""
    tile = cells(picture, params["tiles"])
    glaze = ramp(tones(picture, 0.012), [params["deep"], params["middle"], [244, 246, 248]])
    rim = np.maximum(np.abs(tile.x), np.abs(tile.y))
    gloss = 0.2 * (1 - np.abs(tile.x + tile.y + 0.7) * 2.2).clip(0, 1) + 0.08 * (tile.chance(49) - 0.5)
    joint = soft_step(rim - 0.93, 12)
    return mix(
        glaze * (1 - 0.25 * (rim > 0.85))[..., None] + gloss[..., None], unit_colour(params["joint"]), joint[..., None]
    )


def _inks(rng: Rng) -> list[int]:
    return list(colour(saturation=(0.6, 1), value=(0.7, 1))(rng))


PAPER = tint(colour(saturation=(0.0, 0.2), value=(0.92, 1)))
BLUE = tint(colour((0.56, 0.66), (0.75, 1), (0.25, 0.55)))
WALLS = choice([160, 82, 66], [185, 140, 105], [120, 118, 120], [205, 195, 180])

TASKS: tuple[Task, ...] = (
    style_task("woodcut", woodcut, angle=span(0, 180), pitch=span(0.055, 0.085), ink=DEEP, paper=PAPER),
    style_task("colour halftone", colour_halftone, angle=span(0, 90), pitch=span(0.05, 0.08), paper=PAPER),
    style_task(
        "risograph", risograph, shift=span(0.012, 0.035), side=choice(1, -1), first=tint(colour(value=(0.2, 0.5))),
        second=_inks,
    ),
    style_task("dithering", dithering, cells=whole(42, 64), dark=DEEP, light=PALE),
    style_task("cyanotype", cyanotype, border=span(0.06, 0.11), across=choice(True, False), blue=BLUE),
    style_task("stencil graffiti", stencil_graffiti, bricks=whole(8, 13), wall=WALLS, paint=VIVID),
    style_task(
        "typewriter art", typewriter_art, False, letters=whole(12, 18), glowing=choice(True, False), dark=DEEP,
        bright=PALE,
    ),
    style_task(
        "painted tiles", painted_tiles, tiles=whole(3, 5), deep=tint(colour(saturation=(0.7, 1), value=(0.3, 0.5))),
        middle=tint(colour(saturation=(0.3, 0.6), value=(0.6, 0.9))),
        joint=tint(colour(saturation=(0, 0.3), value=(0.3, 0.8))),
    ),
)  # fmt: skip
