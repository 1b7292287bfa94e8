"""Animals seen from the side: frozen values that paint themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .brush import Pen, Point
from .draws import Colour, Rng, hsv
from .objects import INK, LIGHT, darker, paler

ANIMALS = ("cat", "dog", "rabbit", "elephant", "giraffe", "pig")
COATS = ("spots", "stripes")
PINK: Colour = (240, 150, 160)


@dataclass(frozen=True)
class Build:
    """Lengths in the animal's frame: feet at 0, up is negative, the head at the right."""

    legs: tuple[float, float]  # length, breadth
    body: tuple[float, float]  # half axes
    head: tuple[float, float, float]  # place, radius
    tail: tuple[Point, ...]


BUILDS = {
    "cat": Build((0.36, 0.11), (0.44, 0.2), (0.46, -0.76, 0.22), ((-0.4, -0.5), (-0.62, -0.7), (-0.56, -1.0))),
    "dog": Build((0.42, 0.13), (0.46, 0.21), (0.5, -0.86, 0.22), ((-0.42, -0.6), (-0.62, -0.82))),
    "rabbit": Build((0.2, 0.14), (0.38, 0.28), (0.4, -0.66, 0.21), ((-0.38, -0.42), (-0.42, -0.43))),
    "elephant": Build((0.46, 0.2), (0.55, 0.36), (0.55, -0.92, 0.28), ((-0.52, -0.8), (-0.66, -0.5))),
    "giraffe": Build((0.55, 0.1), (0.38, 0.2), (0.52, -1.5, 0.15), ((-0.36, -0.75), (-0.48, -0.45))),
    "pig": Build((0.24, 0.13), (0.5, 0.3), (0.5, -0.62, 0.24), ((-0.48, -0.55), (-0.6, -0.66), (-0.52, -0.72))),
}


@dataclass(frozen=True)
class Animal:
    """One of ANIMALS, its feet at (x, y), looking to a side (1 right, -1 left); scale in picture sides."""

    kind: str
    x: float
    y: float
    scale: float
    side: int
    colour: Colour
    coat: str  # "" or one of COATS
    marks: Colour
    collar: tuple[Colour, Colour] | None  # and its bell

    @property
    def foot(self) -> float:
        """Where it stands, picture sides from above."""
        return self.y

    def paint(self, pen: Pen) -> None:
        """Tail, legs, neck, body, head."""
        pen, build = pen.local(self.x, self.y, self.scale), BUILDS[self.kind]
        pen.stroke(self._turned(build.tail), 0.2 if self.kind == "rabbit" else 0.08, darker(self.colour, 0.85))
        self._paint_legs(pen, build)
        middle = self._middle(build)
        if self.kind == "giraffe":
            self._neck(pen, 0.17)
        pen.ellipse(0, middle, *build.body, self.colour)
        self._paint_coat(pen, build)
        if self.collar is not None:
            self._paint_collar(pen, build, *self.collar)
        self._paint_head(pen, build)

    def _turned(self, points: Sequence[Point]) -> list[Point]:
        return [(x * self.side, y) for x, y in points]

    def _middle(self, build: Build) -> float:
        return -build.legs[0] - build.body[1] * 0.75

    def _neck(self, pen: Pen, breadth: float) -> None:
        pen.stroke(self._turned([(0.26, -0.75), (0.46, -1.45)]), breadth, self.colour)

    def _paint_legs(self, pen: Pen, build: Build) -> None:
        length, breadth = build.legs
        for place, tone in ((-0.5, 0.75), (0.45, 0.75), (-0.72, 1.0), (0.68, 1.0)):
            x = place * build.body[0] * self.side
            pen.box(x - breadth / 2, -length - build.body[1] * 0.6, x + breadth / 2, 0, darker(self.colour, tone))

    def _paint_coat(self, pen: Pen, build: Build) -> None:
        middle, (rx, ry) = self._middle(build), build.body
        if self.coat == "spots":
            for x, y in ((-0.6, -0.25), (-0.2, 0.3), (0.1, -0.4), (0.5, 0.15), (-0.25, -0.5), (0.55, -0.45)):
                pen.ellipse(x * rx * self.side, middle + y * ry, 0.09, 0.085, self.marks)
        elif self.coat == "stripes":
            for x in (-0.7, -0.4, -0.1, 0.2, 0.5):
                tall = ry * (1 - x * x) ** 0.5 * 0.95
                pen.stroke(self._turned([(x * rx, middle - tall), (x * rx, middle + tall * 0.5)]), 0.075, self.marks)
        if self.coat and self.kind == "giraffe":
            for y in (-1.3, -1.12, -0.94):
                pen.ellipse((0.46 - (y + 1.45) * -0.28 - 0.02) * self.side, y, 0.06, 0.05, self.marks)

    def _paint_collar(self, pen: Pen, build: Build, band: Colour, bell: Colour) -> None:
        x, y, radius = build.head
        if self.kind == "giraffe":
            line = [(0.28, -1.14), (0.5, -1.08)]
        else:
            line = [(x - radius * 1.05, y + radius * 0.45), (x + radius * 0.5, y + radius * 1.15)]
        pen.stroke(self._turned(line), 0.17, band)
        low = self._turned(line)[1]
        pen.ellipse(low[0], low[1] + 0.08, 0.1, 0.1, bell)

    def _paint_head(self, pen: Pen, build: Build) -> None:
        x, y, radius = build.head
        head = pen.local(x * self.side, y, radius)
        painters = {
            "cat": self._cat, "dog": self._dog, "rabbit": self._rabbit, "elephant": self._elephant,
            "giraffe": self._giraffe, "pig": self._pig,
        }  # fmt: skip
        painters[self.kind](head)
        head.ellipse(0.35 * self.side, -0.2, 0.17, 0.19, LIGHT)
        head.ellipse(0.4 * self.side, -0.2, 0.11, 0.13, INK)

    def _cat(self, head: Pen) -> None:
        for x in (-0.55, 0.55):
            head.polygon([(x - 0.4, -0.5), (x, -1.5), (x + 0.4, -0.5)], darker(self.colour, 0.85))
        head.ellipse(0, 0, 1.05, 0.95, self.colour)
        nose = 0.75 * self.side
        head.ellipse(nose, 0.2, 0.16, 0.12, PINK)
        for y in (0.2, 0.45):
            head.stroke([(nose - 0.5 * self.side, 0.35), (nose + 0.7 * self.side, y)], 0.06, INK)

    def _dog(self, head: Pen) -> None:
        head.ellipse(0, 0, 0.95, 0.95, self.colour)
        head.ellipse(0.9 * self.side, 0.3, 0.6, 0.4, paler(self.colour, 0.3))
        head.ellipse(1.4 * self.side, 0.12, 0.2, 0.18, INK)
        head.ellipse(-0.5 * self.side, 0.15, 0.38, 0.85, darker(self.colour, 0.6))

    def _rabbit(self, head: Pen) -> None:
        for x in (-0.5, 0.05):
            head.ellipse(x * self.side, -1.6, 0.28, 1.0, darker(self.colour, 0.9))
            head.ellipse(x * self.side, -1.55, 0.13, 0.75, PINK)
        head.ellipse(0, 0, 1, 0.9, self.colour)
        head.ellipse(0.88 * self.side, 0.15, 0.16, 0.13, PINK)

    def _elephant(self, head: Pen) -> None:
        trunk = [(0.6, 0.2), (1.15, 0.9), (1.2, 1.8), (1.5, 2.3)]
        head.stroke(self._turned(trunk), 0.5, darker(self.colour, 0.92))
        head.stroke(self._turned([(0.6, 0.7), (1.5, 1.1)]), 0.2, (245, 240, 225))
        head.ellipse(0, 0, 1, 1, self.colour)
        head.ellipse(-0.7 * self.side, 0.1, 0.75, 1.0, darker(self.colour, 0.8))

    def _giraffe(self, head: Pen) -> None:
        for x in (-0.5, 0.1):
            head.stroke(self._turned([(x, -0.6), (x - 0.1, -1.5)]), 0.22, darker(self.colour, 0.6))
        head.polygon(self._turned([(-1.6, -0.9), (-0.7, -0.5), (-0.9, 0.0)]), darker(self.colour, 0.8))
        head.ellipse(0, 0, 1, 0.85, self.colour)
        head.ellipse(0.9 * self.side, 0.4, 0.75, 0.5, paler(self.colour, 0.35))

    def _pig(self, head: Pen) -> None:
        head.ellipse(0, 0, 1, 0.95, self.colour)
        head.polygon(self._turned([(-0.7, -0.6), (-0.5, -1.4), (0.1, -0.8)]), darker(self.colour, 0.75))
        head.ellipse(0.95 * self.side, 0.15, 0.42, 0.4, darker(self.colour, 0.85))
        for x in (0.85, 1.1):
            head.ellipse(x * self.side, 0.15, 0.08, 0.12, darker(self.colour, 0.5))


def draw_fur(rng: Rng) -> Colour:
    """Brown, grey, sandy or pink."""
    return hsv(rng.uniform(-0.03, 0.13), rng.uniform(0.1, 0.7), rng.uniform(0.45, 0.95))


def draw_animal(rng: Rng, coated: bool = False) -> Animal:
    """An animal in the middle of the picture; a coat with marks and a collar only where coated."""
    fur = draw_fur(rng)
    return Animal(
        kind=str(rng.choice(ANIMALS)), x=rng.uniform(0.4, 0.6), y=rng.uniform(0.76, 0.9), scale=rng.uniform(0.36, 0.48),
        side=int(rng.choice([-1, 1])), colour=fur, coat=str(rng.choice(["", *COATS])) if coated else "",
        marks=darker(fur, 0.5), collar=None,
    )  # fmt: skip
