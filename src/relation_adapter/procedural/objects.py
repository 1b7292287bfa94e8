"""Single objects to add, move and paint: props, a cup, a toy block with a letter, a table to stand on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .brush import Pen, Point, ellipse_points
from .draws import Colour, Rng, natural, vivid
from .letters import write

LIGHT: Colour = (255, 255, 255)
YOLK: Colour = (255, 226, 120)
INK: Colour = (50, 44, 48)
GREEN: Colour = (50, 130, 50)
WOOD: Colour = (120, 76, 40)


def darker(tone: Colour, factor: float = 0.7) -> Colour:
    """The colour times a factor within [0, 1]."""
    red, green, blue = (int(value * factor) for value in tone)
    return red, green, blue


def paler(tone: Colour, weight: float = 0.5) -> Colour:
    """The colour mixed with white."""
    red, green, blue = (int(value + (255 - value) * weight) for value in tone)
    return red, green, blue


def star_points(x: float, y: float, radius: float, tips: int = 5, inner: float = 0.42) -> list[Point]:
    """The outline of a star, one tip upwards."""
    angles = [step * math.pi / tips for step in range(2 * tips)]
    reach = [radius * (1 if step % 2 == 0 else inner) for step in range(2 * tips)]
    return [(x + far * math.sin(angle), y - far * math.cos(angle)) for far, angle in zip(reach, angles, strict=True)]


def heart_points(x: float, y: float, radius: float) -> list[Point]:
    """The outline of a heart within a circle."""
    turns = [step * math.tau / 28 for step in range(28)]
    across = [0.95 * math.sin(turn) ** 3 for turn in turns]
    down = [-0.72 * math.cos(t) + 0.28 * math.cos(2 * t) + 0.12 * math.cos(3 * t) for t in turns]
    return [(x + radius * px, y + radius * py) for px, py in zip(across, down, strict=True)]


def _balloon(pen: Pen, tone: Colour) -> None:
    pen.stroke([(0, 1), (0.15, 1.6), (-0.05, 2.4)], 0.08, (60, 60, 60))
    pen.ellipse(0, 0, 0.85, 1.05, tone)
    pen.ellipse(-0.3, -0.4, 0.18, 0.25, LIGHT)


def _ball(pen: Pen, tone: Colour) -> None:
    pen.ellipse(0, 0, 1, 1, tone)
    pen.stroke(ellipse_points(0, 0, 0.45, 1, 90, 270), 0.15, LIGHT)
    pen.stroke([(-0.9, 0), (0.9, 0)], 0.15, LIGHT)


def _heart(pen: Pen, tone: Colour) -> None:
    pen.polygon(heart_points(0, 0, 1.1), tone)
    pen.ellipse(-0.45, -0.4, 0.14, 0.2, paler(tone, 0.7))


def _star(pen: Pen, tone: Colour) -> None:
    pen.polygon(star_points(0, 0, 1.1), tone)


def _flower(pen: Pen, tone: Colour) -> None:
    pen.stroke([(0, 0), (0.1, 2.2)], 0.16, GREEN)
    for x, y in ellipse_points(0, 0, 0.6, 0.6):
        pen.ellipse(x, y, 0.35, 0.35, tone)
    pen.ellipse(0, 0, 0.35, 0.35, YOLK)


def _mug(pen: Pen, tone: Colour) -> None:
    pen.ring(0.72, 0.05, 0.36, 0.42, 0.18, darker(tone))
    pen.polygon([(-0.75, -0.75), (0.75, -0.75), (0.62, 0.95), (-0.62, 0.95)], tone)
    pen.ellipse(0, -0.75, 0.75, 0.2, paler(tone))
    pen.ellipse(0, -0.72, 0.62, 0.14, darker(tone, 0.4))


def _apple(pen: Pen, tone: Colour) -> None:
    pen.ellipse(-0.35, 0.1, 0.6, 0.8, tone)
    pen.ellipse(0.35, 0.1, 0.6, 0.8, tone)
    pen.stroke([(0, -0.5), (0.12, -1.05)], 0.14, WOOD)
    pen.polygon([(0.12, -0.8), (0.45, -1.15), (0.85, -1.0), (0.5, -0.7)], GREEN)
    pen.ellipse(-0.5, -0.2, 0.12, 0.2, paler(tone, 0.7))


def _fish(pen: Pen, tone: Colour) -> None:
    pen.polygon([(0.5, 0), (1.15, -0.55), (1.15, 0.55)], darker(tone))
    pen.polygon([(-0.3, -0.4), (0.2, -0.95), (0.4, -0.3)], darker(tone))
    pen.ellipse(-0.15, 0, 0.9, 0.55, tone)
    pen.stroke(ellipse_points(-0.35, 0, 0.25, 0.42, 300, 420), 0.08, darker(tone))
    pen.ellipse(-0.62, -0.12, 0.15, 0.15, LIGHT)
    pen.ellipse(-0.66, -0.12, 0.08, 0.08, INK)


def _mushroom(pen: Pen, tone: Colour) -> None:
    pen.polygon([(-0.28, 0), (0.28, 0), (0.38, 1), (-0.38, 1)], (240, 228, 205))
    pen.polygon(ellipse_points(0, 0.1, 1.05, 1.05, 180, 360), tone)
    for x, y, radius in ((-0.5, -0.3, 0.17), (0.05, -0.6, 0.19), (0.55, -0.2, 0.15)):
        pen.ellipse(x, y, radius, radius, LIGHT)


def _butterfly(pen: Pen, tone: Colour) -> None:
    for side in (-1, 1):
        pen.ellipse(side * 0.55, -0.4, 0.52, 0.5, tone)
        pen.ellipse(side * 0.45, 0.45, 0.4, 0.42, darker(tone))
        pen.ellipse(side * 0.6, -0.4, 0.22, 0.22, paler(tone, 0.6))
        pen.stroke([(0, -0.6), (side * 0.25, -1.0)], 0.06, INK)
    pen.ellipse(0, 0, 0.13, 0.75, INK)


def _umbrella(pen: Pen, tone: Colour) -> None:
    pen.stroke([(0, -0.9), (0, 0.8), (0.15, 1.0), (0.35, 0.85)], 0.12, WOOD)
    pen.polygon(ellipse_points(0, 0, 1.1, 0.95, 180, 360), tone)
    pen.polygon(ellipse_points(0, 0, 0.4, 0.95, 180, 360), paler(tone))


def _gift(pen: Pen, tone: Colour) -> None:
    pen.box(-0.85, -0.4, 0.85, 0.95, tone)
    pen.box(-0.95, -0.55, 0.95, -0.2, darker(tone, 0.85))
    pen.box(-0.16, -0.55, 0.16, 0.95, paler(tone, 0.75))
    for side in (-1, 1):
        pen.ring(side * 0.32, -0.78, 0.26, 0.2, 0.14, paler(tone, 0.75))


PAINTERS: dict[str, Callable[[Pen, Colour], None]] = {
    "balloon": _balloon, "ball": _ball, "heart": _heart, "star": _star, "flower": _flower, "mug": _mug,
    "apple": _apple, "fish": _fish, "mushroom": _mushroom, "butterfly": _butterfly, "umbrella": _umbrella,
    "gift": _gift,
}  # fmt: skip
PROPS = tuple(PAINTERS)
STANDING = ("mug", "apple", "mushroom", "gift", "fish", "umbrella")  # no two turns of them look alike


@dataclass(frozen=True)
class Prop:
    """A single object, one of PROPS, in front of a scene; angle in degrees."""

    kind: str
    x: float
    y: float
    scale: float
    colour: Colour
    angle: float = 0.0

    def paint(self, pen: Pen) -> None:
        """Within the unit circle around (x, y), but for strings and stems."""
        PAINTERS[self.kind](pen.local(self.x, self.y, self.scale, self.angle), self.colour)


@dataclass(frozen=True)
class Table:
    """A plain surface over the foot of the picture."""

    y: float
    colour: Colour

    def paint(self, pen: Pen) -> None:
        """An edge, and the top in front of it."""
        pen.box(0, self.y, 1, 1, self.colour)
        pen.box(0, self.y, 1, self.y + 0.02, darker(self.colour))


@dataclass(frozen=True)
class Cup:
    """A large cup seen from above its rim, so that what is in it can be seen."""

    x: float
    y: float
    scale: float
    colour: Colour
    drink: Colour | None

    def paint(self, pen: Pen) -> None:
        """Within the unit circle around (x, y)."""
        pen = pen.local(self.x, self.y, self.scale)
        pen.ellipse(0, 0.92, 1.3, 0.3, paler(self.colour, 0.35))
        pen.ellipse(0, 0.86, 0.8, 0.16, darker(self.colour))
        pen.ring(0.95, 0.1, 0.36, 0.34, 0.16, darker(self.colour))
        pen.polygon([(-1, -0.35), *ellipse_points(0, 0.2, 0.9, 0.75, 0, 180)[::-1], (1, -0.35)], self.colour)
        pen.ellipse(0, -0.35, 1, 0.42, paler(self.colour, 0.3))
        pen.ellipse(0, -0.33, 0.88, 0.34, darker(self.colour, 0.55))
        if self.drink is not None:
            pen.ellipse(0, -0.28, 0.84, 0.29, self.drink)
            for x in (-0.35, 0.0, 0.35):
                pen.stroke([(x, -0.75), (x + 0.1, -0.95), (x - 0.08, -1.15), (x + 0.04, -1.4)], 0.1, (236, 236, 240))


@dataclass(frozen=True)
class Block:
    """A toy block with a letter on its face."""

    x: float
    y: float
    scale: float
    colour: Colour
    ink: Colour
    letter: str

    def paint(self, pen: Pen) -> None:
        """Within the square of half side 1.1 around (x, y)."""
        pen = pen.local(self.x, self.y, self.scale)
        pen.polygon([(-0.9, -0.9), (-0.6, -1.2), (1.2, -1.2), (0.9, -0.9)], paler(self.colour, 0.35))
        pen.polygon([(0.9, -0.9), (1.2, -1.2), (1.2, 0.6), (0.9, 0.9)], darker(self.colour))
        pen.box(-0.9, -0.9, 0.9, 0.9, self.colour)
        pen.box(-0.74, -0.74, 0.74, 0.74, paler(self.colour, 0.75))
        write(pen, self.letter, 0, 0, 1.1, self.ink, 0.24)


def draw_prop(rng: Rng, kind: str) -> Prop:
    """An object anywhere but at the rim."""
    return Prop(kind, rng.uniform(0.18, 0.82), rng.uniform(0.2, 0.6), rng.uniform(0.09, 0.16), vivid(rng))


def draw_table(rng: Rng) -> Table:
    """A table top of any colour."""
    return Table(rng.uniform(0.6, 0.7), natural(rng))
