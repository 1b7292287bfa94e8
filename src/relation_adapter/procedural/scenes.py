"""The world that pictures are taken of: a backdrop, subjects, and the camera's finish."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageFilter

from .animals import draw_animal
from .brush import Pen
from .draws import Colour, Rng, natural, vivid
from .figures import draw_figure
from .landscape import Landscape, draw_any_landscape, draw_landscape
from .letters import LETTERS
from .objects import PROPS, Block, Cup, draw_prop, draw_table
from .people import draw_face
from .pixels import FloatPicture, Picture, as_float32, gaussian_blur, grid, mix, to_bytes, to_float, unit_colour
from .solids import draw_room
from .textures import draw_backdrop, draw_texture, noise_planes


class Subject(Protocol):
    """Anything that paints itself."""

    def paint(self, pen: Pen) -> None: ...


@dataclass(frozen=True)
class Finish:
    """What camera and light do to the whole picture; the same before and after an edit."""

    light: FloatPicture  # (size, size, 1) factor
    gain: FloatPicture  # (3,) white balance times exposure
    contrast: float
    blur: float  # fraction of the side, 0 for none
    noise: FloatPicture  # (size, size, 3) added

    def apply(self, picture: FloatPicture) -> FloatPicture:
        """Light, exposure, contrast around mid grey, focus, noise."""
        toned = ((picture * self.light) * self.gain - 0.5) * self.contrast + 0.5
        if self.blur > 0:
            toned = gaussian_blur(as_float32(toned), self.blur)
        return as_float32(toned + self.noise)


@dataclass(frozen=True)
class Scene:
    """Subjects are painted in order; the last is the one that edits speak of."""

    backdrop: FloatPicture  # (size, size, 3)
    subjects: tuple[Subject, ...]
    finish: Finish
    fill: Colour | None = None  # paints all subjects flat: a silhouette
    outline: Colour | None = None  # a rim around all subjects: a sticker

    def changed(self, **fields: Any) -> Scene:
        """The scene with fields of the last subject replaced."""
        last: Any = self.subjects[-1]
        return replace(self, subjects=(*self.subjects[:-1], replace(last, **fields)))

    def with_subject(self, subject: Subject) -> Scene:
        """The scene with one more subject in front."""
        return replace(self, subjects=(*self.subjects, subject))


def draw_finish(rng: Rng, size: int) -> Finish:
    """Mild in most pictures, now and then dark, bright, flat, soft or grainy."""
    x, y = grid(size, size)
    slope = rng.normal(0, 0.18, 2)
    relief = noise_planes(rng, size, 1, 1.1) * rng.uniform(0.01, 0.08)
    light = 1 + (slope[0] * x + slope[1] * y)[..., None] + relief
    gain = rng.lognormal(0, 0.18) * rng.lognormal(0, 0.07, 3)
    blur = rng.uniform(0.004, 0.014) if rng.random() < 0.3 else 0.0
    grain = rng.standard_normal((size, size, 3), np.float32) * np.float32(0.03 * rng.random() ** 3)
    return Finish(as_float32(light), as_float32(gain), float(rng.uniform(0.75, 1.2)), blur, grain)


def render(scene: Scene) -> Picture:
    """The picture of a scene, uint8 (size, size, 3)."""
    pen = Pen(scene.backdrop.shape[0])
    for subject in scene.subjects:
        subject.paint(pen)
    layer = to_float(np.asarray(pen.layer()))
    paint, alpha = layer[..., :3], layer[..., 3:]
    picture = scene.backdrop
    if scene.fill is not None:
        paint = unit_colour(scene.fill)
    if scene.outline is not None:
        picture = mix(picture, unit_colour(scene.outline), _grown(alpha))
    return to_bytes(scene.finish.apply(mix(picture, paint, alpha)))


def _grown(alpha: FloatPicture) -> FloatPicture:
    """The mask widened by a thirtieth of the side on every side."""
    reach = 2 * max(1, round(alpha.shape[0] / 30)) + 1
    mask = Image.fromarray(to_bytes(alpha[..., 0])).filter(ImageFilter.MaxFilter(reach))
    return to_float(np.asarray(mask))[..., None]


def draw_scene(rng: Rng, size: int, *subjects: Subject) -> Scene:
    """Subjects on a fresh backdrop."""
    return Scene(draw_backdrop(rng, size), subjects, draw_finish(rng, size))


def draw_outdoors(rng: Rng, size: int, land: Landscape, *subjects: Subject) -> Scene:
    """Subjects in a landscape, which covers the backdrop."""
    black = np.zeros((size, size, 3), np.float32)
    return Scene(black, (land, *subjects), draw_finish(rng, size))


def draw_any_scene(rng: Rng, size: int, kind: float | None = None) -> Scene:
    """Faces, figures, animals, things on a table and landscapes in any state, sometimes with an object in front.

    kind: which of these, in [0, 1); default: drawn.
    """
    kind = rng.random() if kind is None else kind
    if kind < 0.34:
        scene = draw_scene(rng, size, draw_face(rng, adorned=True))
    elif kind < 0.48:
        scene = draw_scene(rng, size, draw_figure(rng, adorned=True))
    elif kind < 0.58:
        scene = _on_some_ground(rng, size, draw_animal(rng, coated=True))
    elif kind < 0.66:
        scene = draw_scene(rng, size, draw_table(rng), _draw_ware(rng))
    elif kind < 0.8:
        scene = draw_outdoors(rng, size, draw_any_landscape(rng), draw_figure(rng, adorned=True))
    else:
        scene = draw_outdoors(rng, size, draw_any_landscape(rng))
    if rng.random() < 0.25:
        scene = scene.with_subject(draw_prop(rng, str(rng.choice(PROPS))))
    return scene


def _on_some_ground(rng: Rng, size: int, subject: Subject) -> Scene:
    if rng.random() < 0.5:
        return draw_scene(rng, size, subject)
    return draw_outdoors(rng, size, draw_landscape(rng, lived_in=False), subject)


def _draw_ware(rng: Rng) -> Subject:
    """A cup or a toy block, to stand on a table."""
    x, y = rng.uniform(0.35, 0.65), rng.uniform(0.5, 0.62)
    if rng.random() < 0.5:
        drink = natural(rng) if rng.random() < 0.5 else None
        return Cup(x, y, rng.uniform(0.2, 0.3), vivid(rng), drink)
    return Block(x, y, rng.uniform(0.18, 0.26), vivid(rng), natural(rng), str(rng.choice(LETTERS)))


def draw_scene_picture(rng: Rng, size: int) -> Picture:
    """A random picture of the procedural world, uint8 (size, size, 3)."""
    kind = rng.random()
    if kind < 0.4:
        picture = render(draw_any_scene(rng, size))
    elif kind < 0.5:
        picture = to_bytes(draw_finish(rng, size).apply(draw_room(rng).picture(size)))
    else:
        picture = to_bytes(draw_finish(rng, size).apply(draw_texture(rng, size)))
    return picture[:, ::-1].copy() if rng.random() < 0.5 else picture
