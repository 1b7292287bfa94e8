"""Edits that bend a picture line by line: ripples, a twirl, a bulge, a kaleidoscope, ribbed glass, a wave."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from relation_adapter.units import STRIP_PIXELS, Unit, picture_of_strips, to_unit

Places = npt.NDArray[np.floating[Any]]

ALONG = ("lines", "rings", "rays")  # every line shows another one of the source
ACROSS = ("slides", "twirl")  # every line, or ring, slides along itself
ROUND = ("rings", "rays", "twirl")  # about a point
BEYOND = {  # what lies beyond the rim, as `ndimage.map_coordinates` knows it
    "mirror": ("reflect", 0.0),
    "edge": ("nearest", 0.0),
    "other side": ("grid-wrap", 0.0),
    "black": ("constant", 0.0),
    "white": ("constant", 1.0),
}
TEAR = 6.0  # steps between two lines, by which the source's may differ; farther ones are not one picture
UPRIGHT = 2.0  # degrees, by which lines that go straight across or down may seem to be tilted
MOST = 4096  # lines


@dataclass(frozen=True)
class Warp:
    """Where a bent picture's lines come from, all lengths in short sides of the picture, counted from its middle.

    way: what moves as a whole. Straight lines (lines, slides), which follow each other in the direction of angle in
    degrees, or rings and rays about a point (x, y). first, step: where the first line lies, and how far on the next:
    along the angle, from the point, or by an angle in radians. lines: of each how far on the source's line lies that
    it shows (of slides and a twirl: how far it has slid), the gain of its colours, and what is added to red, green and
    blue, and of rings to the side that looks right and the one that looks down. beyond: what is seen where a line comes
    from outside, a name of BEYOND. stretched: whether lengths are in widths and heights instead, and rings ellipses.
    """

    way: str
    first: float
    step: float
    lines: tuple[tuple[float, ...], ...]
    angle: float = 0.0
    x: float = 0.0
    y: float = 0.0
    beyond: str = "mirror"
    stretched: bool = False

    def scales(self, width: int, height: int) -> tuple[float, float]:
        """Its lengths to the right and down for one short side of a picture of that size."""
        short = min(width, height)
        return (short / width, short / height) if self.stretched else (1.0, 1.0)

    def with_the_picture(self, width: int, height: int) -> Warp:
        """The same of a picture of that size; where its lines go straight across or down, stretched with any other."""
        quarter = round(self.angle / 90)
        if self.way in ROUND or self.stretched or abs(self.angle - 90 * quarter) > UPRIGHT:
            return self
        across, down = replace(self, stretched=True).scales(width, height)
        scale, aside = (down, across) if quarter % 2 else (across, down)
        moves = scale if self.way == "lines" else aside
        lines = tuple((move * moves, *light) for move, *light in self.lines)
        first, step = self.first * scale, self.step * scale
        return replace(self, first=first, step=step, lines=lines, angle=90.0 * quarter, stretched=True)

    def part(self, share: float) -> Warp:
        """The same way gone by a share."""
        lines = [
            (share * move, 1 + share * (gain - 1), *(share * more for more in light))
            for move, gain, *light in self.lines
        ]
        return replace(self, lines=tuple(lines))

    def coordinates(self, x: Places, y: Places) -> tuple[Places, Places]:
        """Which line a place lies on, and where on that line."""
        if self.way not in ROUND:
            turn = math.radians(self.angle)
            return x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
        x, y = x - self.x, y - self.y
        far, turned = np.hypot(x, y), np.arctan2(y, x) % math.tau
        return (turned, far) if self.way == "rays" else (far, turned)

    def place(self, line: Places, along: Places) -> tuple[Places, Places]:
        """The other way round."""
        if self.way not in ROUND:
            turn = math.radians(self.angle)
            return line * math.cos(turn) - along * math.sin(turn), line * math.sin(turn) + along * math.cos(turn)
        far, turned = (along, line) if self.way == "rays" else (line, along)
        return self.x + far * np.cos(turned), self.y + far * np.sin(turned)


def warped(picture: Image.Image, warp: Warp) -> Image.Image:
    """An RGB picture of any size, bent."""
    source = to_unit(picture)
    return picture_of_strips(_strips(source, warp))


def _strips(source: Unit, warp: Warp) -> Iterator[Unit]:
    height, width = source.shape[:2]
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        yield bent(source, warp, slice(top, min(top + rows, height)))


def bent(source: Unit, warp: Warp, rows: slice = slice(None)) -> Unit:
    """Some rows of a source (H, W, 3), bent."""
    x, y = (each[rows] for each in grid(*source.shape[:2]))
    across, down = warp.scales(source.shape[1], source.shape[0])
    line, along = warp.coordinates(across * x, down * y)
    table = np.array(warp.lines)
    place = (line - warp.first) / warp.step
    if warp.way == "rays":
        lower = np.floor(place).astype(np.intp)
        upper, lower = (lower + 1) % len(table), lower % len(table)
    else:
        place = place.clip(0, len(table) - 1)
        lower = np.floor(place).astype(np.intp)
        upper = (lower + 1).clip(max=len(table) - 1)
    share = (place - np.floor(place))[..., None]
    below, above = table[lower], table[upper]
    told = below + share * (above - below)
    torn = np.abs(above[..., :1] - below[..., :1]) > TEAR * warp.step
    move = np.where(torn, np.where(share < 0.5, below[..., :1], above[..., :1]), told[..., :1])[..., 0]
    to_x, to_y = warp.place(line + move, along) if warp.way in ALONG else warp.place(line, along + move)
    shown = seen_at(source, to_x / across, to_y / down, warp.beyond)
    light = told[..., 2:5]
    if warp.way == "rings":
        light = light + (told[..., 5] * np.cos(along) + told[..., 6] * np.sin(along))[..., None]
    found: Unit = (told[..., 1:2] * shown + light).clip(0, 1).astype(np.float32)
    return found


def grid(height: int, width: int) -> tuple[Places, Places]:
    """(H, W): where pixels lie, x and y, in short sides from the middle."""
    short = min(height, width)
    y, x = np.mgrid[:height, :width].astype(np.float32) + np.float32(0.5)
    return (x - np.float32(width / 2)) / short, (y - np.float32(height / 2)) / short


def seen_at(source: Unit, x: Places, y: Places, beyond: str = "mirror") -> Unit:
    """Colours (..., C) of a picture at places in short sides from the middle. beyond: a name of BEYOND."""
    height, width, channels = source.shape
    short, (mode, level) = min(height, width), BEYOND[beyond]
    places = np.stack([y * short + (height / 2 - 0.5), x * short + (width / 2 - 0.5)])
    planes = (source[..., one] for one in range(channels))
    return np.stack([ndimage.map_coordinates(one, places, order=1, mode=mode, cval=level) for one in planes], axis=-1)


def warp_from(values: Mapping[str, Any] | None) -> Warp | None:
    """Of plain JSON, as `asdict` makes it. Raises ValueError on anything else."""
    if values is None:
        return None
    try:
        numbers = {name: float(values[name]) for name in ("first", "step", "angle", "x", "y")}
        lines = tuple(tuple(map(float, line)) for line in values["lines"])
        warp = Warp(
            str(values["way"]),
            lines=lines,
            beyond=str(values["beyond"]),
            stretched=bool(values.get("stretched")),
            **numbers,
        )
    except (KeyError, TypeError) as error:
        raise ValueError("warp is not understood") from error
    known = (
        warp.way in (*ALONG, *ACROSS)
        and warp.beyond in BEYOND
        and 1 < len(lines) <= MOST
        and {len(line) for line in lines} == {7}
    )
    within = all(abs(number) < 1000 for line in (*lines, tuple(numbers.values())) for number in line)
    if not (known and within and warp.step > 1e-5):
        raise ValueError("warp is out of range")
    return warp
