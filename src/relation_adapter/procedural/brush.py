"""A pen that paints antialiased shapes in local coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy

from PIL import Image, ImageDraw

from .draws import Colour

Point = tuple[float, float]

OVERSAMPLING = 2
CIRCLE = [(math.cos(turn * math.tau / 20), math.sin(turn * math.tau / 20)) for turn in range(20)]


def ellipse_points(x: float, y: float, rx: float, ry: float, start: float = 0, end: float = 360) -> list[Point]:
    """Points of an arc, degrees clockwise from the right (y points down)."""
    steps = max(6, int((end - start) / 18))
    angles = [math.radians(start + (end - start) * step / steps) for step in range(steps + 1)]
    return [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles]


class Pen:
    """Paints on a transparent square; lengths are fractions of its side, or of a local frame's scale."""

    def __init__(self, size: int) -> None:
        side = size * OVERSAMPLING
        self.image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        self.canvas = ImageDraw.Draw(self.image)
        self.frame: tuple[float, float, float, float] = (0.0, 0.0, float(side), 0.0)

    def local(self, x: float, y: float, scale: float, angle: float = 0.0) -> Pen:
        """The same canvas seen from (x, y), with lengths times scale, turned by angle (degrees)."""
        pen = copy(self)
        [(left, top)] = self._place([(x, y)])
        pen.frame = (left, top, self.frame[2] * scale, self.frame[3] + math.radians(angle))
        return pen

    def part(self, name: str, nearness: float | None = None) -> Pen:
        """The pen for a part of the scene; this one paints colours alone, so that the name and the place do not matter.

        nearness: 1 at the lens, 0 infinitely far away; None for that of the part it belongs to.
        """
        return self

    def floor(self, horizon: float, colour: Colour) -> None:
        """The ground from the horizon down to the lower rim."""
        self.box(0, horizon, 1, 1, colour)

    def _place(self, points: Sequence[Point]) -> list[Point]:
        left, top, scale, turn = self.frame
        cos, sin = math.cos(turn) * scale, math.sin(turn) * scale
        return [(left + cos * x - sin * y, top + sin * x + cos * y) for x, y in points]

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """Fill a closed outline."""
        self.canvas.polygon(self._place(points), fill=colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """Fill an ellipse with centre and half axes."""
        self.polygon([(x + rx * cos, y + ry * sin) for cos, sin in CIRCLE], colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill a rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def stroke(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A line with round joints, at least one canvas pixel wide."""
        pixels = max(1, round(width * self.frame[2]))
        placed = self._place(points)
        self.canvas.line(placed, fill=colour, width=pixels, joint="curve")
        if pixels > 3:
            for x, y in (placed[0], placed[-1]):
                self.canvas.ellipse((x - pixels / 2, y - pixels / 2, x + pixels / 2, y + pixels / 2), fill=colour)

    def ring(self, x: float, y: float, rx: float, ry: float, width: float, colour: Colour) -> None:
        """An ellipse's outline."""
        self.stroke(ellipse_points(x, y, rx, ry), width, colour)

    def layer(self) -> Image.Image:
        """What was painted, RGBA, at the size asked for."""
        return self.image.reduce(OVERSAMPLING)
