"""Faces and figures: frozen values that paint themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from .brush import Pen, ellipse_points
from .draws import Colour, colour, hsv, natural, vivid

Rng = np.random.Generator

HATS = ("cap", "top", "beanie", "cone", "crown")
HAIRCUTS = ("bald", "short", "long", "curly", "bun")
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
class Face:
    """A head with shoulders; lengths in head half-heights, place and scale in picture sides."""

    x: float
    y: float
    scale: float
    tilt: float  # degrees
    width: float  # head half-width
    skin: Colour
    hair: Colour
    haircut: str
    clothes: Colour
    iris: Colour
    eyes_open: bool
    mouth: float  # -1 sad .. 1 smiling
    mouth_open: float  # 0 closed .. 1
    beard: bool
    hat: Hat | None
    glasses: Glasses | None

    def paint(self, pen: Pen) -> None:
        """Back to front."""
        body = pen.local(self.x, self.y, self.scale)
        head = pen.local(self.x, self.y, self.scale, self.tilt)
        if self.haircut == "long":
            head.ellipse(0, 0.35, self.width * 1.3, 1.35, self.hair)
        body.polygon(
            [*ellipse_points(0, 2.35, 1.5 * self.width / 0.8, 1.15, 180, 360), (1.5, 4), (-1.5, 4)], self.clothes
        )
        body.box(-0.3, 0.7, 0.3, 1.4, _shade(self.skin, 0.85))
        for side in (-1, 1):
            head.ellipse(side * self.width, 0.05, 0.14, 0.22, _shade(self.skin, 0.92))
        self._paint_head(head)
        self._paint_eyes(head)
        self._paint_mouth(head)
        wide = head.local(0, 0, 1)
        if self.glasses is not None:
            self.glasses.paint(wide)
        if self.hat is not None:
            self.hat.paint(wide)

    def _paint_head(self, pen: Pen) -> None:
        if self.haircut == "curly":
            for angle in range(170, 380, 25):
                x, y = math.cos(math.radians(angle)), math.sin(math.radians(angle))
                pen.ellipse(x * self.width, y * 0.85 - 0.1, 0.32, 0.32, self.hair)
        if self.haircut == "bun":
            pen.ellipse(0, -1.12, 0.36, 0.32, self.hair)
        pen.ellipse(0, 0, self.width, 1, self.skin)
        if self.beard:
            lower = ellipse_points(0, 0.02, self.width * 1.02, 1.04, 5, 175)
            pen.polygon([*lower, (-0.3, 0.3), (0.3, 0.3)], self.hair)
        if self.haircut != "bald":
            cap = ellipse_points(0, -0.05, self.width * 1.06, 1.04, 195, 345)
            pen.polygon([*cap, (self.width * 0.5, -0.5), (-self.width * 0.6, -0.6)], self.hair)
        pen.stroke([(0.02, 0.0), (0.1, 0.26), (-0.04, 0.28)], 0.05, _shade(self.skin, 0.72))

    def _paint_eyes(self, pen: Pen) -> None:
        for x in (-0.36, 0.36):
            pen.stroke([(x - 0.2, -0.34), (x, -0.4), (x + 0.2, -0.34)], 0.07, _shade(self.hair, 0.6))
            if self.eyes_open:
                pen.ellipse(x, -0.08, 0.21, 0.15, WHITE)
                pen.ellipse(x, -0.08, 0.12, 0.13, self.iris)
                pen.ellipse(x, -0.08, 0.06, 0.07, DARK)
            else:
                pen.ellipse(x, -0.1, 0.21, 0.14, _shade(self.skin, 0.9))
                pen.stroke(ellipse_points(x, -0.12, 0.21, 0.15, 15, 165), 0.07, DARK)

    def _paint_mouth(self, pen: Pen) -> None:
        bend = 0.2 * self.mouth
        middle = 0.56 + bend * 0.5
        curve = [(-0.32, middle - bend), (-0.16, middle - bend * 0.25), (0.0, middle)]
        curve += [(0.16, middle - bend * 0.25), (0.32, middle - bend)]
        if self.mouth_open > 0:
            pen.ellipse(0, 0.6, 0.24, 0.08 + 0.2 * self.mouth_open, (90, 20, 25))
            pen.ellipse(0, 0.6 + 0.12 * self.mouth_open, 0.14, 0.08 * self.mouth_open, (215, 90, 95))
        else:
            pen.stroke(curve, 0.1, (160, 50, 55))


@dataclass(frozen=True)
class Figure:
    """A standing person; lengths in body half-heights, place and scale in picture sides."""

    x: float
    y: float
    scale: float
    width: float  # 1 is usual
    arms: tuple[float, float]  # degrees from hanging down; 180 straight up
    bend: float  # degrees at the elbows
    stride: float  # half distance of the feet
    skin: Colour
    hair: Colour
    clothes: Colour
    trousers: Colour
    thin: bool  # a stick figure
    hat: Hat | None

    def paint(self, pen: Pen) -> None:
        """Legs, arms, trunk, head."""
        body = pen.local(self.x, self.y, self.scale)
        limb = 0.06 if self.thin else 0.13 * (0.5 + 0.5 * self.width)
        for side in (-1, 1):
            foot = (side * self.stride, 0.97)
            body.stroke([(side * 0.07 * self.width, 0.1), foot], limb * 1.1, self.trousers)
        for side, angle in zip((-1, 1), self.arms, strict=True):
            self._paint_arm(body, side, angle, limb)
        if self.thin:
            body.stroke([(0, -0.5), (0, 0.15)], limb, self.clothes)
        else:
            shoulder, hip = 0.24 * self.width, 0.2 * self.width
            body.polygon([(-shoulder, -0.5), (shoulder, -0.5), (hip, 0.18), (-hip, 0.18)], self.clothes)
        body.ellipse(0, -0.74, 0.19, 0.22, self.skin)
        body.polygon(ellipse_points(0, -0.76, 0.2, 0.23, 180, 360), self.hair)
        if self.hat is not None:
            self.hat.paint(body.local(0, -0.74, 0.23))

    def _paint_arm(self, body: Pen, side: int, angle: float, limb: float) -> None:
        reach = 0.3
        shoulder = (side * (0.0 if self.thin else 0.22 * self.width), -0.44)
        upper, lower = math.radians(angle), math.radians(min(angle + self.bend, 185))
        elbow = (shoulder[0] + side * reach * math.sin(upper), shoulder[1] + reach * math.cos(upper))
        hand = (elbow[0] + side * reach * math.sin(lower), elbow[1] + reach * math.cos(lower))
        body.stroke([shoulder, elbow, hand], limb * 0.8, self.clothes)
        body.ellipse(hand[0], hand[1], limb * 0.55, limb * 0.55, self.skin)


def _shade(tone: Colour, factor: float) -> Colour:
    red, green, blue = (int(value * factor) for value in tone)
    return red, green, blue


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


def draw_face(rng: Rng, adorned: bool = False) -> Face:
    """A face with open eyes; hat, glasses and beard only where adorned."""
    face = Face(
        x=rng.uniform(0.38, 0.62), y=rng.uniform(0.42, 0.56), scale=rng.uniform(0.2, 0.33), tilt=rng.normal(0, 7),
        width=rng.uniform(0.7, 0.92), skin=draw_skin(rng), hair=draw_hair(rng), haircut=str(rng.choice(HAIRCUTS)),
        clothes=natural(rng), iris=colour(saturation=(0.3, 0.8), value=(0.2, 0.7))(rng), eyes_open=True,
        mouth=rng.uniform(-0.3, 0.9), mouth_open=0.0, beard=False, hat=None, glasses=None,
    )  # fmt: skip
    if not adorned:
        return face
    return replace(
        face,
        hat=draw_hat(rng) if rng.random() < 0.3 else None,
        glasses=draw_glasses(rng) if rng.random() < 0.25 else None,
        beard=bool(rng.random() < 0.25),
        eyes_open=bool(rng.random() < 0.85),
        mouth_open=rng.uniform(0.3, 1) if rng.random() < 0.2 else 0.0,
    )


def draw_figure(rng: Rng, adorned: bool = False) -> Figure:
    """A figure with lowered arms; a hat and any arms only where adorned."""
    highest = 175 if adorned else 40
    return Figure(
        x=rng.uniform(0.32, 0.68), y=rng.uniform(0.48, 0.58), scale=rng.uniform(0.3, 0.44), width=rng.uniform(0.8, 1.3),
        arms=(rng.uniform(8, highest), rng.uniform(8, highest)), bend=rng.uniform(-10, 25),
        stride=rng.uniform(0.05, 0.32), skin=draw_skin(rng), hair=draw_hair(rng), clothes=natural(rng),
        trousers=natural(rng), thin=bool(rng.random() < 0.25),
        hat=draw_hat(rng) if adorned and rng.random() < 0.3 else None,
    )  # fmt: skip
