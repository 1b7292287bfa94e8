"""Style tasks: the picture painted, or cut from paper."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from .brush import OVERSAMPLING
from .craft import LIGHTS, dots, field, inwards, panes, ramp, shifted, soft_step, style_task, tones
from .draws import DEEP, PALE, Params, Rng, choice, colour, span, tint, whole
from .pixels import (
    FloatPicture,
    as_float32,
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
from .style import oil_painting
from .task import Task

Flow = tuple[FloatPicture, FloatPicture]  # across and down of every pixel, (H, W) each


def watercolour(picture: FloatPicture, params: Params) -> FloatPicture:
    """Transparent washes with dark rims, pigment in the paper's pits, a ragged white border."""
    smooth = oil_painting(picture, {"reach": 0.045, "saturation": 1.25})
    flow = (field(picture.shape, 0.2, 21) - 0.5) * 0.5 + (field(picture.shape, 0.03, 22) - 0.5) * 0.25
    light = gaussian_blur(luminance(smooth), 0.008)
    rim = (np.abs(light - gaussian_blur(light, 0.03)) * 3).clip(0, 0.5)
    pigment = (1 - smooth) * (params["load"] + flow + rim)[..., None]
    inside = inwards(picture) - params["border"]
    wet = soft_step(inside + (field(picture.shape, 0.08, 23) - 0.5) * 0.08, 50)
    return as_float32(unit_colour(params["paper"]) * (1 - (pigment * wet[..., None]).clip(0, 0.88)))


def pointillism(picture: FloatPicture, params: Params) -> FloatPicture:
    """Round touches of pure colour on a primed ground."""
    pure = mix(gray(picture), picture, 1.5)
    painted = np.broadcast_to(unit_colour(params["ground"]), picture.shape)
    flat = pure.reshape(-1, 3)
    for layer in (24, 25, 26):
        dot = dots(picture.shape, params["pitch"], layer)
        touch = flat.take(dot.centre, 0) + (dot.rank - 0.5)[..., None] * as_float32([0.4, -0.15, -0.35])
        inside = soft_step(0.4 - dot.distance, params["pitch"] * short_side(picture))
        painted = mix(painted, as_float32(touch), inside[..., None])
    return as_float32(painted)


def paint_strokes(
    picture: FloatPicture, canvas: Image.Image, flow: Flow, pitch: float, length: float, spread: float
) -> None:
    """Short strokes all over, one a pitch apart, in the picture's colours along the flow."""
    height, width = picture.shape[:2]
    unit = max(pitch * short_side(picture), 1.0)
    rng = np.random.default_rng(round(1e4 * pitch))
    places = np.stack(np.meshgrid(np.arange(0, width, unit), np.arange(0, height, unit)), axis=-1).reshape(-1, 2)
    places = rng.permutation(places) + rng.uniform(0, unit, places.shape)
    colours = to_bytes(picture[_pixel(places[:, 1], height), _pixel(places[:, 0], width)])
    colours = (colours + rng.normal(0, 255 * spread, (len(places), 1))).clip(0, 255).astype(np.uint8)
    steps, reach = 4, length * short_side(picture) / 4
    path = [places]
    for _ in range(steps):
        at = _pixel(path[-1][:, 1], height), _pixel(path[-1][:, 0], width)
        path.append(path[-1] + reach * np.stack([flow[0][at], flow[1][at]], axis=1))
    lines = (np.concatenate(path, axis=1) * OVERSAMPLING).tolist()
    pen, thick = ImageDraw.Draw(canvas), max(1, round(unit * 0.9 * OVERSAMPLING))
    for line, tone in zip(lines, colours.tolist(), strict=True):
        pen.line(line, fill=tuple(tone), width=thick)


def _pixel(place: FloatPicture, side: int) -> FloatPicture:
    return place.clip(0, side - 1).astype(np.intp)


def _canvas(picture: FloatPicture) -> Image.Image:
    image = Image.fromarray(to_bytes(picture))
    return image.resize((image.width * OVERSAMPLING, image.height * OVERSAMPLING))


def impressionism(picture: FloatPicture, params: Params) -> FloatPicture:
    """Broken brush strokes that slant one way, smaller ones on top."""
    smooth = gaussian_blur(mix(gray(picture), picture, 1.3), 0.012)
    turn = math.radians(params["angle"])
    sway = as_float32(field(picture.shape, 0.25, 27) - 0.5) * 1.2
    flow = math.cos(turn) - math.sin(turn) * sway, math.sin(turn) + math.cos(turn) * sway
    canvas = _canvas(smooth)
    for size in (1.6, 1.0):
        paint_strokes(smooth, canvas, flow, params["width"] * size, params["width"] * size * 2.2, 0.06)
    return to_float(np.asarray(canvas.reduce(OVERSAMPLING)))


def van_gogh(picture: FloatPicture, params: Params) -> FloatPicture:
    """Long strokes that whirl around a few points, in blues and yellows."""
    x, y = grid(*picture.shape[:2])
    across, down = np.full_like(x, 1.0), np.full_like(y, 0.2)
    for left, top, sense in params["whirls"]:
        dx, dy = x - np.float32(left), y - np.float32(top)
        pull = np.float32(sense * 0.35) / (dx * dx + dy * dy + np.float32(0.012))
        across, down = across - dy * pull, down + dx * pull
    speed = np.sqrt(across * across + down * down) + np.float32(1e-6)
    toned = ramp(tones(picture, 0.012), STARRY)
    smooth = gaussian_blur(mix(mix(gray(picture), picture, 1.5), toned, params["night"]), 0.01)
    canvas = _canvas(smooth)
    paint_strokes(smooth, canvas, (across / speed, down / speed), 0.034, params["length"], 0.11)
    return to_float(np.asarray(canvas.reduce(OVERSAMPLING)))


def cracked_paint(picture: FloatPicture, params: Params) -> FloatPicture:
    """An old varnished painting: a net of cracks, some flakes gone."""
    height, width = picture.shape[:2]
    aged = mix(picture, gray(picture) * unit_colour(params["varnish"]) + 0.05, 0.45)
    net, fine = panes(height, width, params["cells"], 28), panes(height, width, 2 * params["cells"] + 1, 29)
    crack = np.maximum(1 - net.edge / 0.12, 0.7 - fine.edge / 0.1).clip(0, 1)
    flake = np.random.default_rng(30).random(int(net.index.max()) + 1) < params["lost"]
    chipped = flake[net.index] & (net.edge > 0.1) & (field(picture.shape, 0.05, 31) > 0.35)
    bare = mix(aged, unit_colour(params["ground"]), chipped[..., None])
    return mix(bare, as_float32([0.13, 0.09, 0.06]), crack[..., None] * 0.85)


def paper_layers(picture: FloatPicture, params: Params) -> FloatPicture:
    """Sheets of coloured paper on top of each other, each with a shadow on the one below."""
    count = params["sheets"]
    height = gaussian_blur(tones(picture, 0.02), 0.015)
    down, across = (side * max(1, round(0.022 * short_side(picture))) for side in params["light"])
    result = np.broadcast_to(unit_colour(params["colours"][0]), picture.shape)
    tints = ramp(np.linspace(0, 1, count, dtype=np.float32)[None], params["colours"])[0]
    for sheet in range(1, count):
        shape = soft_step(height - np.float32(sheet / count), 30)
        shadow = gaussian_blur(shifted(shape, down, across), 0.014)
        result = mix(result * (1 - 0.55 * shadow * (1 - shape))[..., None], tints[sheet], shape[..., None])
    return as_float32(result * (0.94 + 0.1 * field(picture.shape, 0.01, 32))[..., None])


def _whirls(rng: Rng) -> list[list[float]]:
    """Three points apart with a sense of rotation each: left, top, sense."""
    across, down, senses = rng.permutation([-0.32, 0.0, 0.32]), rng.uniform(-0.4, 0.4, 3), rng.choice([-1, 1], 3)
    return [[round(float(x), 3), round(float(y), 3), int(s)] for x, y, s in zip(across, down, senses, strict=True)]


def _sheets(rng: Rng) -> list[list[int]]:
    """From deep to pale through a hue or two."""
    hue = rng.random()
    tones_of = ((0.0, 0.7, 0.25), (0.08, 0.75, 0.6), (0.16, 0.55, 0.9), (0.2, 0.15, 1.0))
    return [list(colour((hue + turn,) * 2, (tone,) * 2, (value,) * 2)(rng)) for turn, tone, value in tones_of]


PAPER = tint(colour(saturation=(0.0, 0.12), value=(0.94, 1)))
VARNISH = choice([235, 190, 110], [215, 185, 140], [190, 200, 150])
STARRY = [[12, 20, 60], [30, 70, 150], [90, 160, 200], [235, 215, 110], [255, 250, 210]]

TASKS: tuple[Task, ...] = (
    style_task("watercolour", watercolour, load=span(0.65, 0.9), border=span(0.04, 0.1), paper=PAPER),
    style_task("pointillism", pointillism, pitch=span(0.04, 0.06), ground=PALE),
    style_task("impressionism", impressionism, angle=span(0, 180), width=span(0.035, 0.05)),
    style_task("Van Gogh style", van_gogh, whirls=_whirls, night=span(0.35, 0.65), length=span(0.11, 0.17)),
    style_task(
        "cracked painting", cracked_paint, cells=whole(6, 10), lost=span(0.03, 0.12), varnish=VARNISH, ground=DEEP
    ),
    style_task("paper cut-out", paper_layers, sheets=whole(4, 6), light=LIGHTS, colours=_sheets),
)
