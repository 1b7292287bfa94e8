"""Still lifes: balls, boxes and cans on a floor before a wall, seen and lit along parallel rays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .draws import Colour, Rng, natural, pale, vivid
from .pixels import FloatPicture, as_float32, grid, unit_colour
from .surfaces import Surfaces, label_of

Plane = NDArray[np.float32]
Vector = tuple[float, float, float]  # to the right, up, out of the wall
Points = tuple[Plane, Plane, Plane]
Hit = tuple[Plane, FloatPicture]  # distance along the ray, infinite where it misses; normal (H, W, 3)


class Solid(Protocol):
    """A convex body within a reach from its centre."""

    @property
    def centre(self) -> Vector: ...

    @property
    def reach(self) -> float: ...

    @property
    def name(self) -> str: ...

    @property
    def colour(self) -> Colour: ...

    def hit(self, start: Points, way: Vector) -> Hit:
        """Where rays from the start first meet it."""


@dataclass(frozen=True)
class Ball:
    """A sphere."""

    centre: Vector
    radius: float
    colour: Colour
    name: str = "ball"

    @property
    def reach(self) -> float:
        """From the centre to the farthest point."""
        return self.radius

    def hit(self, start: Points, way: Vector) -> Hit:
        """The nearer root of |start + t way - centre| = radius."""
        x, y, z = (place - middle for place, middle in zip(start, self.centre, strict=True))
        along = x * way[0] + y * way[1] + z * way[2]
        rest = along * along - (x * x + y * y + z * z - self.radius**2)
        distance = np.where(rest > 0, -along - np.sqrt(np.maximum(rest, 0)), np.inf)
        near = np.where(rest > 0, distance, 0)
        places = [(place + near * step) / self.radius for place, step in zip((x, y, z), way, strict=True)]
        return as_float32(distance), as_float32(np.stack(places, axis=-1))


@dataclass(frozen=True)
class Box:
    """A box on the floor, turned about the upright."""

    centre: Vector
    half: Vector
    turn: float  # radians
    colour: Colour
    name: str = "box"

    @property
    def reach(self) -> float:
        """From the centre to the farthest point."""
        return math.hypot(*self.half)

    def hit(self, start: Points, way: Vector) -> Hit:
        """Within all three pairs of planes."""
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        x, y, z = (place - middle for place, middle in zip(start, self.centre, strict=True))
        local = (cos * x - sin * z, y, sin * x + cos * z)
        step = (cos * way[0] - sin * way[2], way[1], sin * way[0] + cos * way[2])
        slabs = [_slab(place, by, half) for place, by, half in zip(local, step, self.half, strict=True)]
        entry, side = _first(slabs)
        faces = [-math.copysign(1.0, by) * (side == axis) for axis, by in enumerate(step)]
        normal = [cos * faces[0] + sin * faces[2], faces[1], cos * faces[2] - sin * faces[0]]
        return entry, as_float32(np.stack(normal, axis=-1))


@dataclass(frozen=True)
class Can:
    """An upright cylinder."""

    centre: Vector
    radius: float
    half: float  # half the height
    colour: Colour
    name: str = "can"

    @property
    def reach(self) -> float:
        """From the centre to the farthest point."""
        return math.hypot(self.radius, self.half)

    def hit(self, start: Points, way: Vector) -> Hit:
        """Within the pipe and between its lids."""
        x, y, z = (place - middle for place, middle in zip(start, self.centre, strict=True))
        flat = way[0] ** 2 + way[2] ** 2
        along = (x * way[0] + z * way[2]) / flat
        rest = along * along - (x * x + z * z - self.radius**2) / flat
        root = np.sqrt(np.maximum(rest, 0))
        pipe = np.where(rest > 0, -along - root, np.inf), np.where(rest > 0, -along + root, -np.inf)
        entry, side = _first([pipe, _slab(y, way[1], self.half)])
        near = np.where(np.isfinite(entry), entry, 0)
        round_x, round_z = (x + near * way[0]) / self.radius, (z + near * way[2]) / self.radius
        lid = -math.copysign(1.0, way[1])
        normal = [np.where(side == 0, round_x, 0), np.where(side == 0, 0, lid), np.where(side == 0, round_z, 0)]
        return entry, as_float32(np.stack(normal, axis=-1))


@dataclass(frozen=True)
class Ground:
    """The plane through the origin with a normal: the floor, or, moved back, the wall."""

    normal: Vector
    offset: float  # the origin's height over it
    colour: Colour
    name: str

    def hit(self, start: Points, way: Vector) -> Hit:
        """Seen from its front only."""
        x, y, z = self.normal
        height = as_float32(start[0] * x + start[1] * y + start[2] * z + self.offset)
        fall = way[0] * x + way[1] * y + way[2] * z
        distance = np.where(height > 0, -height / fall, np.inf) if fall < 0 else np.full_like(height, np.inf)
        return as_float32(distance), np.broadcast_to(as_float32(self.normal), (*height.shape, 3))


def _slab(place: Plane, step: float, half: float) -> tuple[Plane, Plane]:
    """When a ray enters and leaves |place| < half."""
    entry, leave = (-half - place) / step, (half - place) / step
    return (entry, leave) if step > 0 else (leave, entry)


def _first(intervals: list[tuple[Plane, Plane]]) -> tuple[Plane, NDArray[np.intp]]:
    """When a ray is within all intervals first, and which of them it entered last."""
    entries = np.stack([entry for entry, _ in intervals])
    leaves = np.minimum.reduce([leave for _, leave in intervals])
    last = entries.max(axis=0)
    return as_float32(np.where(last < leaves, last, np.inf)), entries.argmax(axis=0)


@dataclass(frozen=True)
class Room:
    """Solids on a floor before a wall; the camera looks down by the pitch (radians), the light comes along a vector."""

    solids: tuple[Solid, ...]
    floor: Ground
    wall: Ground
    pitch: float
    light: Vector  # from the things to the lamp, length 1
    tiles: float  # side of the floor's tiles

    @property
    def bodies(self) -> tuple[Solid | Ground, ...]:
        """The solids, the floor and the wall."""
        return (*self.solids, self.floor, self.wall)

    def rays(self, size: int) -> tuple[Points, Vector]:
        """Starts on a plane before everything, and the way of all rays; the origin lies a tenth below the middle."""
        x, y = grid(size, size)
        cos, sin = math.cos(self.pitch), math.sin(self.pitch)
        up, away = 0.1 - y, 3.0
        return (x, up * cos + away * sin, -up * sin + away * cos), (0.0, -sin, -cos)

    def look(self, size: int) -> tuple[Plane, FloatPicture, NDArray[np.intp]]:
        """Distance, normal in the room, and number of the solid of every pixel; floor and wall are the last two."""
        start, way = self.rays(size)
        distance, normal, seen = self._look_behind(size)
        for number, solid in enumerate(self.solids):
            window = self._window(solid, size)
            hit, facing = solid.hit((start[0][window], start[1][window], start[2][window]), way)
            nearer = hit < distance[window]
            distance[window][nearer] = hit[nearer]
            normal[window][nearer], seen[window][nearer] = facing[nearer], number
        return distance, normal, seen

    def _look_behind(self, size: int) -> tuple[Plane, FloatPicture, NDArray[np.intp]]:
        """Floor and wall alone, which are the same all along a row."""
        (x, y, z), way = self.rays(size)
        column = x[:, :1], y[:, :1], z[:, :1]
        (floor, down), (wall, back) = self.floor.hit(column, way), self.wall.hit(column, way)
        on_floor = floor < wall
        number = np.where(on_floor, len(self.solids), len(self.solids) + 1)
        facing = np.where(on_floor[..., None], down, back)
        return np.minimum(floor, wall).repeat(size, 1), facing.repeat(size, 1), number.repeat(size, 1)

    def _window(self, solid: Solid, size: int) -> tuple[slice, slice]:
        """The pixels among which a solid is seen."""
        x, y, z = solid.centre
        down = 0.1 - (y * math.cos(self.pitch) - z * math.sin(self.pitch))
        return _span(down, solid.reach, size), _span(x, solid.reach, size)

    def surfaces(self, size: int) -> Surfaces:
        """Nearness is 1 at the nearest point and 0 at the farthest."""
        distance, normal, seen = self.look(size)
        cos, sin = math.cos(self.pitch), math.sin(self.pitch)
        across, up, out = (normal[..., axis] for axis in range(3))
        turned = np.stack([across, up * cos - out * sin, up * sin + out * cos], axis=-1)
        nearness = (distance.max() - distance) / np.ptp(distance)
        labels = np.array([label_of(body.name) for body in self.bodies], np.uint8)
        return Surfaces(as_float32(nearness), as_float32(turned), labels[seen])

    def picture(self, size: int) -> FloatPicture:
        """Lit and shaded, (size, size, 3)."""
        fine = 2 * size
        distance, normal, seen = self.look(fine)
        start, way = self.rays(fine)
        places = tuple(place + distance * step for place, step in zip(start, way, strict=True))
        tile = (np.floor(places[0] / self.tiles) + np.floor(places[2] / self.tiles)) % 2
        towards = sum(normal[..., axis] * part for axis, part in enumerate(self.light))
        lifted = tuple(place + normal[..., axis] * np.float32(1e-3) for axis, place in enumerate(places))
        lit = np.maximum(towards, 0) * (1 - self._shadow((lifted[0], lifted[1], lifted[2])))
        shade = (0.35 + 0.75 * lit) * np.where(seen == len(self.solids), 0.75 + 0.25 * tile, 1)
        colours = np.stack([unit_colour(body.colour) for body in self.bodies])
        shaded = as_float32(colours[seen] * shade[..., None])
        return (shaded[::2, ::2] + shaded[1::2, ::2] + shaded[::2, 1::2] + shaded[1::2, 1::2]) * np.float32(0.25)

    def _shadow(self, places: Points) -> FloatPicture:
        """1 where something stands between a place and the lamp."""
        dark = np.zeros(places[0].shape, np.float32)
        for solid in self.solids:
            x, y, z = (middle - place for place, middle in zip(places, solid.centre, strict=True))
            along = x * self.light[0] + y * self.light[1] + z * self.light[2]
            near = x * x + y * y + z * z - along * along < solid.reach**2
            hit, _ = solid.hit((places[0][near], places[1][near], places[2][near]), self.light)
            dark[near] = np.maximum(dark[near], np.isfinite(hit) & (hit > 0))
        return dark


def _span(middle: float, reach: float, size: int) -> slice:
    """Pixels of one axis around a place, the middle of the picture at 0."""
    first, last = ((middle + by + 0.5) * size for by in (-reach, reach))
    return slice(min(max(math.floor(first), 0), size), min(max(math.ceil(last) + 1, 0), size))


def draw_solid(rng: Rng, x: float, z: float) -> Solid:
    """A ball, a box or a can on the floor at a place."""
    kind, colour = rng.random(), vivid(rng) if rng.random() < 0.6 else natural(rng)
    if kind < 0.4:
        radius = rng.uniform(0.07, 0.16)
        return Ball((x, radius, z), radius, colour)
    if kind < 0.7:
        half = (rng.uniform(0.06, 0.14), rng.uniform(0.05, 0.18), rng.uniform(0.06, 0.14))
        return Box((x, half[1], z), half, rng.uniform(0.15, 1.4), colour)
    height = rng.uniform(0.06, 0.18)
    return Can((x, height, z), rng.uniform(0.06, 0.12), height, colour)


def draw_room(rng: Rng) -> Room:
    """Three to six solids, each in a place of its own."""
    places = [(x, z) for x in (-0.32, 0.0, 0.32) for z in (-0.22, 0.1, 0.4)]
    chosen = rng.permutation(len(places))[: int(rng.integers(3, 7))]
    solids = [
        draw_solid(rng, *(place + rng.uniform(-0.06, 0.06) for place in places[int(number)])) for number in chosen
    ]
    floor, wall = Ground((0.0, 1.0, 0.0), 0.0, pale(rng), "floor"), Ground((0.0, 0.0, 1.0), 0.5, natural(rng), "wall")
    turn, height = rng.uniform(-1.0, 1.0), rng.uniform(0.6, 1.1)
    light = math.sin(turn) * math.cos(height), math.sin(height), math.cos(turn) * math.cos(height)
    return Room(tuple(solids), floor, wall, rng.uniform(0.45, 0.85), light, rng.uniform(0.08, 0.2))
