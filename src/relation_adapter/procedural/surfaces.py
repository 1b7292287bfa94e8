"""What is behind every pixel of a drawn scene: how near it is, where its surface faces, what it belongs to.

The world is made of simple bodies: an ellipse is half an ellipsoid that bulges towards the camera, a stroke a round
tube, any other outline a flat plate that faces the camera, the ground a plane up to the horizon. What is painted later
lies on what it covers, so that eyes and buttons follow the bulge of the head and the shirt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .brush import OVERSAMPLING, Pen, Point
from .draws import Colour
from .pixels import FloatPicture, as_float32

LABELS = (
    "background", "sky", "hill", "ground", "tree", "house", "car", "cloud", "sun", "skin", "hair", "clothes",
    "trousers", "hat", "glasses", "object", "wall", "floor", "ball", "box", "can", "animal", "cup", "table",
)  # fmt: skip
SAME = {"fir": "tree", "mug": "cup"}  # other names of parts

FOCAL = 1.5  # distance of the picture plane, picture sides
WALL = 0.15  # nearness of a backdrop
UNTOUCHABLE = ("sky", "sun", "cloud")  # no surface to face anywhere

Window = tuple[slice, slice]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Surfaces:
    """What is behind every pixel."""

    nearness: FloatPicture  # (H, W) inverse distance, 1 at the lens, 0 infinitely far
    normal: FloatPicture  # (H, W, 3) unit vectors to the right, up, towards the camera; zero where nothing is
    label: NDArray[np.uint8]  # (H, W) places in LABELS


def label_of(name: str) -> int:
    """The place in LABELS; of things without a place of their own, that of "object"."""
    name = SAME.get(name, name)
    return LABELS.index(name if name in LABELS else "object")


def bulge(u: FloatPicture, v: FloatPicture, rx: float, ry: float) -> tuple[Mask, FloatPicture, FloatPicture]:
    """Half an ellipsoid with half axes rx, ry and the smaller of them towards the camera.

    u, v: places from its centre, v downwards. Returns the inside, the height over the plane, the normals (u, v, out).
    """
    deep = min(rx, ry)
    rest = 1 - (u / rx) ** 2 - (v / ry) ** 2
    height = deep * np.sqrt(np.maximum(rest, 0))
    slope = np.stack([u / rx**2, v / ry**2, height / deep**2], axis=-1)
    return rest > 0, as_float32(height), _unit(slope)


def tube(
    x: FloatPicture, y: FloatPicture, start: Point, end: Point, radius: float
) -> tuple[Mask, FloatPicture, FloatPicture]:
    """A round tube with round ends around a segment; returns as bulge does."""
    (ax, ay), (bx, by) = start, end
    length = (bx - ax) ** 2 + (by - ay) ** 2
    along = (((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / max(length, 1e-9)).clip(0, 1)
    u, v = x - ax - along * (bx - ax), y - ay - along * (by - ay)
    return bulge(as_float32(u), as_float32(v), radius, radius)


def _unit(vectors: FloatPicture) -> FloatPicture:
    return as_float32(vectors / np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True) + 1e-20))


class SurfacePen(Pen):
    """Paints surfaces where a Pen paints colours."""

    def __init__(self, size: int, nearness: float) -> None:
        self.frame = (0.0, 0.0, float(size), 0.0)
        self.size, self.base, self.label = size, nearness, 0
        self.facing = (0.0, 0.0, 1.0)
        self.surfaces = Surfaces(
            np.full((size, size), nearness, np.float32),
            np.full((size, size, 3), self.facing, np.float32),
            np.zeros((size, size), np.uint8),
        )

    def part(self, name: str, nearness: float | None = None) -> SurfacePen:
        """The pen for a part of the scene, at the nearness given or that of the whole."""
        pen = copy(self)
        pen.label = label_of(name)
        pen.facing = (0.0, 0.0, 0.0) if name in UNTOUCHABLE else (0.0, 0.0, 1.0)
        pen.base = self.base if nearness is None else nearness
        return pen

    def floor(self, horizon: float, colour: Colour) -> None:
        """The plane under the camera; its inverse distance grows evenly from the horizon down."""
        rows = (np.arange(self.size, dtype=np.float32) + 0.5) / self.size
        ground = rows > horizon
        self.surfaces.nearness[ground] = (0.8 * (rows[ground] - horizon) / (1 - horizon))[:, None]
        self.surfaces.normal[ground] = (0, 1, 0)
        self.surfaces.label[ground] = self.label

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """A plate that faces the camera."""
        placed = self._place(points)
        if (found := self._window(placed)) is None:
            return
        window, left, top = found
        height, width = (side.stop - side.start for side in window)
        mask = Image.new("L", (width * OVERSAMPLING, height * OVERSAMPLING))
        outline = [((x - left) * OVERSAMPLING, (y - top) * OVERSAMPLING) for x, y in placed]
        ImageDraw.Draw(mask).polygon(outline, fill=255)
        inside = np.asarray(mask.reduce(OVERSAMPLING)) >= 128
        self._lay(window, inside, np.zeros(inside.shape, np.float32), as_float32(self.facing))

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """Half an ellipsoid."""
        scale, turn = self.frame[2:]
        [(across, down)] = self._place([(x, y)])
        reach = scale * max(rx, ry)
        corners = [(across - reach, down - reach), (across + reach, down + reach)]
        if (found := self._window(corners)) is None:
            return
        window, left, top = found
        u, v = self._places(window, left - across, top - down)
        cos, sin = math.cos(turn), math.sin(turn)
        inside, height, normal = bulge(cos * u + sin * v, cos * v - sin * u, scale * rx, scale * ry)
        if turn:
            first, second = normal[..., 0].copy(), normal[..., 1].copy()
            normal[..., 0], normal[..., 1] = cos * first - sin * second, sin * first + cos * second
        self._lay(window, inside, height, self._turned(normal))

    def stroke(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A round tube along the points."""
        radius = max(0.5, width * self.frame[2]) / 2
        placed = self._place(points)
        for start, end in pairwise(placed):
            corners = [(place[0] + by, place[1] + by) for place in (start, end) for by in (-radius, radius)]
            if (found := self._window(corners)) is None:
                continue
            window, left, top = found
            x, y = self._places(window, left, top)
            inside, height, normal = tube(x, y, start, end, radius)
            self._lay(window, inside, height, self._turned(normal))

    def _turned(self, normal: FloatPicture) -> FloatPicture:
        """From (right, down, out) to (right, up, out); none for what has no surface."""
        return normal * as_float32([1, -1, 1]) * self.facing[2]

    def _window(self, points: Sequence[Point]) -> tuple[Window, int, int] | None:
        """The part of the picture around the points, its left and its top; None outside of the picture."""
        across, down = [x for x, _ in points], [y for _, y in points]
        left, right = (min(max(int(edge), 0), self.size) for edge in (min(across), max(across) + 2))
        top, foot = (min(max(int(edge), 0), self.size) for edge in (min(down), max(down) + 2))
        return None if left >= right or top >= foot else ((slice(top, foot), slice(left, right)), left, top)

    def _places(self, window: Window, left: float, top: float) -> tuple[FloatPicture, FloatPicture]:
        """Middles of the pixels of a window whose first pixel starts at (left, top)."""
        height, width = (side.stop - side.start for side in window)
        x = np.arange(width, dtype=np.float32) + np.float32(left + 0.5)
        y = np.arange(height, dtype=np.float32) + np.float32(top + 0.5)
        return x[None, :].repeat(height, axis=0), y[:, None].repeat(width, axis=1)

    def _lay(self, window: Window, inside: Mask, height: FloatPicture, normal: FloatPicture) -> None:
        """Label everything inside; depth and normal change where the body stands out of what is there."""
        nearness = as_float32(self.base / (1 - height / (self.size * FOCAL)))
        front = inside & (nearness >= self.surfaces.nearness[window])
        self.surfaces.label[window][inside] = self.label
        self.surfaces.nearness[window][front] = nearness[front]
        self.surfaces.normal[window][front] = np.broadcast_to(normal, (*inside.shape, 3))[front]
