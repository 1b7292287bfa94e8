"""Style tasks: the picture through glass and water, in other light, with other eyes."""

from __future__ import annotations

import math

import numpy as np

from .craft import (
    along,
    dots,
    field,
    panes,
    ramp,
    soft_step,
    style_task,
    teeth,
    tones,
    wave,
)
from .draws import Params, Rng, choice, colour, hsv, span, tint, whole
from .pixels import (
    FloatPicture,
    as_float32,
    gaussian_blur,
    gray,
    grid,
    half_sides,
    luminance,
    mix,
    short_side,
    unit_colour,
    wide,
)
from .printing import sample
from .task import Task


def seen_at(picture: FloatPicture, x: FloatPicture, y: FloatPicture) -> FloatPicture:
    """The picture's colours at other places, in short sides from the middle; mirrored beyond the borders."""
    height, width = picture.shape[:2]
    short = short_side(picture)
    u, v = x * (short / width) + 0.5, y * (short / height) + 0.5
    return sample(picture, teeth(as_float32(u) + 1, 2.0), teeth(as_float32(v) + 1, 2.0))


def kaleidoscope(picture: FloatPicture, params: Params) -> FloatPicture:
    """One wedge of the picture, mirrored around the middle."""
    x, y = grid(*picture.shape[:2])
    far = np.sqrt(wide(x) ** 2 + wide(y) ** 2)
    wedge = math.tau / params["wedges"]
    turn = np.arctan2(wide(y), wide(x)) + math.radians(params["turn"])
    folded = np.abs(turn - np.round(turn / wedge) * wedge) + math.radians(params["looks"])
    return seen_at(picture, as_float32(far * np.cos(folded)), as_float32(far * np.sin(folded)))


def shattered_mirror(picture: FloatPicture, params: Params) -> FloatPicture:
    """Splinters that each show the scene a little shifted, with bright edges."""
    cut = panes(*picture.shape[:2], params["splinters"], 91)
    moves = np.random.default_rng(92).uniform(-1, 1, (3, int(cut.index.max()) + 1)).astype(np.float32)
    x, y = grid(*picture.shape[:2])
    reach = np.float32(params["shift"])
    moved = seen_at(picture, x + reach * moves[0][cut.index], y + reach * moves[1][cut.index])
    lit = moved * (1 + 0.22 * moves[2][cut.index])[..., None]
    crack = soft_step(0.05 - cut.edge, 30)
    return mix(lit, as_float32([0.93, 0.96, 0.97]), crack[..., None] * 0.85)


def ribbed_glass(picture: FloatPicture, params: Params) -> FloatPicture:
    """Round ribs, each a narrow lens."""
    x, y = grid(*picture.shape[:2])
    turn = math.radians(params["angle"])
    place = along(picture.shape, params["angle"]) / np.float32(params["pitch"])
    inside = place - np.floor(place) - np.float32(0.5)
    bend = inside * np.float32(params["pitch"] * params["strength"])
    bent = seen_at(picture, x + bend * np.float32(math.cos(turn)), y + bend * np.float32(math.sin(turn)))
    shine = 0.1 * (np.abs(inside + 0.25) < 0.07)
    return as_float32(bent * (1.06 - 0.9 * inside * inside)[..., None] + shine[..., None])


def ripples(picture: FloatPicture, params: Params) -> FloatPicture:
    """Rings that run over the picture from where a drop fell."""
    x, y = grid(*picture.shape[:2])
    across, down = x - np.float32(params["x"]), y - np.float32(params["y"])
    far = np.sqrt(across * across + down * down)
    height = wave(far, params["pitch"]) * 2 - 1
    push = as_float32(height * params["strength"] * np.minimum(1, 0.3 / (far + 0.1))) / (far + np.float32(0.02))
    moved = seen_at(picture, x + across * push, y + down * push)
    shine = 0.16 * (wave(far + params["pitch"] / 4, params["pitch"]) - 0.5) * (across - down) / (far + 0.05)
    return as_float32(moved + shine[..., None])


def bokeh_lights(picture: FloatPicture, params: Params) -> FloatPicture:
    """Pale discs of lamps out of focus, over a darker, softer picture."""
    soft = gaussian_blur(picture, 0.015) * 0.6
    light = np.zeros((*picture.shape[:2], 1), np.float32)
    for layer, scale in ((93, 1.0), (94, 1.55)):
        pitch = params["size"] * scale
        lamp = dots(picture.shape, pitch, layer)
        slant = pitch * short_side(picture) / 2
        disc = soft_step(0.37 - lamp.distance, slant) * (0.55 + 0.45 * soft_step(lamp.distance - 0.29, slant))
        light = light + (disc * (lamp.rank > 0.62) * lamp.rank)[..., None]
    return as_float32(soft + light * unit_colour(params["colour"]) * 0.7)


def miniature(picture: FloatPicture, params: Params) -> FloatPicture:
    """A sharp strip across, strong blur above and below, toy colours."""
    _, y = grid(*picture.shape[:2])
    strong = mix(gray(picture), picture, 1.7)
    away = ((np.abs(y - params["strip"]) - params["thick"]) * 8).clip(0, 1)[..., None]
    near, far = gaussian_blur(strong, 0.02), gaussian_blur(strong, 0.05)
    return mix(mix(strong, near, (away * 2).clip(0, 1)), far, (away * 2 - 1).clip(0, 1))


def zoom_burst(picture: FloatPicture, params: Params) -> FloatPicture:
    """Streaks that fly away from one point."""
    x, y = grid(*picture.shape[:2])
    left, top = np.float32(params["x"]), np.float32(params["y"])
    across, down = x - left, y - top
    total = np.zeros_like(picture)
    steps = 10
    for step in range(steps):
        scale = np.float32(1 - params["reach"] * step / (steps - 1))
        total += seen_at(picture, left + across * scale, top + down * scale)
    return total * np.float32(1 / steps)


def sunset_silhouette(picture: FloatPicture, params: Params) -> FloatPicture:
    """Dark things black before an evening sky with the sun in it."""
    x, y = grid(*picture.shape[:2])
    _, half_y = half_sides(picture)
    sky = ramp(as_float32((y / half_y + 1) / 2), params["sky"])
    far = np.sqrt((x - np.float32(params["x"])) ** 2 + (y - np.float32(params["y"])) ** 2)
    glow = (1 - far / 0.45).clip(0, 1) ** 2
    sun = np.maximum(soft_step(0.1 - far, short_side(picture)), 0.5 * glow)
    bright = mix(sky, as_float32([1.0, 0.95, 0.7]), sun[..., None])
    shape = soft_step(tones(picture, 0.012) - params["level"], 9)
    return mix(as_float32([0.04, 0.03, 0.06]), bright, shape[..., None])


def psychedelic(picture: FloatPicture, params: Params) -> FloatPicture:
    """All hues many times over, following the light."""
    height = gaussian_blur(tones(picture, 0.015), 0.01) * params["turns"]
    swirl = field(picture.shape, 0.35, 95) * 0.7 + params["start"]
    hues = [wave(height + swirl + third / 3, 1.0) for third in range(3)]
    return as_float32(np.stack(hues, axis=2) * 1.15 - 0.05)


def selective_colour(picture: FloatPicture, params: Params) -> FloatPicture:
    """One hue stays and grows stronger, everything else turns grey."""
    light = gray(picture)
    spread = picture - light
    wanted = unit_colour(params["colour"])
    direction = wanted - luminance(wanted[None, None])[0, 0]
    length = np.float32(math.sqrt(float((direction * direction).sum())))
    match = (spread[..., 0] * direction[0] + spread[..., 1] * direction[1] + spread[..., 2] * direction[2]) / length
    size = np.sqrt(spread[..., 0] ** 2 + spread[..., 1] ** 2 + spread[..., 2] ** 2) + np.float32(0.02)
    kept = soft_step(match / size - 0.3, 4)  # wide, as few pictures have all hues
    return mix(light, light + spread * 1.5, kept[..., None])


def underwater(picture: FloatPicture, params: Params) -> FloatPicture:
    """Blue depth that swallows red, a net of light, rays from above."""
    x, y = grid(*picture.shape[:2])
    _, half_y = half_sides(picture)
    depth = (y / half_y * 0.5 + 0.5)[..., None]
    swim = (field(picture.shape, 0.12, 96) - 0.5) * 0.035
    moved = seen_at(picture, x + swim, y + swim[::-1])
    sea = unit_colour(params["sea"])
    water = mix(moved * (0.35 + 0.75 * sea), sea * (0.9 - 0.55 * depth), 0.3 + 0.3 * depth)
    net = 1 - np.abs(field(picture.shape, params["net"], 97) - 0.5) * 9
    return as_float32(water + net.clip(0, 1)[..., None] * 0.28 * (1.1 - depth))


def light_leak(picture: FloatPicture, params: Params) -> FloatPicture:
    """Warm light that came in at one side of the film, everything paler."""
    place = along(picture.shape, params["angle"]) + 0.12 * (field(picture.shape, 0.5, 98) - 0.5)
    leak = ((place - params["reach"] + 0.25) / 0.5).clip(0, 1)
    glow = ramp(as_float32(leak), [[0, 0, 0], params["colour"], [255, 190, 90], [255, 240, 200]])
    faded = picture * 0.82 + 0.08
    return as_float32(1 - (1 - faded) * (1 - glow))


def _sky(rng: Rng) -> list[list[int]]:
    """From high to low: violet or blue, rose, orange."""
    high, low = rng.uniform(0.6, 0.85), rng.uniform(0.02, 0.14)
    return [list(hsv(high, 0.65, 0.45)), list(hsv(high + 0.14, 0.5, 0.85)), list(hsv(low, 0.8, 1.0))]


PURE = choice([230, 30, 30], [240, 150, 20], [230, 220, 30], [40, 200, 50], [40, 90, 240], [220, 50, 200])
SEAS = choice([40, 150, 200], [30, 170, 160], [50, 110, 210], [70, 160, 110])
LEAKS = choice([220, 30, 20], [230, 60, 120], [200, 90, 10])
LAMPS = tint(colour(saturation=(0.1, 0.6), value=(0.9, 1)))
PLACE = span(-0.3, 0.3)

TASKS: tuple[Task, ...] = (
    style_task("kaleidoscope", kaleidoscope, False, wedges=whole(4, 8), turn=span(0, 60), looks=span(0, 360)),
    style_task("shattered mirror", shattered_mirror, splinters=whole(4, 6), shift=span(0.1, 0.2)),
    style_task("ribbed glass", ribbed_glass, angle=span(0, 180), pitch=span(0.07, 0.13), strength=span(1.5, 3.0)),
    style_task("ripples", ripples, x=PLACE, y=PLACE, pitch=span(0.09, 0.16), strength=span(0.02, 0.035)),
    style_task("bokeh lights", bokeh_lights, size=span(0.13, 0.22), colour=LAMPS),
    style_task("miniature", miniature, strip=PLACE, thick=span(0.06, 0.12)),
    style_task("zoom burst", zoom_burst, x=PLACE, y=PLACE, reach=span(0.3, 0.5)),
    style_task("sunset silhouette", sunset_silhouette, sky=_sky, x=PLACE, y=span(-0.2, 0.3), level=span(0.35, 0.55)),
    style_task("psychedelic colours", psychedelic, turns=span(1.8, 3.5), start=span(0, 1)),
    style_task("selective colour", selective_colour, colour=PURE),
    style_task("underwater", underwater, sea=SEAS, net=span(0.07, 0.13)),
    style_task("light leak", light_leak, angle=span(0, 360), reach=span(0.2, 0.4), colour=LEAKS),
)
