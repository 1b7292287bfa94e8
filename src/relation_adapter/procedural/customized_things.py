"""Customized tasks: the picture on a flat thing: a coin, a shirt, a record."""

from __future__ import annotations

import numpy as np

from .brush import Pen, ellipse_points
from .craft import slope
from .draws import DEEP, PALE, VIVID, Params, choice, colour, span, tint, whole
from .objects import heart_points
from .pixels import (
    FloatPicture,
    as_float32,
    box_distance,
    gaussian_blur,
    half_sides,
    luminance,
    mix,
    unit_colour,
)
from .printing import (
    METAL,
    SKY,
    circle,
    fill_inside,
    painted,
    placed,
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


def relief(picture: FloatPicture) -> FloatPicture:
    """The luma as a lit relief, (H, W), about 0.2 to 1.2."""
    light = gaussian_blur(luminance(picture), 0.008)
    return as_float32(0.45 + 0.4 * light + 1.3 * slope(light, (1, 1), 0.012))


def coin(picture: FloatPicture, params: Params) -> FloatPicture:
    """A relief in metal within a rim of beads."""
    x, y = places(picture)
    far, metal = radial(x, y), unit_colour(params["metal"])
    struck = as_float32(relief(placed(picture, (0.46, 0.46), x, y))[..., None] * metal)
    disc = fill_inside(plain(picture, params["ground"]), radial(x - 0.02, y - 0.025) - 0.47, [28, 26, 28])
    disc = fill_inside(disc, far - 0.47, params["metal"])
    disc = show(disc, struck, far - np.float32(0.385))

    def paint(pen: Pen) -> None:
        pen.ring(0, 0, 0.39, 0.39, 0.014, tone(params["metal"], 0.5))
        for number in range(params["beads"]):
            place = circle(0, 0, 0.43, number * 360 / params["beads"])
            pen.ellipse(*place, 0.018, 0.018, tone(params["metal"], 0.55))

    return painted(disc, paint)


def medal(picture: FloatPicture, params: Params) -> FloatPicture:
    """The picture in a metal ring under a ribbon of two colours."""
    x, y = places(picture)
    below = y - 0.14

    def paint(pen: Pen) -> None:
        for side in (-1, 1):
            band = [(side * 0.3, -0.5), (side * 0.1, -0.5), (-side * 0.06, -0.12), (side * 0.08, -0.1)]
            pen.polygon(band, tone(params["ribbon"]))
            pen.stroke([(side * 0.2, -0.5), (side * 0.01, -0.12)], 0.05, tone(params["stripe"]))

    hung = painted(plain(picture, params["ground"]), paint)
    ringed = fill_inside(hung, radial(x, below) - np.float32(0.345), params["metal"])
    ringed = fill_inside(ringed, radial(x, below) - np.float32(0.3), list(tone(params["metal"], 0.55)))
    return show(ringed, placed(picture, (0.285, 0.285), x, below), radial(x, below) - np.float32(0.285))


def keychain(picture: FloatPicture, params: Params) -> FloatPicture:
    """A tag on a metal ring: round, square or a heart."""
    x, y = places(picture)
    below, form = y - 0.14, params["form"]
    ground = plain(picture, params["ground"])

    def tag(radius: float) -> FloatPicture:
        if form == "round":
            return radial(x, below) - np.float32(radius)
        return box_distance(x, below, (radius, radius), 0.06)

    def paint(pen: Pen) -> None:
        pen.ring(0, -0.36, 0.12, 0.12, 0.03, tone(params["metal"]))
        pen.stroke([(0, -0.25), (0, -0.12)], 0.035, tone(params["metal"], 0.7))
        if form == "heart":
            pen.polygon(heart_points(0, 0.14, 0.37), tone(params["rim"]))

    hung = painted(ground, paint)
    shown = placed(picture, (0.3, 0.3), x, below)
    if form == "heart":
        mask = painted(
            as_float32(np.zeros_like(picture)), lambda pen: pen.polygon(heart_points(0, 0.14, 0.32), (255,) * 3)
        )
        return mix(hung, shown, mask)
    return show(fill_inside(hung, tag(0.33), params["rim"]), shown, tag(0.285))


def t_shirt(picture: FloatPicture, params: Params) -> FloatPicture:
    """The picture on the chest, round or square."""
    x, y = places(picture)
    half = [(0.1, -0.42), (0.24, -0.4), (0.47, -0.16), (0.34, -0.02), (0.26, -0.1), (0.27, 0.44)]

    def shirt(pen: Pen) -> None:
        pen.polygon([*half, *((-x, y) for x, y in half[::-1])], tone(params["cloth"]))
        pen.polygon(ellipse_points(0, -0.42, 0.1, 0.09, 0, 180), tone(params["cloth"], 0.6))
        for side in (-1, 1):
            pen.stroke([(side * 0.26, -0.1), (side * 0.22, -0.2)], 0.012, tone(params["cloth"], 0.7))

    worn = painted(plain(picture, params["ground"]), shirt)
    below, radius = y - 0.04, 0.2
    outline = (
        box_distance(x, below, (radius, radius), 0.02) if params["square"] else radial(x, below) - np.float32(radius)
    )
    return show(worn, placed(picture, (radius, radius), x, below), outline)


def vinyl_record(picture: FloatPicture, params: Params) -> FloatPicture:
    """The label of a record in its sleeve."""
    x, y = places(picture)
    far = radial(x, y)
    grooves = as_float32(0.08 + 0.05 * ((far * 40) % 1 > 0.5) + 0.12 * (np.abs(x - y) < 0.35 * np.abs(x + y) * 0.5))
    disc = np.repeat(grooves[..., None], 3, axis=2)
    record = show(plain(picture, params["sleeve"]), disc, far - np.float32(0.48))
    record = fill_inside(record, far - np.float32(0.295), params["rim"])
    record = show(record, placed(picture, (0.26, 0.26), x, y), far - np.float32(0.26))
    return fill_inside(record, far - np.float32(0.022), params["sleeve"])


def billboard(picture: FloatPicture, params: Params) -> FloatPicture:
    """A board with lamps on two posts under the sky."""
    x, y = places(picture)
    half_x, half_y = half_sides(picture)
    low = as_float32(((y + half_y) / (2 * half_y)).clip(0, 1))[..., None]
    sky = mix(plain(picture, params["sky"]), as_float32([0.95, 0.95, 0.92]), low)

    def posts(pen: Pen) -> None:
        pen.box(-half_x, 0.4, half_x, half_y, tone(params["ground"]))
        for side in (-0.25, 0.25):
            pen.box(side - 0.025, 0.1, side + 0.025, 0.46, (70, 66, 66))
        for lamp in (-0.3, 0.0, 0.3):
            pen.stroke([(lamp, -0.36), (lamp, -0.46)], 0.014, (70, 66, 66))
            pen.polygon([(lamp - 0.05, -0.42), (lamp, -0.47), (lamp + 0.05, -0.42)], (70, 66, 66))

    window = (0.42, 0.26)
    board = fill_inside(painted(sky, posts), box_distance(x, y + 0.1, (0.46, 0.3)), params["frame"])
    return show(board, placed(picture, window, x, y + 0.1), box_distance(x, y + 0.1, window))


def wrapped_gift(picture: FloatPicture, params: Params) -> FloatPicture:
    """The picture repeated on wrapping paper, a ribbon and a bow around the box."""
    x, y = places(picture)
    half, below, tiles = (0.4, 0.33), y - 0.12, params["tiles"]
    small = shrunk(picture, (0.4 / tiles, 0.33 / tiles))
    u, v = as_float32((x / 0.8 + 0.5) * tiles % 1), as_float32((below / 0.66 + 0.5) * tiles % 1)
    box = show(plain(picture, params["table"]), sample(small, u, v), box_distance(x, below, half, 0.01))

    def bow(pen: Pen) -> None:
        ribbon, across = tone(params["ribbon"]), params["across"]
        pen.box(-0.4, 0.06, 0.4, 0.14, ribbon)
        pen.box(across - 0.04, -0.21, across + 0.04, 0.45, ribbon)
        knot = pen.local(across, -0.24, 1)
        for side in (-1, 1):
            knot.polygon([(0, 0), (side * 0.22, -0.14), (side * 0.25, 0.03)], ribbon)
            knot.polygon(
                [(side * 0.06, -0.01), (side * 0.18, -0.09), (side * 0.19, 0.005)], tone(params["ribbon"], 0.6)
            )
            knot.polygon([(0, 0), (side * 0.07, 0.13), (side * 0.14, 0.11)], tone(params["ribbon"], 0.8))
        knot.ellipse(0, 0, 0.045, 0.045, tone(params["ribbon"], 0.75))

    return painted(box, bow)


GRASS = tint(colour((0.08, 0.4), (0.3, 0.8), (0.25, 0.6)))

TASKS: tuple[Task, ...] = (
    print_task("coin", coin, metal=METAL, ground=DEEP, beads=whole(24, 44)),
    print_task("medal", medal, metal=METAL, ribbon=VIVID, stripe=VIVID, ground=PALE),
    print_task("keychain", keychain, form=choice("round", "square", "heart"), rim=VIVID, metal=METAL, ground=PALE),
    print_task("T-shirt print", t_shirt, cloth=VIVID, ground=PALE, square=choice(True, False)),
    print_task("vinyl record", vinyl_record, rim=VIVID, sleeve=PALE),
    print_task("billboard", billboard, frame=VIVID, sky=SKY, ground=GRASS),
    print_task("wrapped gift", wrapped_gift, ribbon=VIVID, tiles=whole(2, 3), across=span(-0.22, 0.22), table=PALE),
)
