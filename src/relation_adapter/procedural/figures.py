"""Whole persons: frozen values that paint themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .brush import Pen, Point, ellipse_points
from .draws import Colour, Rng, natural
from .face_parts import Hat, draw_hair, draw_hat, draw_skin
from .objects import darker, paler

LEG, SHIN = 0.87, 0.45  # lengths, body half-heights


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
    legs: float = 1.0  # their length; 1 is usual
    kick: tuple[int, float] | None = None  # the leg on this side (-1 left, 1 right) is raised by degrees
    seat: tuple[int, Colour] | None = None  # sits on a stool, knees to this side; y is that of the seated body
    umbrella: tuple[int, Colour] | None = None  # held on this side

    @property
    def foot(self) -> float:
        """Where it stands, picture sides from above."""
        return self.y + (0.1 + SHIN if self.seat else 0.1 + LEG * self.legs) * self.scale

    def paint(self, pen: Pen) -> None:
        """Legs, arms, trunk, head."""
        body = pen.local(self.x, self.y, self.scale)
        limb = 0.06 if self.thin else 0.13 * (0.5 + 0.5 * self.width)
        if self.seat is not None:
            body.part("object").box(-0.28, 0.2, 0.28, 0.14 + SHIN, self.seat[1])
            body.part("object").box(-0.36, 0.16, 0.36, 0.27, darker(self.seat[1]))
        else:
            self._paint_legs(body, limb)
        for side, angle in zip((-1, 1), self.arms, strict=True):
            self._paint_arm(body, side, angle, limb)
        if self.thin:
            body.part("clothes").stroke([(0, -0.5), (0, 0.15)], limb, self.clothes)
        else:
            shoulder, hip = 0.24 * self.width, 0.2 * self.width
            body.part("clothes").polygon([(-shoulder, -0.5), (shoulder, -0.5), (hip, 0.18), (-hip, 0.18)], self.clothes)
        if self.seat is not None:
            self._paint_legs(body, limb)
        body.ellipse(0, -0.74, 0.19, 0.22, self.skin)
        body.part("hair").polygon(ellipse_points(0, -0.76, 0.2, 0.23, 180, 360), self.hair)
        if self.hat is not None:
            self.hat.paint(body.part("hat").local(0, -0.74, 0.23))
        if self.umbrella is not None:
            self._paint_umbrella(body, *self.umbrella)

    def _paint_legs(self, body: Pen, limb: float) -> None:
        for side in (-1, 1):
            leg = [(side * 0.07 * self.width, 0.1), *self._leg(side)]
            body.part("trousers").stroke(leg, limb * 1.1, self.trousers)

    def _leg(self, side: int) -> list[Point]:
        """From the knee on, or the foot alone where the leg is straight."""
        if self.seat is not None:
            knee = self.seat[0] * (0.52 + 0.07 * side), 0.14
            return [knee, (knee[0], 0.1 + SHIN)]
        if self.kick is not None and side == self.kick[0]:
            turn = math.radians(self.kick[1])
            return [(side * LEG * self.legs * math.sin(turn), 0.1 + LEG * self.legs * math.cos(turn))]
        return [(side * self.stride, 0.1 + LEG * self.legs)]

    def _arm(self, side: int, angle: float) -> tuple[Point, Point, Point]:
        """Shoulder, elbow, hand."""
        reach = 0.3
        shoulder = (side * (0.0 if self.thin else 0.22 * self.width), -0.44)
        upper, lower = math.radians(angle), math.radians(min(angle + self.bend, 185))
        elbow = (shoulder[0] + side * reach * math.sin(upper), shoulder[1] + reach * math.cos(upper))
        return shoulder, elbow, (elbow[0] + side * reach * math.sin(lower), elbow[1] + reach * math.cos(lower))

    def _paint_arm(self, body: Pen, side: int, angle: float, limb: float) -> None:
        shoulder, elbow, hand = self._arm(side, angle)
        body.part("clothes").stroke([shoulder, elbow, hand], limb * 0.8, self.clothes)
        body.ellipse(hand[0], hand[1], limb * 0.55, limb * 0.55, self.skin)

    def _paint_umbrella(self, body: Pen, side: int, tone: Colour) -> None:
        x, y = self._arm(side, self.arms[0 if side < 0 else 1])[2]
        held = body.part("object")
        held.stroke([(x, y + 0.1), (x, -1.4)], 0.05, (60, 50, 50))
        held.polygon(ellipse_points(x, -1.05, 0.72, 0.5, 180, 360), tone)
        held.polygon(ellipse_points(x, -1.05, 0.26, 0.5, 180, 360), paler(tone))


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
