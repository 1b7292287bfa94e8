"""Style tasks: the picture drawn, with everything from a crayon to a plotter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .brush import OVERSAMPLING
from .craft import (
    LIGHTS,
    Indices,
    along,
    cells,
    dots,
    field,
    glyphs,
    outlines,
    printed,
    ramp,
    slope,
    soft_step,
    streaks,
    style_task,
    teeth,
    tones,
)
from .draws import DEEP, PALE, Params, choice, colour, span, tint, whole
from .pixels import (
    FloatPicture,
    as_float32,
    gaussian_blur,
    gray,
    grid,
    luminance,
    mix,
    short_side,
    to_float,
    unit_colour,
    wide,
)
from .task import Task


def crayon(picture: FloatPicture, params: Params) -> FloatPicture:
    """Waxy strokes that leave the paper's pits bare."""
    smooth = gaussian_blur(picture, 0.012)
    rough = 0.55 * streaks(picture.shape, params["angle"], 0.02, 0.12, 1) + 0.45 * field(picture.shape, 0.014, 2)
    cover = soft_step(0.82 - 0.45 * tones(picture) - rough + params["pressure"], 3.5)
    wax = mix(gray(smooth), smooth, 1.7) * (1 - 0.6 * outlines(picture, 2.5))[..., None]
    return mix(unit_colour(params["paper"]), wax, cover[..., None])


def coloured_pencil(picture: FloatPicture, params: Params) -> FloatPicture:
    """Fine hatching in the picture's hues on white paper, with outlines of the same pencils."""
    smooth = gaussian_blur(picture, 0.008)
    dark = 1 - tones(picture)
    shaky = field(picture.shape, 0.1, 3) * 0.018
    first = teeth(along(picture.shape, params["angle"] + 90) + shaky, 0.03)
    second = teeth(along(picture.shape, params["angle"] + 25) + shaky, 0.03)
    lines = np.maximum(soft_step(0.12 + dark - first, 3), soft_step(dark - 0.35 - second, 3))
    lines = lines * (0.7 + 0.5 * field(picture.shape, 0.012, 4)).clip(0, 1)
    lead = mix(gray(smooth), smooth, 2.0) * 0.8 + 0.08
    weight = np.maximum(lines * params["pressure"], outlines(picture, 2.0))
    return mix(as_float32([0.985, 0.98, 0.965]), lead, weight[..., None])


def charcoal(picture: FloatPicture, params: Params) -> FloatPicture:
    """Smudged black over the grain of the paper."""
    light = tones(picture, params["smudge"])
    rough = 0.5 * field(picture.shape, 0.018, 5) + 0.5 * streaks(picture.shape, params["angle"], 0.014, 0.06, 6)
    bare = 0.15 + (light - 0.15) * 1.35 + (rough - 0.5) * params["grain"] * (1.2 - light)
    return printed([24, 23, 25], params["paper"], as_float32(bare - 0.75 * outlines(picture, 2.5, 0.012)))


def cross_hatching(picture: FloatPicture, params: Params) -> FloatPicture:
    """Thin lines that cross in more directions the darker it is."""
    light = tones(picture, 0.01)
    bare = 1 - outlines(picture, 1.5)
    for level, turn in ((0.78, 0), (0.56, 90), (0.37, 45), (0.2, 135)):
        line = teeth(along(picture.shape, params["angle"] + turn), params["pitch"])
        bare = bare * (1 - soft_step(line - 0.66, 4) * soft_step(level - light, 14))
    return printed(params["ink"], params["paper"], as_float32(bare))


def stippling(picture: FloatPicture, params: Params) -> FloatPicture:
    """Dots of one size, closer together where it is dark."""
    dark = 0.85 * (1 - tones(picture))
    bare = np.ones_like(dark)
    for layer in (1, 2):
        dot = dots(picture.shape, params["pitch"], layer)
        inside = soft_step(0.37 - dot.distance, params["pitch"] * short_side(picture))
        bare = bare * (1 - inside * (dark > dot.rank))
    return printed(params["ink"], params["paper"], bare)


def spiral(picture: FloatPicture, params: Params) -> FloatPicture:
    """One line wound around a point, thicker where it is dark."""
    x, y = grid(*picture.shape[:2])
    across, down = wide(x - params["x"]), wide(y - params["y"])
    turns = np.arctan2(down, across) / (2 * np.pi)
    place = as_float32(np.sqrt(across * across + down * down) / params["pitch"] - turns * params["sense"])
    dark = 1 - tones(picture, 0.012)
    slant = params["pitch"] * short_side(picture) / 2
    return printed(params["ink"], params["paper"], soft_step(teeth(place, 1.0) - 0.1 - 0.75 * dark, slant))


def line_art(picture: FloatPicture, params: Params) -> FloatPicture:
    """Nothing but clean outlines, a blob where it is darkest."""
    light = luminance(picture)
    fine, coarse = gaussian_blur(light, params["width"]), gaussian_blur(light, params["width"] * 1.8)
    bare = soft_step(fine - coarse + 0.02, 40) * soft_step(fine - 0.12, 12)
    return printed(params["ink"], params["paper"], bare)


def chalkboard(picture: FloatPicture, params: Params) -> FloatPicture:
    """Chalk on a wiped board: outlines, and rubbed light where it is bright."""
    dust = field(picture.shape, 0.012, 7)
    rubbed = streaks(picture.shape, params["angle"], 0.02, 0.3, 8)
    strokes = np.maximum(outlines(picture, 3.5, 0.01), soft_step(tones(picture) - 0.4 - 0.6 * rubbed, 4) * 0.6)
    chalk = (strokes * (0.45 + 0.75 * dust)).clip(0, 1)
    wiped = 0.85 + 0.3 * streaks(picture.shape, 20, 0.12, 0.8, 9)
    board = unit_colour(params["board"]) * wiped[..., None]
    return mix(board, unit_colour(params["chalk"]), chalk[..., None])


def scratch_art(picture: FloatPicture, params: Params) -> FloatPicture:
    """Lines scratched out of black wax, rainbow underneath."""
    light = tones(picture)
    needle = streaks(picture.shape, params["angle"], 0.02, 0.35, 10)
    scratched = np.maximum(outlines(picture, 3.0), soft_step(light - 0.25 - 0.8 * needle, 8))
    shown = teeth(along(picture.shape, params["angle"] + 90) + params["start"], 1.6)
    return mix(as_float32([0.04, 0.04, 0.05]), ramp(shown, RAINBOW), scratched[..., None])


def ink_wash(picture: FloatPicture, params: Params) -> FloatPicture:
    """A few layers of thinned ink that dry with a dark rim."""
    bleed = (field(picture.shape, 0.09, 11) - 0.5) * 0.16 + (field(picture.shape, 0.025, 12) - 0.5) * 0.08
    light = tones(picture, 0.016) + bleed
    bare = np.full(light.shape, 1.0, np.float32)
    for layer in range(params["layers"]):
        rise = light - np.float32(0.2 + 0.6 * layer / (params["layers"] - 1))
        rim = (1 - np.abs(rise + 0.03) * 18).clip(0, 1)
        bare = bare * (1 - params["ink_load"] * soft_step(-rise, 14) - 0.12 * rim)
    return printed(params["ink"], params["paper"], bare)


def ridge_lines(picture: FloatPicture, params: Params) -> FloatPicture:
    """Level lines one behind the other, raised where it is bright."""
    height, width = picture.shape[:2]
    short, count = short_side(picture), max(1, round(params["lines"] * height / short_side(picture)))
    light = tones(picture, 0.012)
    canvas_size = width * OVERSAMPLING, height * OVERSAMPLING
    image = Image.new("L", canvas_size, 0)
    pen = ImageDraw.Draw(image)
    columns = np.arange(0, width, max(1, short // 64))
    thick = max(1, round(0.012 * short * OVERSAMPLING))
    for line in range(1, count + 3):
        foot = line * height / count
        row = min(height - 1, int(foot))
        tops = (foot - light[row, columns] * (params["rise"] * short)) * OVERSAMPLING
        points = [(x * OVERSAMPLING, y) for x, y in zip(columns.tolist(), tops.tolist(), strict=True)]
        points.append((canvas_size[0], points[-1][1]))
        pen.polygon([*points, (canvas_size[0], canvas_size[1] * 2), (0, canvas_size[1] * 2)], fill=0)
        pen.line(points, fill=255, width=thick)
    return printed(params["ground"], params["line"], to_float(np.asarray(image.reduce(OVERSAMPLING))))


def topographic_map(picture: FloatPicture, params: Params) -> FloatPicture:
    """The luma as height: tints, contour lines, a light from the side."""
    height = gaussian_blur(tones(picture, 0.02), 0.015)
    step = np.floor(height.clip(0, 0.999) * np.float32(params["levels"]))
    lines = borders(step)
    land = ramp(as_float32((step + 0.5) / params["levels"]), params["tints"])
    lit = land * (1 + 2.0 * slope(height, params["light"]))[..., None].clip(0.7, 1.25)
    return mix(lit, unit_colour(params["ink"]), 0.85 * lines[..., None])


def borders(plane: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a plane differs from its neighbour above or to the left."""
    changed = np.zeros(plane.shape, np.bool_)
    changed[1:] |= plane[1:] != plane[:-1]
    changed[:, 1:] |= plane[:, 1:] != plane[:, :-1]
    return changed


def paint_by_numbers(picture: FloatPicture, params: Params) -> FloatPicture:
    """Empty fields with outlines and numbers; one of the numbers is painted already."""
    levels = params["levels"]
    tone = (tones(picture, 0.025).clip(0, 0.999) * levels).astype(np.intp)
    border = borders(tone)
    place = cells(picture, params["numbers"])
    middle = tone[_middles(place.row), _middles(place.column)]
    row, column = ((place.y * 0.75 + 0.5) * 9, (place.x * 0.9 + 0.5) * 7)
    seen = (row >= 0) & (row < 9) & (column >= 0) & (column < 7) & (middle == tone)
    digit = glyphs("123456789")[middle, row.clip(0, 8).astype(np.intp), column.clip(0, 6).astype(np.intp)]
    sheet = mix(as_float32([0.99, 0.99, 0.98]), unit_colour(params["ink"]), (border | (seen & (digit > 0)))[..., None])
    painted = (tone == params["painted"] % levels) & ~border
    return as_float32(np.where(painted[..., None], unit_colour(params["paint"]), sheet))


def _middles(index: Indices) -> Indices:
    """For every pixel along one axis the pixel in the middle of its cell."""
    flat = index.ravel()
    first = np.searchsorted(flat, flat, "left")
    last = np.searchsorted(flat, flat, "right") - 1
    return ((first + last) // 2).reshape(index.shape)


PAPER = tint(colour(saturation=(0.0, 0.2), value=(0.92, 1)))
STRONG_PAPER = tint(colour(saturation=(0.1, 0.55), value=(0.75, 1)))
BOARDS = choice([38, 70, 54], [36, 38, 42], [40, 56, 92], [84, 44, 48])
RAINBOW = [[255, 60, 80], [255, 160, 40], [250, 235, 60], [70, 210, 90], [60, 150, 255], [200, 80, 230]]
LANDS = choice(
    [[70, 130, 150], [110, 160, 95], [215, 205, 130], [170, 115, 70], [245, 245, 245]],
    [[60, 90, 60], [150, 175, 100], [235, 220, 160], [225, 160, 110], [190, 90, 70]],
    [[40, 60, 120], [70, 140, 190], [170, 220, 220], [235, 235, 200], [200, 170, 120]],
)
ANGLE = span(0, 180)

TASKS: tuple[Task, ...] = (
    style_task("crayon", crayon, angle=ANGLE, pressure=span(-0.1, 0.12), paper=STRONG_PAPER),
    style_task("coloured pencil drawing", coloured_pencil, angle=ANGLE, pressure=span(0.75, 1.0)),
    style_task(
        "charcoal drawing", charcoal, angle=ANGLE, smudge=span(0.01, 0.03), grain=span(0.8, 1.4), paper=STRONG_PAPER
    ),
    style_task("cross-hatching", cross_hatching, angle=span(0, 90), pitch=span(0.035, 0.055), ink=DEEP, paper=PAPER),
    style_task("stippling", stippling, pitch=span(0.025, 0.045), ink=DEEP, paper=PAPER),
    style_task(
        "spiral drawing", spiral, pitch=span(0.04, 0.07), x=span(-0.25, 0.25), y=span(-0.25, 0.25),
        sense=choice(1, -1), ink=DEEP, paper=PAPER,
    ),
    style_task("line art", line_art, width=span(0.008, 0.02), ink=DEEP, paper=PAPER),
    style_task("chalk drawing", chalkboard, angle=ANGLE, board=BOARDS, chalk=PALE),
    style_task("rainbow scratch art", scratch_art, angle=ANGLE, start=span(0, 0.8)),
    style_task("ink wash", ink_wash, layers=whole(3, 5), ink_load=span(0.3, 0.45), ink=DEEP, paper=PAPER),
    style_task(
        "ridge lines", ridge_lines, lines=whole(16, 26), rise=span(0.08, 0.16),
        ground=tint(colour(value=(0.03, 0.2))), line=PALE,
    ),
    style_task("topographic map", topographic_map, levels=whole(6, 10), tints=LANDS, light=LIGHTS, ink=DEEP),
    style_task(
        "paint by numbers", paint_by_numbers, levels=whole(4, 7), numbers=whole(5, 7), painted=whole(1, 3),
        paint=tint(colour(saturation=(0.5, 0.9), value=(0.6, 1))), ink=tint(colour((0.5, 0.7), (0.3, 0.6), (0.4, 0.7))),
    ),
)  # fmt: skip
