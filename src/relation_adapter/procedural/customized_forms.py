"""Customized tasks: the picture on or as a thing with a form of its own."""

from __future__ import annotations

import math

import numpy as np

from .brush import Pen, Point
from .draws import DEEP, PALE, SIDE, VIVID, Params, span, whole
from .pixels import FloatPicture, as_float32, box_distance, half_sides, mix, unit_colour, wide
from .printing import (
    SKY,
    bent,
    circle,
    fill_inside,
    painted,
    places,
    plain,
    print_task,
    radial,
    sample,
    show,
    shrunk,
    tone,
)
from .task import Task


def balloon(picture: FloatPicture, params: Params) -> FloatPicture:
    """The picture blown up on a balloon with a knot, a string and a gleam."""
    x, y = places(picture)
    rx, ry, lift = 0.37, 0.41, y + 0.06
    far = radial(x / rx, lift / ry)
    swell = as_float32(np.arcsin(wide(far.clip(0, 1))) / (math.pi / 2) / np.maximum(wide(far), 1e-3))
    shown = bent(picture, (rx, ry), x * swell, lift * swell)
    rubber = mix(shown, unit_colour(params["rubber"]), 0.25 + 0.55 * np.square(np.square(far.clip(0, 1)))[..., None])

    def string(pen: Pen) -> None:
        pen.stroke([(0, 0.38), (0.03, 0.43), (-0.02, 0.47), (0.02, 0.52)], 0.012, (70, 66, 70))
        pen.polygon([(0, 0.33), (0.045, 0.4), (-0.045, 0.4)], tone(params["rubber"], 0.8))

    flying = show(painted(plain(picture, params["sky"]), string), rubber, as_float32((far - 1) * min(rx, ry)))
    return painted(flying, lambda pen: pen.ellipse(-0.17, -0.27, 0.045, 0.07, (250, 250, 250)))


def mug_print(picture: FloatPicture, params: Params) -> FloatPicture:
    """The picture around a mug, its handle on one side."""
    x, y = places(picture)
    side, radius = params["side"], 0.3
    across = x + 0.06 * side
    bend = 0.05 * np.sqrt(np.maximum(1 - np.square(across / radius), 0))

    def body(pen: Pen) -> None:
        pen = pen.local(-0.06 * side, 0, 1)
        pen.ring(side * radius, 0.04, 0.15, 0.19, 0.06, tone(params["glaze"], 0.85))
        pen.ellipse(0, 0.4, radius, 0.055, tone(params["glaze"], 0.9))
        pen.box(-radius, -0.38, radius, 0.4, tone(params["glaze"]))
        pen.ellipse(0, -0.38, radius, 0.06, tone(params["glaze"], 0.9))
        pen.ellipse(0, -0.375, radius * 0.88, 0.042, tone(params["glaze"], 0.4))

    mug = painted(plain(picture, params["table"]), body)
    turn = as_float32(np.arcsin(wide((across / radius).clip(-1, 1))) / math.pi * 2)
    below = as_float32(y - 0.02 - bend)
    shade = as_float32(0.62 + 0.38 * np.sqrt(np.maximum(1 - np.square(across / radius), 0)))[..., None]
    window = (radius, 0.27)
    shown = bent(picture, window, turn * np.float32(radius), below) * shade
    return show(mug, as_float32(shown), box_distance(across, below, window))


def cushion(picture: FloatPicture, params: Params) -> FloatPicture:
    """A stuffed cushion with piping and tassels."""
    x, y = places(picture)
    puff, half = np.float32(params["puff"]), np.float32(0.4)
    across = half * (1 - puff * (1 - np.square(y / half)))
    down = half * (1 - puff * (1 - np.square(x / half)))
    u = as_float32(x / np.maximum(as_float32(across), 0.1))
    v = as_float32(y / np.maximum(as_float32(down), 0.1))
    edge = as_float32(np.maximum(np.abs(u), np.abs(v)))
    shade = as_float32(1.1 - 0.55 * np.square(edge.clip(0, 1)) + 0.12 * -(u + v))[..., None]

    def tassels(pen: Pen) -> None:
        for side in (-1, 1):
            for end in (-1, 1):
                for spread in (-0.04, 0.0, 0.04):
                    tip = side * (0.47 + spread * 0.4), end * (0.47 - spread * 0.4)
                    pen.stroke([(side * 0.39, end * 0.39), tip], 0.016, tone(params["piping"], 0.8))

    seat = painted(plain(picture, params["seat"]), tassels)
    seat = fill_inside(seat, as_float32((edge - 1.05) * 0.36), params["piping"])
    shown = bent(picture, (0.4, 0.4), as_float32(u * 0.4), as_float32(v * 0.4))
    return show(seat, as_float32(shown * shade), as_float32((edge - 0.97) * 0.36))


def flag(picture: FloatPicture, params: Params) -> FloatPicture:
    """A flag that waves on a pole."""
    x, y = places(picture)
    along = (x + 0.36) / 0.82
    phase = wide(along) * params["waves"] * math.tau
    drop = as_float32(np.sin(phase)) * as_float32(0.05 * (0.3 + along))
    shade = as_float32(1 + 0.28 * np.cos(phase))[..., None]
    half = (0.41, 0.27)
    left, top = as_float32(x - 0.05), as_float32(y + 0.12 - drop)

    def pole(pen: Pen) -> None:
        pen.box(-0.4, -0.46, -0.36, 0.6, tone(params["pole"]))
        pen.ellipse(-0.38, -0.46, 0.035, 0.035, tone(params["pole"], 0.7))

    cloth = as_float32(bent(picture, half, left, top) * shade)
    return painted(show(plain(picture, params["sky"]), cloth, box_distance(left, top, half)), pole)


def jigsaw_puzzle(picture: FloatPicture, params: Params) -> FloatPicture:
    """Cut into pieces with knobs; one of them is missing."""
    half_x, half_y = half_sides(picture)
    count = params["pieces"]
    knobs = np.random.default_rng(count).integers(0, 2, (2, count + 1, count + 1)) * 2 - 1

    def cut(a: Point, b: Point, knob: int) -> list[Point]:
        """From a to b with a knob to the left or the right of the way; the rim is straight."""
        (ax, ay), (bx, by) = a, b
        shape = [
            (0.0, 0.0),
            (0.36, 0.0),
            *(circle(0.5, 0.16 * knob, 0.14, knob * turn) for turn in KNOB),
            (0.64, 0.0),
            (1.0, 0.0),
        ]
        return [(ax + (bx - ax) * s - (by - ay) * t, ay + (by - ay) * s + (bx - ax) * t) for s, t in shape]

    def corner(row: int, column: int) -> Point:
        return half_x * (2 * column / count - 1), half_y * (2 * row / count - 1)

    def side(row: int, column: int, down: bool) -> list[Point]:
        end = corner(row + down, column + (not down))
        inside = 0 < column < count if down else 0 < row < count
        if not inside:
            return [corner(row, column), end]
        return cut(corner(row, column), end, int(knobs[int(down), row, column]))

    def paint(pen: Pen) -> None:
        row, column = params["row"] % count, params["column"] % count
        outline = side(row, column, False) + side(row, column + 1, True)
        outline += side(row + 1, column, False)[::-1] + side(row, column, True)[::-1]
        pen.polygon(outline, tone(params["table"]))
        for down in (False, True):
            for row in range(count + (not down)):
                for column in range(count + down):
                    pen.stroke(side(row, column, down), 0.012, (30, 26, 26))

    return painted(picture, paint)


def cube(picture: FloatPicture, params: Params) -> FloatPicture:
    """The picture on the three sides of a cube that can be seen."""
    x, y = places(picture)
    turn = params["turn"]
    right = (0.78 * (1 - turn), -0.34 * turn)  # from the near upper corner along the right upper edge
    left = (-0.78 * turn, -0.34 * (1 - turn))
    near = (0.78 * turn - 0.39, -0.02 + 0.06)
    down = (0.0, 0.42)
    shown = plain(picture, params["ground"])
    far = (near[0] + left[0], near[1] + left[1])
    for origin, along, below, light in (
        (far, (-left[0], -left[1]), down, 0.62),
        (near, right, down, 0.85),
        (far, right, (-left[0], -left[1]), 1.1),
    ):
        area = along[0] * below[1] - along[1] * below[0]
        px, py = x - np.float32(origin[0]), y - np.float32(origin[1])
        u = as_float32((px * below[1] - py * below[0]) / area)
        v = as_float32((py * along[0] - px * along[1]) / area)
        edge = as_float32((np.maximum(np.abs(u - 0.5), np.abs(v - 0.5)) - 0.5) * 0.4)
        size = math.hypot(*along) / 2, math.hypot(*below) / 2
        shown = show(shown, as_float32(sample(shrunk(picture, size), u, v) * light), edge)

    def edges(pen: Pen) -> None:
        for way in (left, right, down):
            pen.stroke([near, (near[0] + way[0], near[1] + way[1])], 0.012, (250, 248, 240))

    return painted(shown, edges)


KNOB = (220, 190, 160, 130, 100, 80, 50, 20, -10, -40)  # degrees on the way around a knob

TASKS: tuple[Task, ...] = (
    print_task("balloon form", balloon, rubber=VIVID, sky=SKY),
    print_task("mug print", mug_print, glaze=VIVID, table=PALE, side=SIDE),
    print_task("cushion", cushion, puff=span(0.08, 0.2), piping=VIVID, seat=DEEP),
    print_task("flag", flag, waves=span(0.8, 1.6), pole=DEEP, sky=SKY),
    print_task(
        "jigsaw puzzle",
        jigsaw_puzzle,
        pieces=whole(3, 5),
        row=whole(0, 59),
        column=whole(0, 59),
        table=VIVID,
        seen=False,
    ),
    print_task("cube", cube, turn=span(0.3, 0.7), ground=PALE, seen=False),
)
