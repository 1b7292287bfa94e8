"""Style tasks: the picture made of tiles, thread, beads, wood, metal, ice and folded paper."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .brush import OVERSAMPLING
from .craft import (
    LIGHTS,
    along,
    cells,
    field,
    inwards,
    outlines,
    slope,
    soft_step,
    streaks,
    style_task,
    teeth,
    tones,
    wave,
)
from .draws import PALE, VIVID, Params, choice, colour, span, tint, whole
from .pixels import (
    FloatPicture,
    Picture,
    as_float32,
    gaussian_blur,
    gray,
    mix,
    short_side,
    to_bytes,
    to_float,
    unit_colour,
)
from .task import Task


def mosaic(picture: FloatPicture, params: Params) -> FloatPicture:
    """Small stones, each laid a little askew, in mortar."""
    stone = cells(picture, params["stones"])
    lean = (stone.chance(61) - 0.5) * 0.5
    x, y = stone.x + lean * stone.y, stone.y - lean * stone.x
    rim = np.maximum(np.abs(x), np.abs(y))
    colours = mix(gray(stone.colour), stone.colour, 1.2) * (0.8 + 0.4 * stone.chance(62))[..., None]
    lit = colours + (0.08 * (x + y < -0.6) - 0.08 * (x + y > 0.6))[..., None]
    return mix(lit, unit_colour(params["mortar"]), soft_step(rim - 0.8, 5)[..., None])


def cross_stitch(picture: FloatPicture, params: Params) -> FloatPicture:
    """A cross of thread in every hole of a pale cloth."""
    stitch = cells(picture, params["stitches"])
    rising, falling = np.abs(stitch.x + stitch.y), np.abs(stitch.x - stitch.y)
    over = falling < 0.5
    thread = np.where(over, 1.05 - 0.5 * falling, 0.9 - 0.5 * rising)
    near = np.maximum(np.abs(stitch.x), np.abs(stitch.y)) < 0.95
    cover = soft_step(0.55 - np.minimum(rising, falling), 6) * near
    flat = np.round(mix(gray(stitch.colour), stitch.colour, 1.4) * 7) / 7 * thread[..., None]
    cloth = unit_colour(params["cloth"]) * (1 - 0.5 * ((np.abs(stitch.x) > 0.8) & (np.abs(stitch.y) > 0.8)))[..., None]
    return mix(as_float32(cloth), as_float32(flat), cover[..., None])


def knitting(picture: FloatPicture, params: Params) -> FloatPicture:
    """Rows of slanting loops of wool."""
    loop = cells(picture, params["loops"], 0.8)
    side = np.abs(loop.x)
    slant = loop.y + 0.9 * side - 0.45
    bent = np.abs(slant - 2 * np.round(slant / 2))
    body = 1 - np.maximum((np.abs(side - 0.5) / 0.5) ** 2, (bent / 0.85) ** 2)
    twist = 0.08 * wave(loop.x + loop.y, 0.5)
    wool = mix(gray(loop.colour), loop.colour, params["dye"])
    return as_float32(wool * (0.42 + 0.62 * np.sqrt(np.maximum(body, 0)) + twist)[..., None])


def woven(picture: FloatPicture, params: Params) -> FloatPicture:
    """The picture's threads across, threads of one colour down, one over the other in turn."""
    thread = cells(picture, params["threads"])
    under = (thread.row + thread.column) % 2 == 1
    across = thread.colour * (1.12 - 0.5 * thread.y * thread.y)[..., None]
    down = unit_colour(params["warp"]) * (1.05 - 0.5 * thread.x * thread.x)[..., None]
    gap = np.where(under, np.abs(thread.x), np.abs(thread.y)) > 0.82
    return as_float32(np.where(under[..., None], down, across) * np.where(gap, 0.45, 1.0)[..., None])


def patchwork(picture: FloatPicture, params: Params) -> FloatPicture:
    """Padded patches of printed cloth with a dashed seam."""
    patch = cells(picture, params["patches"])
    kind = patch.chance(63)
    stripes = wave(np.where(kind < 0.35, patch.x, patch.y), 0.5)
    spots = wave(patch.x, 0.67) * wave(patch.y, 0.67) * 1.6
    print_ = np.where(kind > 0.7, spots, stripes)
    rim = np.maximum(np.abs(patch.x), np.abs(patch.y))
    padded = 1.05 - 0.4 * (rim * rim) ** 2 - 0.08 * (patch.x + patch.y)
    cloth = (mix(gray(patch.colour), patch.colour, 1.3) * 0.85 + 0.1) * (0.85 + 0.28 * print_)[..., None]
    dash = teeth(np.where(np.abs(patch.x) > np.abs(patch.y), patch.y, patch.x), 0.4) > 0.45
    seam = dash & (np.abs(rim - 0.84) < 0.07)
    return mix(as_float32(cloth * padded[..., None]), unit_colour(params["thread"]), seam[..., None])


def wood_burning(picture: FloatPicture, params: Params) -> FloatPicture:
    """Scorched lines and shades on a planed board."""
    rings = along(picture.shape, params["angle"] + 90) + 0.12 * field(picture.shape, 0.5, 64)
    grain = 0.55 * wave(rings, 0.09) + 0.45 * streaks(picture.shape, params["angle"], 0.012, 0.5, 65)
    board = unit_colour(params["wood"]) * (0.82 + 0.26 * grain)[..., None]
    burnt = 0.85 * (0.62 - tones(picture, 0.012)).clip(0, 1) + 0.75 * outlines(picture, 2.5, 0.01)
    spread = np.maximum(burnt, 0.8 * gaussian_blur(as_float32(burnt), 0.012)).clip(0, 0.95)
    return mix(as_float32(board), as_float32([0.17, 0.08, 0.03]), spread[..., None])


def liquid_metal(picture: FloatPicture, params: Params) -> FloatPicture:
    """A polished relief that mirrors a sky and a ground."""
    height = gaussian_blur(gaussian_blur(tones(picture, 0.015), 0.02), 0.012)
    rise = slope(height, (1, 0), 0.02) * 1.6 + slope(height, (0, 1), 0.02) * 0.8
    mirrored = wave(height * params["bands"] + rise * 1.5, 1.0)
    bright = unit_colour(params["metal"])
    dark = bright * np.float32(0.12)
    shine = soft_step(mirrored - 0.86, 8)
    return mix(mix(dark, bright, mirrored[..., None]), as_float32([1.0, 1.0, 0.97]), shine[..., None])


def frost(picture: FloatPicture, params: Params) -> FloatPicture:
    """Ice crystals that grow in from the borders."""
    needles = np.maximum.reduce([streaks(picture.shape, angle, 0.02, 0.16, 66 + angle) for angle in (25, 85, 145)])
    crystal = soft_step(needles - 0.62, 4)
    ice = soft_step(params["reach"] - inwards(picture) + (needles - 0.7) * 0.3, 7)
    cold = mix(gray(picture), picture, 0.6) * as_float32([0.85, 0.97, 1.1])
    blurred = mix(cold, gaussian_blur(as_float32(cold), 0.03), ice[..., None])
    return mix(blurred, unit_colour(params["tint"]), (ice * (0.35 + 0.6 * crystal))[..., None])


def crumpled_paper(picture: FloatPicture, params: Params) -> FloatPicture:
    """The print of the picture on a sheet that was a ball."""
    rng = np.random.default_rng(67)
    shade = np.zeros(picture.shape[:2], np.float32)
    for angle, pitch, start in rng.uniform((0, 0.35, 0), (180, 0.8, 1), (9, 3)).tolist():
        crease = teeth(along(picture.shape, angle + params["turn"]) + start, pitch)
        shade = np.abs(shade - crease * np.float32(0.62))
    faded = mix(gray(picture), picture, 0.75) * 0.8 + 0.15
    relief = slope(shade, params["light"], 0.02) * 2.5 + (shade - 0.3) * 0.35
    return as_float32(faded * (1 + params["depth"] * relief)[..., None])


def origami(picture: FloatPicture, params: Params) -> FloatPicture:
    """Folded from triangles of paper, each in one colour and its own light."""
    height, width = picture.shape[:2]
    short, count = short_side(picture), params["folds"]
    rows, columns = max(1, round(height * count / short)), max(1, round(width * count / short))
    rng = np.random.default_rng(68)
    jitter = rng.uniform(-0.28, 0.28, (2, rows + 1, columns + 1))
    jitter[0, [0, -1]] = jitter[1, :, [0, -1]] = 0
    down = (np.arange(rows + 1)[:, None] + jitter[0]) * (height / rows)
    across = (np.arange(columns + 1)[None, :] + jitter[1]) * (width / columns)
    corners = np.stack([across, down], axis=-1)
    first, second = corners[:-1, :-1].reshape(-1, 2), corners[:-1, 1:].reshape(-1, 2)
    third, fourth = corners[1:, 1:].reshape(-1, 2), corners[1:, :-1].reshape(-1, 2)
    flip = ((np.arange(rows)[:, None] + np.arange(columns)) % 2 == 1).ravel()[:, None]
    triangles = np.concatenate([
        np.stack([first, second, np.where(flip, fourth, third)], axis=1),
        np.stack([np.where(flip, second, first), third, fourth], axis=1),
    ])  # fmt: skip
    middle = triangles.mean(axis=1)
    smooth = gaussian_blur(mix(gray(picture), picture, 1.25), 0.25 / count)
    tones_of = smooth[middle[:, 1].astype(int).clip(0, height - 1), middle[:, 0].astype(int).clip(0, width - 1)]
    lean = rng.normal(size=(len(triangles), 2))
    light = (lean @ np.array(params["light"], np.float64)) * params["depth"]
    colours = to_bytes(as_float32(tones_of * 0.85 + 0.1 + np.clip(light, -0.2, 0.2)[:, None]))
    return _folded(triangles, colours, height, width)


def _folded(triangles: NDArray[np.float64], colours: Picture, height: int, width: int) -> FloatPicture:
    image = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING))
    pen = ImageDraw.Draw(image)
    points = (triangles * OVERSAMPLING).reshape(-1, 6).tolist()
    for corners, tone in zip(points, colours.tolist(), strict=True):
        crease = tuple(min(255, value + 26) for value in tone)
        pen.polygon(corners, fill=tuple(tone), outline=crease)
    return to_float(np.asarray(image.reduce(OVERSAMPLING)))


CLOTH = tint(colour(saturation=(0.0, 0.3), value=(0.8, 1)))
MORTAR = choice([225, 220, 210], [60, 58, 56], [150, 140, 125])
WOODS = choice([222, 184, 135], [196, 150, 100], [235, 210, 170], [176, 124, 84])
METALS = choice([255, 205, 90], [215, 222, 232], [240, 150, 105], [150, 190, 230], [220, 160, 220])
ICE = choice([225, 240, 255], [205, 228, 250], [236, 240, 246])

TASKS: tuple[Task, ...] = (
    style_task("mosaic", mosaic, stones=whole(15, 22), mortar=MORTAR),
    style_task("cross-stitch", cross_stitch, stitches=whole(20, 28), cloth=CLOTH),
    style_task("knitting", knitting, loops=whole(15, 22), dye=span(0.8, 1.6)),
    style_task("woven cloth", woven, threads=whole(22, 34), warp=VIVID),
    style_task("patchwork quilt", patchwork, patches=whole(4, 6), thread=PALE),
    style_task("wood burning", wood_burning, angle=span(0, 180), wood=WOODS),
    style_task("liquid metal", liquid_metal, bands=span(1.8, 3.2), metal=METALS),
    style_task("frost", frost, reach=span(0.08, 0.17), tint=ICE),
    style_task("crumpled paper", crumpled_paper, turn=span(0, 180), depth=span(0.5, 0.9), light=LIGHTS),
    style_task("origami", origami, False, folds=whole(6, 9), depth=span(0.08, 0.14), light=LIGHTS),
)
