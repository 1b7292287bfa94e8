"""Landscapes: sky, hills, houses, trees, cars."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .brush import Pen, ellipse_points
from .draws import Colour, Rng, colour, hsv, natural
from .objects import paler

SNOW: Colour = (240, 244, 250)
LAMP: Colour = (255, 226, 120)
RAINBOW: tuple[Colour, ...] = (
    (225, 50, 45),
    (245, 150, 40),
    (250, 225, 60),
    (70, 185, 80),
    (50, 110, 220),
    (130, 60, 180),
)
NIGHT = (0.22, 0.25, 0.42)


@dataclass(frozen=True)
class Mood:
    """What the hour and the season do to every thing."""

    night: bool = False
    snow: bool = False
    autumn: Colour | None = None  # colour of the leaves
    dark: tuple[float, float, float] = NIGHT  # what is left of each channel at night
    lamp: Colour | None = LAMP  # light behind the windows at night; None where all are asleep

    def tone(self, value: Colour) -> Colour:
        """The colour as this hour shows it."""
        if not self.night:
            return value
        red, green, blue = (int(part * factor) for part, factor in zip(value, self.dark, strict=True))
        return red, green, blue


@dataclass(frozen=True)
class Thing:
    """A house, tree, car or cloud standing at (x, y), y its foot; scale in picture sides."""

    kind: str
    x: float
    y: float
    scale: float
    body: Colour
    top: Colour

    def paint(self, pen: Pen, mood: Mood) -> None:
        """Unit frame: about one wide, foot at 0, up is negative."""
        painters = {"house": self._house, "tree": self._tree, "fir": self._fir, "car": self._car, "cloud": self._cloud}
        painters[self.kind](pen.local(self.x, self.y, self.scale), mood)

    def _house(self, pen: Pen, mood: Mood) -> None:
        pen.box(-0.5, -0.7, 0.5, 0, mood.tone(self.body))
        pen.polygon([(-0.62, -0.68), (0, -1.2), (0.62, -0.68)], mood.tone(SNOW if mood.snow else self.top))
        pen.box(-0.1, -0.35, 0.1, 0, mood.tone((90, 60, 40)))
        glass = mood.lamp if mood.night and mood.lamp is not None else mood.tone((150, 190, 215))
        for x in (-0.3, 0.3):
            pen.box(x - 0.12, -0.55, x + 0.12, -0.3, glass)

    def _leaves(self, mood: Mood) -> Colour:
        return mood.tone(SNOW if mood.snow else mood.autumn or self.top)

    def _tree(self, pen: Pen, mood: Mood) -> None:
        pen.box(-0.07, -0.6, 0.07, 0, mood.tone(self.body))
        leaves = self._leaves(mood)
        for x, y, radius in ((-0.22, -0.7, 0.28), (0.22, -0.72, 0.28), (0, -0.98, 0.32)):
            pen.ellipse(x, y, radius, radius, leaves)

    def _fir(self, pen: Pen, mood: Mood) -> None:
        pen.box(-0.06, -0.25, 0.06, 0, mood.tone(self.body))
        leaves = self._leaves(mood)
        for foot, half in ((-0.2, 0.4), (-0.55, 0.3), (-0.85, 0.2)):
            pen.polygon([(-half, foot), (0, foot - 0.5), (half, foot)], leaves)

    def _car(self, pen: Pen, mood: Mood) -> None:
        pen.polygon([(-0.32, -0.25), (-0.2, -0.48), (0.18, -0.48), (0.36, -0.25)], mood.tone(self.top))
        pen.box(-0.58, -0.27, 0.58, -0.08, mood.tone(self.body))
        if mood.night:
            pen.ellipse(0.56, -0.19, 0.07, 0.05, LAMP)
        for x in (-0.34, 0.34):
            pen.ellipse(x, -0.07, 0.12, 0.12, (25, 25, 28))
            pen.ellipse(x, -0.07, 0.05, 0.05, mood.tone((170, 170, 175)))

    def _cloud(self, pen: Pen, mood: Mood) -> None:
        for x, y, radius in ((-0.35, 0, 0.2), (-0.05, -0.1, 0.28), (0.3, 0, 0.22)):
            pen.ellipse(x, y, radius, radius * 0.8, mood.tone(self.body))


def floor_nearness(y: float, horizon: float) -> float:
    """Inverse distance of the ground seen at the height y (picture sides from above), 0.8 at the lower rim."""
    return 0.8 * max(y - horizon, 0.0) / (1 - horizon)


@dataclass(frozen=True)
class Landscape:
    """Fills the whole picture."""

    horizon: float
    sky: tuple[Colour, Colour]  # at the top, at the horizon
    ground: Colour
    hills: tuple[tuple[float, float, float, Colour], ...]  # x, half-width, height, colour
    things: tuple[Thing, ...]
    sun: tuple[float, float, float] | None  # x, y, radius
    stars: tuple[tuple[float, float], ...]  # seen at night only
    mood: Mood
    moon: tuple[float, float, float, float] | None = None  # x, y, radius, lit part from 0.2 (thin) to 1 (full)
    rainbow: tuple[float, float, float] | None = None  # x, radius, breadth
    fence: tuple[float, Colour] | None = None  # y of its foot
    flood: tuple[float, Colour] | None = None  # y of the water

    def paint(self, pen: Pen) -> None:
        """Sky, hills, ground, things."""
        self._paint_sky(pen.part("sky", 0.0))
        hills = pen.part("hill", 0.02)
        for x, half, height, tint in self.hills:
            outline = ellipse_points(x, self.horizon, half, height, 180, 360)
            hills.polygon(outline, self.mood.tone(SNOW if self.mood.snow else tint))
        ground = SNOW if self.mood.snow else self.ground
        pen.part("ground").floor(self.horizon, self.mood.tone(ground))
        for thing in self.things:
            thing.paint(pen.part(thing.kind, floor_nearness(thing.y, self.horizon)), self.mood)
        if self.fence is not None:
            self._paint_fence(pen, *self.fence)
        if self.flood is not None:
            self._paint_flood(pen.part("ground", floor_nearness(self.flood[0], self.horizon)), *self.flood)

    def _paint_sky(self, pen: Pen) -> None:
        bands = 12
        for band in range(bands):
            weight = band / (bands - 1)
            red, green, blue = (int(a + (b - a) * weight) for a, b in zip(*self.sky, strict=True))
            top = self.horizon * band / bands
            pen.box(0, top, 1, self.horizon, self.mood.tone((red, green, blue)))
        if self.mood.night:
            for x, y in self.stars:
                pen.ellipse(x, y * self.horizon, 0.008, 0.008, (250, 250, 230))
        if self.sun is not None:
            x, y, radius = self.sun
            pen.part("sun").ellipse(x, y, radius, radius, (240, 240, 225) if self.mood.night else (255, 225, 70))
        if self.moon is not None:
            self._paint_moon(pen.part("sun"), *self.moon)
        if self.rainbow is not None:
            self._paint_rainbow(pen, *self.rainbow)

    def _paint_moon(self, pen: Pen, x: float, y: float, radius: float, lit: float) -> None:
        outer = ellipse_points(x, y, radius, radius, -90, 90)
        bulge = (2 * lit - 1) * radius
        inner = [(x - bulge * (px - x) / radius, py) for px, py in reversed(outer)]
        pen.polygon([*outer, *inner], (244, 242, 222))

    def _paint_rainbow(self, pen: Pen, x: float, radius: float, breadth: float) -> None:
        for number, tone in enumerate(RAINBOW):
            reach = radius - breadth * number / len(RAINBOW)
            pen.stroke(ellipse_points(x, self.horizon, reach, reach, 180, 360), breadth / len(RAINBOW) * 1.3, tone)

    def _paint_fence(self, pen: Pen, foot: float, tone: Colour) -> None:
        pen, tone = pen.part("wall", floor_nearness(foot, self.horizon)), self.mood.tone(tone)
        for height in (0.05, 0.11):
            pen.box(0, foot - height - 0.012, 1, foot - height + 0.012, tone)
        for number in range(10):
            x = 0.05 + number * 0.1
            top = foot - 0.14
            pen.polygon(
                [(x - 0.025, foot), (x - 0.025, top), (x, top - 0.03), (x + 0.025, top), (x + 0.025, foot)], tone
            )

    def _paint_flood(self, pen: Pen, level: float, tone: Colour) -> None:
        pen.box(0, level, 1, 1, self.mood.tone(tone))
        for row in range(5):
            y = level + 0.02 + (1 - level) * row / 5
            for start in (0.08, 0.42, 0.76):
                x = start + 0.13 * (row % 2)
                wave = [(x - 0.08, y + 0.012), (x - 0.04, y), (x, y + 0.012), (x + 0.04, y), (x + 0.08, y + 0.012)]
                pen.stroke(wave, 0.01, self.mood.tone(paler(tone)))


def draw_thing(rng: Rng, kind: str, horizon: float) -> Thing:
    """A thing with its foot below the horizon, larger in front."""
    foot = rng.uniform(horizon + 0.02, 0.95)
    green = colour((0.2, 0.42), (0.4, 0.9), (0.25, 0.7))
    top = green(rng) if kind in ("tree", "fir") else natural(rng)
    body = hsv(0.07, rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.5)) if kind in ("tree", "fir") else natural(rng)
    return Thing(kind, rng.uniform(0.1, 0.9), foot, rng.uniform(0.22, 0.4) * (0.6 + foot * 0.5), body, top)


def _draw_sky(rng: Rng) -> tuple[Colour, Colour]:
    top = colour((0.52, 0.64), (0.3, 0.8), (0.55, 0.95))(rng)
    low = colour((0.5, 0.62), (0.05, 0.35), (0.8, 1.0))(rng)
    if rng.random() < 0.25:
        low = colour((0.95, 1.12), (0.2, 0.6), (0.8, 1.0))(rng)
    return top, low


def draw_landscape(rng: Rng, lived_in: bool = True) -> Landscape:
    """A summer day; lived_in adds things, always a tree among them."""
    horizon = rng.uniform(0.42, 0.7)
    kinds = ["tree", *rng.choice(["house", "house", "tree", "fir", "car"], int(rng.integers(1, 5)))] if lived_in else []
    things = sorted((draw_thing(rng, str(kind), horizon) for kind in kinds), key=lambda thing: thing.y)
    clouds = tuple(
        Thing("cloud", rng.uniform(0, 1), rng.uniform(0.06, horizon * 0.6), rng.uniform(0.15, 0.4), SNOW, SNOW)
        for _ in range(int(rng.integers(0, 4)))
    )
    earth = colour((0.1, 0.4), (0.2, 0.8), (0.3, 0.8))
    hills = tuple(
        (rng.uniform(0, 1), rng.uniform(0.2, 0.6), rng.uniform(0.08, 0.3), earth(rng))
        for _ in range(int(rng.integers(0, 4)))
    )
    stars = tuple((rng.random(), rng.random() * 0.9) for _ in range(14))
    return Landscape(horizon, _draw_sky(rng), earth(rng), hills, (*clouds, *things), None, stars, Mood())


def draw_any_landscape(rng: Rng) -> Landscape:
    """Any hour and season, with or without a sun."""
    land = draw_landscape(rng, bool(rng.random() < 0.8))
    autumn = colour((0.0, 0.14), (0.6, 1), (0.6, 0.95))(rng) if rng.random() < 0.25 else None
    mood = Mood(bool(rng.random() < 0.2), bool(rng.random() < 0.2), autumn)
    sun = (rng.uniform(0.1, 0.9), rng.uniform(0.08, 0.3), rng.uniform(0.05, 0.1)) if rng.random() < 0.5 else None
    return replace(land, mood=mood, sun=sun)
