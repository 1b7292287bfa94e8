"""Style tasks: the picture as screens and instruments show it."""

from __future__ import annotations

import numpy as np

from .craft import cells, field, glyph_mask, inwards, ramp, shifted, soft_step, style_task, tones
from .draws import Params, Rng, choice, span, whole
from .pixels import (
    FloatPicture,
    as_float32,
    box_distance,
    coverage,
    gaussian_blur,
    gray,
    grid,
    half_sides,
    mix,
    short_side,
)
from .task import Task


def glitch(picture: FloatPicture, params: Params) -> FloatPicture:
    """Bands that slipped sideways, their colours apart."""
    height, short = picture.shape[0], short_side(picture)
    broken = picture.copy()
    for top, thick, slip in params["bands"]:
        first, last = int(top * height), max(int((top + thick) * height), int(top * height) + 1)
        step = round(slip * short) or 1
        band = np.roll(picture[first:last], step, axis=1)
        broken[first:last, :, 0] = np.roll(band[..., 0], max(1, abs(step) // 3), axis=1)
        broken[first:last, :, 1] = band[..., 1]
        broken[first:last, :, 2] = np.roll(band[..., 2], -max(1, abs(step) // 3), axis=1)
    return broken


def video_tape(picture: FloatPicture, params: Params) -> FloatPicture:
    """Smeared colour beside soft lines that tremble, a torn strip of snow."""
    height, width = picture.shape[:2]
    short = short_side(picture)
    light = gray(picture)
    smear = gaussian_blur(as_float32((picture - light) * 0.5 + 0.5), 0.03) * 2 - 1
    tape = light + shifted(smear, 0, -max(1, round(params["smear"] * short))) * 1.3
    tremble = np.round((field((height, 1), 0.03, 81)[:, 0] - 0.5) * 0.05 * short).astype(np.intp)
    _, y = grid(height, width)
    near = (1 - np.abs(y[:, 0] - params["strip"]) / 0.05).clip(0, 1)
    tear = np.round(near * 0.2 * short).astype(np.intp)
    columns = (np.arange(width)[None, :] + (tremble + tear)[:, None]) % width
    torn = np.take_along_axis(tape, columns[..., None], axis=1)
    snow = field(picture.shape, 0.014, 83) > 1 - 0.45 * near[:, None]
    lines = 1 - 0.16 * (np.floor((y + 0.5) * 64) % 2)
    return mix(as_float32(torn * 0.85 + 0.06) * lines[..., None], as_float32([0.95, 0.95, 0.95]), snow[..., None])


def led_wall(picture: FloatPicture, params: Params) -> FloatPicture:
    """Round lamps on black."""
    lamp = cells(picture, params["lamps"])
    reach = np.sqrt(lamp.x * lamp.x + lamp.y * lamp.y)
    bright = mix(gray(lamp.colour), lamp.colour, 1.4) * 1.15
    lit = soft_step(params["radius"] - reach, 3)
    return as_float32(bright * (lit + 0.12)[..., None])


def night_vision(picture: FloatPicture, params: Params) -> FloatPicture:
    """An amplified picture in one colour, grainy, in a round eyepiece with a cross."""
    x, y = grid(*picture.shape[:2])
    light = tones(picture, 0.006) * 0.75 + 0.15
    grain = (field(picture.shape, 0.01, 84) - 0.5) * 0.3
    tube = np.minimum.reduce([np.sqrt((x - np.float32(left)) ** 2 + y * y) for left in params["tubes"]])
    seen = soft_step(np.float32(params["radius"]) - tube, 22)
    fine = np.minimum(np.abs(x), np.abs(y)) < 0.006
    cross = fine & (np.maximum(np.abs(x), np.abs(y)) < 0.2) & (np.maximum(np.abs(x), np.abs(y)) > 0.05)
    shown = ramp(as_float32((light + grain).clip(0, 1)), [[0, 6, 2], params["colour"], [240, 255, 240]])
    return mix(shown, as_float32([0.02, 0.03, 0.02]), cross[..., None]) * seen[..., None]


def thermal_camera(picture: FloatPicture, params: Params) -> FloatPicture:
    """Soft false heat, with its scale at one side."""
    x, y = grid(*picture.shape[:2])
    heat = gaussian_blur(tones(picture, 0.015), 0.012)
    half_x, _ = half_sides(picture)
    bar = box_distance(x - params["side"] * (half_x - 0.07), y, (0.025, 0.36))
    scale = as_float32((0.5 - y / 0.72).clip(0, 1))
    shown = ramp(heat, params["palette"])
    rimmed = mix(shown, as_float32([1.0, 1.0, 1.0]), coverage(bar - np.float32(0.01)))
    return mix(rimmed, ramp(scale, params["palette"]), coverage(bar))


def x_ray(picture: FloatPicture, params: Params) -> FloatPicture:
    """A glowing negative film with a letter of lead in the corner."""
    x, y = grid(*picture.shape[:2])
    half_x, half_y = half_sides(picture)
    dense = 1 - tones(picture, 0.012)
    bone = (dense + 1.3 * (dense - gaussian_blur(dense, 0.05))).clip(0, 1)
    film = 0.75 * bone + 0.3 * gaussian_blur(as_float32(bone), 0.03)
    film = as_float32(film * soft_step(inwards(picture) - 0.07, 12))
    mark = glyph_mask(params["letter"], x - params["side"] * (half_x - 0.13), y + half_y - 0.16, 0.2)
    return ramp(np.maximum(film, mark), [[2, 4, 10], params["film"], [235, 245, 255]])


def _bands(rng: Rng) -> list[list[float]]:
    """Five bands: top and thickness in heights, slip in short sides."""
    tops = (np.arange(5) + rng.uniform(0.1, 0.6, 5)) / 5
    slips = rng.uniform(0.06, 0.22, 5) * rng.choice([-1, 1], 5)
    thick = rng.uniform(0.04, 0.11, 5)
    return [[round(float(value), 3) for value in band] for band in zip(tops, thick, slips, strict=True)]


GLOW = choice([40, 220, 70], [60, 210, 190], [220, 190, 60])
TUBES = choice([0.0], [-0.2, 0.2])
HEATS = choice(
    [[10, 5, 60], [120, 20, 130], [230, 70, 50], [250, 180, 40], [255, 255, 220]],
    [[0, 0, 120], [0, 160, 220], [60, 200, 60], [250, 230, 40], [220, 20, 20]],
    [[0, 30, 20], [0, 110, 90], [90, 190, 110], [230, 240, 150], [255, 255, 255]],
    [[255, 255, 255], [250, 170, 60], [190, 40, 60], [70, 10, 80], [5, 5, 20]],
)
FILM = choice([70, 110, 150], [95, 125, 140], [60, 120, 125])

TASKS: tuple[Task, ...] = (
    style_task("glitch", glitch, bands=_bands),
    style_task("video tape", video_tape, smear=span(0.02, 0.06), strip=span(-0.35, 0.35)),
    style_task("LED wall", led_wall, lamps=whole(22, 36), radius=span(0.6, 0.85)),
    style_task("night vision", night_vision, colour=GLOW, tubes=TUBES, radius=span(0.38, 0.46)),
    style_task("thermal camera", thermal_camera, palette=HEATS, side=choice(1, -1)),
    style_task("x-ray", x_ray, letter=choice("L", "R"), side=choice(1, -1), film=FILM),
)
