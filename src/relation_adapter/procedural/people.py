"""Faces: frozen values that paint themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from .brush import Pen, ellipse_points
from .draws import Colour, Rng, colour, natural
from .face_parts import (
    BEARDS,
    DARK,
    WHITE,
    Earrings,
    Glasses,
    Hat,
    draw_glasses,
    draw_hair,
    draw_hat,
    draw_skin,
    paint_beard,
    paint_freckles,
    paint_mask,
    paint_wrinkles,
)
from .objects import darker

HAIRCUTS = ("bald", "short", "long", "curly", "bun")


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
    beard: str  # "" or one of BEARDS
    hat: Hat | None
    glasses: Glasses | None
    length: float = 1.35  # of long hair
    wink: int = 0  # the eye on this side (-1 left, 1 right) is closed
    lids: Colour | None = None  # paint on closed lids; None for skin
    anger: float = 0.0  # how far the brows are drawn down
    grin: Colour | None = None  # a wide smile that shows teeth between lips of this colour
    lips: Colour = (160, 50, 55)
    freckles: tuple[Colour, float] | None = None  # their radius
    wrinkles: float = 0.0
    earrings: Earrings | None = None
    mask: tuple[Colour, Colour] | None = None

    def paint(self, pen: Pen) -> None:
        """Back to front."""
        body = pen.local(self.x, self.y, self.scale)
        head = pen.local(self.x, self.y, self.scale, self.tilt)
        if self.haircut == "long":
            head.part("hair").ellipse(0, self.length - 1, self.width * 1.3, self.length, self.hair)
        body.part("clothes").polygon(
            [*ellipse_points(0, 2.35, 1.5 * self.width / 0.8, 1.15, 180, 360), (1.5, 4), (-1.5, 4)], self.clothes
        )
        body.box(-0.3, 0.7, 0.3, 1.4, darker(self.skin, 0.85))
        for side in (-1, 1):
            head.ellipse(side * self.width, 0.05, 0.14, 0.22, darker(self.skin, 0.92))
        self._paint_head(head)
        self._paint_eyes(head)
        self._paint_mouth(head)
        self._paint_worn(head)

    def _paint_worn(self, head: Pen) -> None:
        if self.mask is not None:
            paint_mask(head.part("clothes"), self.width, self.mask)
        if self.earrings is not None:
            self.earrings.paint(head.part("object"), self.width)
        if self.glasses is not None:
            self.glasses.paint(head.part("glasses"))
        if self.hat is not None:
            self.hat.paint(head.part("hat"))

    def _paint_head(self, pen: Pen) -> None:
        hair = pen.part("hair")
        if self.haircut == "curly":
            for angle in range(170, 380, 25):
                x, y = math.cos(math.radians(angle)), math.sin(math.radians(angle))
                hair.ellipse(x * self.width, y * 0.85 - 0.1, 0.32, 0.32, self.hair)
        if self.haircut == "bun":
            hair.ellipse(0, -1.12, 0.36, 0.32, self.hair)
        pen.ellipse(0, 0, self.width, 1, self.skin)
        if self.freckles is not None:
            paint_freckles(pen, self.width, *self.freckles)
        if self.wrinkles > 0:
            paint_wrinkles(pen, self.width, self.skin, self.wrinkles)
        if self.beard:
            paint_beard(hair, self.beard, self.width, self.hair)
        if self.haircut != "bald":
            cap = ellipse_points(0, -0.05, self.width * 1.06, 1.04, 195, 345)
            hair.polygon([*cap, (self.width * 0.5, -0.5), (-self.width * 0.6, -0.6)], self.hair)
        pen.stroke([(0.02, 0.0), (0.1, 0.26), (-0.04, 0.28)], 0.05, darker(self.skin, 0.72))

    def _paint_eyes(self, pen: Pen) -> None:
        for side in (-1, 1):
            x, drop = side * 0.36, 0.16 * self.anger
            brow = [(x - 0.2, -0.34 + drop * (side > 0)), (x, -0.4 + drop / 2), (x + 0.2, -0.34 + drop * (side < 0))]
            pen.part("hair").stroke(brow, 0.09, darker(self.hair, 0.6))
            if self.eyes_open and side != self.wink:
                pen.ellipse(x, -0.08, 0.21, 0.15, WHITE)
                pen.ellipse(x, -0.08, 0.15, 0.15, self.iris)
                pen.ellipse(x, -0.08, 0.06, 0.07, DARK)
            else:
                pen.ellipse(x, -0.1, 0.23, 0.17, self.lids or darker(self.skin, 0.9))
                pen.stroke(ellipse_points(x, -0.12, 0.21, 0.15, 15, 165), 0.07, DARK)

    def _paint_mouth(self, pen: Pen) -> None:
        if self.grin is not None:
            self._paint_grin(pen, self.grin)
        elif self.mouth_open > 0:
            pen.ellipse(0, 0.6, 0.31, 0.13 + 0.2 * self.mouth_open, self.lips)
            pen.ellipse(0, 0.6, 0.23, 0.07 + 0.2 * self.mouth_open, (90, 20, 25))
            pen.ellipse(0, 0.6 + 0.12 * self.mouth_open, 0.14, 0.08 * self.mouth_open, (215, 90, 95))
        else:
            bend = 0.2 * self.mouth
            middle = 0.56 + bend * 0.5
            half = [(0.32, middle - bend), (0.16, middle - bend * 0.25)]
            pen.stroke([*((-x, y) for x, y in half), (0.0, middle), *half[::-1]], 0.1, self.lips)

    def _paint_grin(self, pen: Pen, lips: Colour) -> None:
        reach = 0.24 + 0.18 * self.mouth
        pen.polygon([(-reach - 0.08, 0.42), *ellipse_points(0, 0.44, reach, reach * 0.85, 0, 180)[::-1]], lips)
        pen.polygon(ellipse_points(0, 0.46, reach * 0.8, reach * 0.55, 0, 180), WHITE)


def draw_face(rng: Rng, adorned: bool = False) -> Face:
    """A face with open eyes; hat, glasses and beard only where adorned."""
    face = Face(
        x=rng.uniform(0.38, 0.62), y=rng.uniform(0.42, 0.56), scale=rng.uniform(0.2, 0.33), tilt=rng.normal(0, 7),
        width=rng.uniform(0.7, 0.92), skin=draw_skin(rng), hair=draw_hair(rng), haircut=str(rng.choice(HAIRCUTS)),
        clothes=natural(rng), iris=colour(saturation=(0.3, 0.8), value=(0.2, 0.7))(rng), eyes_open=True,
        mouth=rng.uniform(-0.3, 0.9), mouth_open=0.0, beard="", hat=None, glasses=None,
    )  # fmt: skip
    if not adorned:
        return face
    return replace(
        face,
        hat=draw_hat(rng) if rng.random() < 0.3 else None,
        glasses=draw_glasses(rng) if rng.random() < 0.25 else None,
        beard=str(rng.choice(BEARDS)) if rng.random() < 0.25 else "",
        eyes_open=bool(rng.random() < 0.85),
        mouth_open=rng.uniform(0.3, 1) if rng.random() < 0.2 else 0.0,
    )
