"""Whole persons: frozen values that paint themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .brush import Pen, ellipse_points
from .draws import Colour, natural
from .face_parts import Hat, draw_hair, draw_hat, draw_skin

Rng = np.random.Generator


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

    @property
    def foot(self) -> float:
        """Where it stands, picture sides from above."""
        return self.y + 0.97 * self.scale

    def paint(self, pen: Pen) -> None:
        """Legs, arms, trunk, head."""
        body = pen.local(self.x, self.y, self.scale)
        limb = 0.06 if self.thin else 0.13 * (0.5 + 0.5 * self.width)
        for side in (-1, 1):
            foot = (side * self.stride, 0.97)
            body.part("trousers").stroke([(side * 0.07 * self.width, 0.1), foot], limb * 1.1, self.trousers)
        for side, angle in zip((-1, 1), self.arms, strict=True):
            self._paint_arm(body, side, angle, limb)
        if self.thin:
            body.part("clothes").stroke([(0, -0.5), (0, 0.15)], limb, self.clothes)
        else:
            shoulder, hip = 0.24 * self.width, 0.2 * self.width
            body.part("clothes").polygon([(-shoulder, -0.5), (shoulder, -0.5), (hip, 0.18), (-hip, 0.18)], self.clothes)
        body.ellipse(0, -0.74, 0.19, 0.22, self.skin)
        body.part("hair").polygon(ellipse_points(0, -0.76, 0.2, 0.23, 180, 360), self.hair)
        if self.hat is not None:
            self.hat.paint(body.part("hat").local(0, -0.74, 0.23))

    def _paint_arm(self, body: Pen, side: int, angle: float, limb: float) -> None:
        reach = 0.3
        shoulder = (side * (0.0 if self.thin else 0.22 * self.width), -0.44)
        upper, lower = math.radians(angle), math.radians(min(angle + self.bend, 185))
        elbow = (shoulder[0] + side * reach * math.sin(upper), shoulder[1] + reach * math.cos(upper))
        hand = (elbow[0] + side * reach * math.sin(lower), elbow[1] + reach * math.cos(lower))
        body.part("clothes").stroke([shoulder, elbow, hand], limb * 0.8, self.clothes)
        body.ellipse(hand[0], hand[1], limb * 0.55, limb * 0.55, self.skin)


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
