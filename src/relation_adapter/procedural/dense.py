"""Dense truths: depth, surface normals and labels of every pixel of a drawn scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .animals import Animal
from .draws import Params, Rng, choice, draws, hsv, span
from .figures import Figure
from .landscape import Landscape, floor_nearness
from .objects import Block, Cup, Prop, Table
from .people import Face
from .pixels import FloatPicture, Picture, as_float32, to_bytes, unit_colour, wide
from .scenes import Scene, draw_any_scene, draw_finish, render
from .solids import draw_room
from .surfaces import LABELS, WALL, SurfacePen, Surfaces
from .task import Pair, Task

PARTS: dict[type, str] = {Face: "skin", Figure: "skin", Animal: "animal", Cup: "cup", Table: "table", Block: "box"}
View = tuple[Picture, Surfaces]


def depth_map(surfaces: Surfaces, params: Params) -> FloatPicture:
    """Inverse distance through evenly spaced colours, the farthest first."""
    colours = as_float32([unit_colour(colour) for colour in params["colours"]])
    stops = np.linspace(0, 1, len(colours))
    shown = wide(surfaces.nearness).clip(0, 1)
    return as_float32(np.stack([np.interp(shown, stops, colours[:, channel]) for channel in range(3)], axis=2))


def normal_map(surfaces: Surfaces, params: Params) -> FloatPicture:
    """Normals (right, up, out) as red, green, blue around mid grey, each axis in the sign asked for."""
    return as_float32(0.5 + 0.5 * surfaces.normal * as_float32(params["signs"]))


def label_map(surfaces: Surfaces, params: Params) -> FloatPicture:
    """Every kind of thing in its colour; the palette is turned by a hue."""
    return label_colours(params["hue"])[surfaces.label]


def label_colours(hue: float) -> FloatPicture:
    """(labels, 3) colours: eight hues in three tones; neighbours in the list differ in both."""
    tones = ((0.85, 0.95), (0.9, 0.5), (0.4, 0.95))
    colours = [hsv(hue + 0.375 * place, *tones[place % 3]) for place in range(len(LABELS))]
    return as_float32([unit_colour(colour) for colour in colours])


def scene_surfaces(scene: Scene) -> Surfaces:
    """What stands behind the pixels of a scene's subjects.

    Subjects stand on the ground where there is one and they have a foot, else before what was painted so far.
    """
    horizon: float | None = None
    pen = SurfacePen(scene.backdrop.shape[0], 0.0 if isinstance(scene.subjects[0], Landscape) else WALL)
    for number, subject in enumerate(scene.subjects):
        if isinstance(subject, Landscape):
            horizon = subject.horizon
            subject.paint(pen)
            continue
        foot = getattr(subject, "foot", None)
        nearness = 0.45 + 0.15 * number if horizon is None or foot is None else floor_nearness(foot, horizon)
        name = subject.kind if isinstance(subject, Prop) else PARTS.get(type(subject), "object")
        subject.paint(pen.part(name, nearness))
    return pen.surfaces


STILL_LIFE = "still life"
# Where `draw_any_scene` draws each kind. Both pairs of a segmentation are of one kind, so that the colour of each label
# can be read from the pair.
KINDS = {STILL_LIFE: 0.0, "face": 0.1, "figure": 0.4, "animal": 0.5, "table": 0.6, "land": 0.9}


def draw_view(rng: Rng, size: int, kind: str | None = None) -> View:
    """A still life, or a scene with faces, figures, animals, landscapes and things; (size, size).

    kind: one of KINDS; default: drawn.
    """
    if kind == STILL_LIFE or (kind is None and rng.random() < 0.4):
        room = draw_room(rng)
        return to_bytes(draw_finish(rng, size).apply(room.picture(size))), room.surfaces(size)
    scene = draw_any_scene(rng, size, None if kind is None else KINDS[kind])
    return render(scene), scene_surfaces(scene)


@dataclass(frozen=True)
class DenseTask(Task):
    """From a picture to the map of what is behind it."""

    show: Callable[[Surfaces, Params], FloatPicture]

    @property
    def on_photos(self) -> bool:
        return False

    def draw_pair(self, rng: Rng, params: Params, size: int, photo: Picture | None = None) -> Pair:
        picture, surfaces = draw_view(rng, size, params.get("scene"))
        return picture, to_bytes(self.show(surfaces, params))


GREYS = [[0, 0, 0], [255, 255, 255]]
HEAT = [[10, 5, 40], [120, 20, 110], [230, 90, 40], [255, 240, 150]]
SEA = [[60, 10, 90], [40, 110, 140], [90, 200, 100], [250, 230, 40]]
RAINBOW = [[30, 30, 200], [30, 200, 220], [120, 220, 60], [240, 200, 40], [210, 30, 30]]
RAMPS = choice(GREYS, GREYS[::-1], HEAT, SEA, RAINBOW)
SIGNS = choice([1, 1, 1], [-1, 1, 1], [1, -1, 1], [-1, -1, 1])

TASKS: tuple[Task, ...] = (
    DenseTask("depth", "low_level", draws(colours=RAMPS), False, depth_map),
    DenseTask("surface normal", "low_level", draws(signs=SIGNS), False, normal_map),
    DenseTask("semantic segmentation", "low_level", draws(hue=span(0, 1), scene=choice(*KINDS)), False, label_map),
)
