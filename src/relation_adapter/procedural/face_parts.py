"""What people wear and how faces age: frozen values that paint themselves on a head that is the unit circle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .brush import Pen, ellipse_points
from .draws import Colour, Rng, colour, hsv, vivid
from .objects import darker, star_points

HATS = ("cap", "top", "beanie", "cone", "crown", "cowboy", "chef")
BEARDS = ("full", "goatee", "long", "moustache")
EARRINGS = ("ring", "drop", "star")
DARK: Colour = (30, 24, 24)
WHITE: Colour = (250, 250, 248)


@dataclass(frozen=True)
class Hat:
    """One of HATS in a colour with a band."""

    kind: str
    colour: Colour
    band: Colour

    def paint(self, pen: Pen) -> None:
        """On a head that is the unit circle."""
        if self.kind == "cap":
            pen.polygon(ellipse_points(0, -0.42, 0.95, 0.75, 180, 360), self.colour)
            pen.polygon([(-0.2, -0.48), (1.45, -0.42), (1.4, -0.28), (-0.2, -0.34)], self.band)
        elif self.kind == "top":
            pen.box(-0.68, -1.75, 0.68, -0.55, self.colour)
            pen.box(-0.68, -0.85, 0.68, -0.6, self.band)
            pen.ellipse(0, -0.52, 1.25, 0.16, self.colour)
        elif self.kind == "beanie":
            pen.polygon(ellipse_points(0, -0.4, 0.95, 0.95, 180, 360), self.colour)
            pen.box(-1.0, -0.6, 1.0, -0.32, self.band)
            pen.ellipse(0, -1.4, 0.22, 0.22, self.band)
        elif self.kind == "cone":
            pen.polygon([(-0.75, -0.5), (0.0, -2.0), (0.75, -0.5)], self.colour)
            pen.polygon([(-0.5, -1.0), (0.5, -1.0), (0.62, -0.75), (-0.62, -0.75)], self.band)
        else:
            self._paint_rare(pen)

    def _paint_rare(self, pen: Pen) -> None:
        if self.kind == "cowboy":
            pen.polygon(
                [(-0.72, -0.55), (-0.6, -1.3), (-0.15, -1.15), (0.15, -1.15), (0.6, -1.3), (0.72, -0.55)], self.colour
            )
            pen.box(-0.72, -0.8, 0.72, -0.58, self.band)
            pen.polygon(
                [(-1.5, -0.95), (-0.9, -0.62), (0.9, -0.62), (1.5, -0.95), (0.9, -0.38), (-0.9, -0.38)], self.colour
            )
        elif self.kind == "chef":
            for x, y in ((-0.55, -1.35), (0, -1.55), (0.55, -1.35)):
                pen.ellipse(x, y, 0.5, 0.45, self.colour)
            pen.box(-0.75, -1.3, 0.75, -0.45, self.colour)
            pen.box(-0.78, -0.7, 0.78, -0.42, self.band)
        else:
            spikes = [(-0.8, -0.4), (-0.9, -1.3), (-0.45, -0.9), (0, -1.45), (0.45, -0.9), (0.9, -1.3), (0.8, -0.4)]
            pen.polygon(spikes, self.colour)
            pen.box(-0.8, -0.6, 0.8, -0.4, self.band)


@dataclass(frozen=True)
class Glasses:
    """Round or square frames; a lens colour makes them sunglasses."""

    square: bool
    colour: Colour
    lens: Colour | None

    def paint(self, pen: Pen) -> None:
        """On a head that is the unit circle, eyes at (+-0.36, -0.08)."""
        for x in (-0.38, 0.38):
            corners = [(x - 0.29, -0.28), (x + 0.29, -0.28), (x + 0.25, 0.14), (x - 0.25, 0.14), (x - 0.29, -0.28)]
            outline = corners if self.square else ellipse_points(x, -0.07, 0.28, 0.25)
            if self.lens is not None:
                pen.polygon(outline, self.lens)
            pen.stroke(outline, 0.08, self.colour)
        pen.stroke([(-0.12, -0.1), (0.12, -0.1)], 0.08, self.colour)


@dataclass(frozen=True)
class Earrings:
    """A pair of one of EARRINGS."""

    kind: str
    colour: Colour
    radius: float

    def paint(self, pen: Pen, width: float) -> None:
        """Below the lobes of a head of that half-width."""
        for x in (-width - 0.04, width + 0.04):
            middle = 0.28 + self.radius
            if self.kind == "ring":
                pen.ring(x, middle, self.radius, self.radius, 0.11, self.colour)
            elif self.kind == "drop":
                pen.polygon([(x, 0.2), (x + self.radius * 0.8, middle), (x - self.radius * 0.8, middle)], self.colour)
                pen.ellipse(x, middle, self.radius * 0.8, self.radius * 0.8, self.colour)
            else:
                pen.polygon(star_points(x, middle, self.radius * 1.25), self.colour)


def paint_beard(pen: Pen, kind: str, width: float, tone: Colour) -> None:
    """Hair around the mouth, which is painted later."""
    if kind == "full":
        lower = ellipse_points(0, 0.02, width * 1.02, 1.04, 5, 175)
        pen.polygon([*lower, (-0.3, 0.3), (0.3, 0.3)], tone)
    elif kind == "long":
        pen.polygon(
            [(width, 0.15), (width * 0.75, 1.2), (0, 1.95), (-width * 0.75, 1.2), (-width, 0.15), (0, 0.4)], tone
        )
    elif kind == "goatee":
        pen.ellipse(0, 0.84, 0.36, 0.36, tone)
        pen.polygon([(-0.3, 0.85), (0.3, 0.85), (0, 1.4)], tone)
    elif kind == "moustache":
        for side in (-1, 1):
            curl = [
                (0, 0.3),
                (side * 0.35, 0.33),
                (side * 0.6, 0.22),
                (side * 0.52, 0.48),
                (side * 0.2, 0.5),
                (0, 0.44),
            ]
            pen.polygon(curl, tone)


def paint_mask(pen: Pen, width: float, tones: Sequence[Colour]) -> None:
    """A cloth before nose and mouth with pleats of the second colour, and straps to the ears."""
    for y in (0.2, 0.75):
        pen.stroke([(-width, 0.1), (-width * 0.7, y)], 0.06, tones[1])
        pen.stroke([(width, 0.1), (width * 0.7, y)], 0.06, tones[1])
    right = [(width * 0.75, 0.14), (width * 0.7, 0.75)]
    pen.polygon([(0, 0.06), *right, (0, 0.98), *((-x, y) for x, y in right[::-1])], tones[0])
    for y in (0.36, 0.6):
        pen.stroke([(-width * 0.7, y), (0, y + 0.06), (width * 0.7, y)], 0.07, tones[1])


FRECKLES = [(0.2, 0.16), (0.34, 0.14), (0.47, 0.2), (0.26, 0.28), (0.4, 0.3), (0.54, 0.33), (0.31, 0.41), (0.46, 0.43)]


def paint_freckles(pen: Pen, width: float, tone: Colour, radius: float) -> None:
    """Spots over cheeks and nose."""
    for x, y in FRECKLES:
        for side in (-1, 1):
            pen.ellipse(side * x * width / 0.75, y + 0.04 * side, radius, radius, tone)
    pen.ellipse(0, 0.1, radius, radius, tone)


def paint_wrinkles(pen: Pen, width: float, skin: Colour, depth: float) -> None:
    """Lines on the forehead, beside the eyes, under them, and from nose to mouth."""
    tone = darker(skin, 1 - depth)
    for y in (-0.52, -0.63, -0.74):
        pen.stroke([(-0.36, y), (0, y - 0.04), (0.36, y)], 0.05, tone)
    for side in (-1, 1):
        pen.stroke(ellipse_points(side * 0.36, 0.0, 0.22, 0.16, 20, 160), 0.06, tone)
        pen.stroke([(side * 0.2, 0.26), (side * 0.42, 0.4), (side * 0.46, 0.68)], 0.06, tone)
        for y in (-0.2, 0.04):
            pen.stroke([(side * width * 0.78, -0.08 + y * 0.3), (side * width * 0.95, y)], 0.05, tone)


def draw_hat(rng: Rng) -> Hat:
    """Any hat in vivid colours."""
    return Hat(str(rng.choice(HATS)), vivid(rng), vivid(rng))


def draw_glasses(rng: Rng) -> Glasses:
    """Dark or vivid frames; half of them are sunglasses."""
    frame = DARK if rng.random() < 0.6 else vivid(rng)
    lens = colour(value=(0.05, 0.3))(rng) if rng.random() < 0.5 else None
    return Glasses(bool(rng.random() < 0.5), frame, lens)


def draw_skin(rng: Rng) -> Colour:
    """Skin from pale to dark."""
    depth = rng.random()
    return hsv(rng.uniform(0.03, 0.09), 0.25 + 0.4 * depth, 0.98 - 0.6 * depth)


def draw_hair(rng: Rng) -> Colour:
    """Black to blond and grey, sometimes dyed."""
    if rng.random() < 0.15:
        return vivid(rng)
    return hsv(rng.uniform(0.03, 0.13), rng.uniform(0.05, 0.8), rng.uniform(0.08, 0.9))
