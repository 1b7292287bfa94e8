"""Customized tasks: the picture in a frame, a print or a globe; the picture itself stays where it is."""

from __future__ import annotations

import numpy as np

from .draws import DEEP, PALE, VIVID, Params, Rng, colour, span, whole
from .pixels import FloatPicture, as_float32, box_distance, half_sides, mix, resize, unit_colour
from .printing import PAPER, fill_inside, fill_outside, places, print_task, radial
from .task import Task


def photo_frame(picture: FloatPicture, params: Params) -> FloatPicture:
    """A moulding around a pale mat; its upper left sides are lit."""
    x, y = places(picture)
    half_x, half_y = half_sides(picture)
    width, inner = params["width"], params["width"] + params["mat"]
    matted = fill_outside(picture, box_distance(x, y, (half_x - inner, half_y - inner)), params["paper"])
    framed = fill_outside(matted, box_distance(x, y, (half_x - width, half_y - width)), params["colour"])
    rim = box_distance(x, y, (half_x - width, half_y - width)) > 0
    lit = (half_x + x < half_y + y) & (half_x + x < half_y - y) | (half_y + y < half_x - np.abs(x))
    return as_float32(framed * np.where(rim & ~lit, 0.7, 1.0)[..., None])


def instant_print(picture: FloatPicture, params: Params) -> FloatPicture:
    """An instant print: a border, wide at the foot."""
    x, y = places(picture)
    half_x, half_y = half_sides(picture)
    width, foot = params["width"], params["foot"]
    window = half_x - width, half_y - (width + foot) / 2
    return fill_outside(picture, box_distance(x, y + (foot - width) / 2, window), params["colour"])


def rounded_border(picture: FloatPicture, params: Params) -> FloatPicture:
    """A plain border with round inner corners."""
    x, y = places(picture)
    half_x, half_y = (half - params["width"] for half in half_sides(picture))
    return fill_outside(picture, box_distance(x, y, (half_x, half_y), params["radius"]), params["colour"])


def trading_card(picture: FloatPicture, params: Params) -> FloatPicture:
    """A coloured border, a panel with lines of writing at the foot, a jewel in the corner."""
    x, y = places(picture)
    half_x, half_y = half_sides(picture)
    panel = box_distance(x, y - half_y + 0.19, (half_x - 0.1, 0.1), 0.03)
    card = fill_inside(picture, panel, params["paper"])
    for row, length in ((0.24, 0.75), (0.19, 0.9), (0.14, 0.6)):
        reach = (half_x - 0.15) * length
        line = box_distance(x + half_x - 0.15 - reach, y - half_y + row, (reach, 0.012))
        card = fill_inside(card, line, [60, 60, 66])
    card = fill_outside(card, box_distance(x, y, (half_x - 0.06, half_y - 0.06), 0.06), params["colour"])
    jewel = radial(x - half_x + 0.13, y + half_y - 0.13) - np.float32(0.08)
    return fill_inside(fill_inside(card, jewel - 0.025, params["colour"]), jewel, params["jewel"])


def oval_portrait(picture: FloatPicture, params: Params) -> FloatPicture:
    """An oval window with a soft rim in a flat ground."""
    x, y = places(picture)
    half_x, half_y = half_sides(picture)
    reach = radial(x / (half_x * params["wide"]), y / (half_y * params["high"]))
    shown = ((1 - reach) / params["softness"] + 0.5).clip(0, 1)
    return mix(unit_colour(params["colour"]), picture, as_float32(shown)[..., None])


def round_badge(picture: FloatPicture, params: Params) -> FloatPicture:
    """A disc with a rim on a flat ground."""
    x, y = places(picture)
    reach = radial(x, y)
    rimmed = fill_outside(picture, reach - np.float32(params["radius"]), params["rim"])
    return fill_outside(rimmed, reach - np.float32(params["radius"] + params["width"]), params["ground"])


def film_strip(picture: FloatPicture, params: Params) -> FloatPicture:
    """Black bands with pale holes above and below."""
    x, y = places(picture)
    half_x, half_y = half_sides(picture)
    band = params["band"]
    strip = fill_outside(picture, box_distance(x, y, (half_x + 1, half_y - band)), [18, 18, 20])
    pitch = params["pitch"]
    across = (x + pitch / 2) % pitch - pitch / 2
    hole = box_distance(across, np.abs(y) - half_y + band / 2, (pitch * 0.28, band * 0.28), band * 0.1)
    return fill_inside(strip, hole, params["colour"])


def postage_stamp(picture: FloatPicture, params: Params) -> FloatPicture:
    """A pale border with round bites along its edge, on a flat ground."""
    x, y = places(picture)
    half_x, half_y = half_sides(picture)
    margin, pitch = 0.04, params["pitch"]
    window = half_x - margin - params["width"], half_y - margin - params["width"]
    stamp = fill_outside(picture, box_distance(x, y, window), params["paper"])
    stamp = fill_outside(stamp, box_distance(x, y, (half_x - margin, half_y - margin)), params["ground"])
    round_x, round_y = (as_float32(np.abs((place + pitch / 2) % pitch - pitch / 2)) for place in (x, y))
    on_sides = radial(as_float32(np.abs(x) - half_x + margin), round_y)
    on_ends = radial(round_x, as_float32(np.abs(y) - half_y + margin))
    return fill_inside(stamp, as_float32(np.minimum(on_sides, on_ends) - pitch * 0.3), params["ground"])


def snow_globe(picture: FloatPicture, params: Params) -> FloatPicture:
    """A glass ball with flakes over a foot, on a flat ground."""
    x, y = places(picture)
    lifted, radius = y + 0.06, np.float32(0.4)
    flakes = np.random.default_rng(params["flakes"]).uniform(-0.36, 0.36, (params["flakes"], 2)).tolist()
    nearest = np.minimum.reduce([radial(x - left, lifted - top) for left, top in flakes])
    globe = fill_inside(picture, nearest - np.float32(0.018), [250, 250, 252])
    reach = radial(x, lifted)
    rim = np.square(np.square(np.square((reach / radius).clip(0, 1))))
    globe = mix(globe, as_float32([0.9, 0.95, 1.0]), 0.55 * rim[..., None])
    globe = fill_outside(globe, reach - radius, params["ground"])
    foot = box_distance(x, y - 0.41, (0.22, 0.09), 0.03)
    return fill_inside(globe, foot, params["foot"])


def four_prints(picture: FloatPicture, params: Params) -> FloatPicture:
    """Four small prints of the picture, each under its own colour."""
    height, width = picture.shape[:2]
    small = resize(picture, -(-height // 2), -(-width // 2))
    sheet = np.concatenate([np.concatenate([small, small], axis=1)] * 2, axis=0)[:height, :width]
    top, left = (np.arange(side) * 2 < side for side in (height, width))
    tints = as_float32(params["colours"]) / 255
    quarter = 2 * (~top[:, None]) + (~left[None, :])
    return as_float32(sheet * (0.25 + 0.85 * tints[quarter]))


def _four_tints(rng: Rng) -> list[list[int]]:
    start = rng.random()
    return [list(colour((start + turn / 4,) * 2, (0.7,) * 2, (1.0,) * 2)(rng)) for turn in range(4)]


SOFT = span(0.05, 0.4)

TASKS: tuple[Task, ...] = (
    print_task("photo frame", photo_frame, width=span(0.06, 0.1), mat=span(0.0, 0.07), colour=VIVID, paper=PAPER),
    print_task("instant print", instant_print, width=span(0.05, 0.08), foot=span(0.18, 0.25), colour=PALE),
    print_task("rounded border", rounded_border, width=span(0.05, 0.1), radius=span(0.1, 0.25), colour=VIVID),
    print_task("trading card", trading_card, colour=VIVID, paper=PALE, jewel=VIVID),
    print_task("oval portrait", oval_portrait, wide=span(0.65, 0.85), high=span(0.8, 0.95), softness=SOFT, colour=PALE),
    print_task("round badge", round_badge, radius=span(0.34, 0.4), width=span(0.04, 0.07), rim=VIVID, ground=PALE),
    print_task("film strip", film_strip, band=span(0.13, 0.18), pitch=span(0.11, 0.16), colour=PALE),
    print_task("postage stamp", postage_stamp, width=span(0.06, 0.1), pitch=span(0.1, 0.14), paper=PAPER, ground=DEEP),
    print_task("snow globe", snow_globe, flakes=whole(10, 20), foot=VIVID, ground=PALE),
    print_task("four prints", four_prints, colours=_four_tints),
)
