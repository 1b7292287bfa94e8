"""Customized tasks: persons cut out of their scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .draws import DEEP, VIVID, Params, Rng, colour, draws, tint
from .figures import draw_figure
from .people import draw_face
from .pixels import unit_colour
from .printing import PAPER
from .scenes import Scene, draw_scene
from .task import SceneTask, Task


def _person_scene(rng: Rng, size: int) -> Scene:
    person = draw_face(rng, adorned=True) if rng.random() < 0.6 else draw_figure(rng, adorned=True)
    return draw_scene(rng, size, person)


def id_photo(scene: Scene, params: Params) -> tuple[Scene, Scene]:
    """The backdrop gives way to one flat colour."""
    return scene, replace(scene, backdrop=np.broadcast_to(unit_colour(params["colour"]), scene.backdrop.shape))


def silhouette(scene: Scene, params: Params) -> tuple[Scene, Scene]:
    """The person in one flat colour."""
    return scene, replace(scene, fill=tuple(params["colour"]))


def sticker(scene: Scene, params: Params) -> tuple[Scene, Scene]:
    """A rim around the person, a flat ground behind."""
    ground = np.broadcast_to(unit_colour(params["ground"]), scene.backdrop.shape)
    return scene, replace(scene, outline=tuple(params["rim"]), backdrop=ground)


def outline(scene: Scene, params: Params) -> tuple[Scene, Scene]:
    """A rim around the person, the backdrop untouched."""
    return scene, replace(scene, outline=tuple(params["colour"]))


NOT_RED = tint(colour((0.1, 0.88), (0.3, 0.9), (0.6, 1.0)))
RED = tint(colour((0.97, 1.01), (0.8, 0.95), (0.7, 0.9)))

TASKS: tuple[Task, ...] = (
    SceneTask("flat backdrop", "customized", draws(colour=NOT_RED), False, _person_scene, id_photo),
    SceneTask("red-background ID photo", "customized", draws(colour=RED), False, _person_scene, id_photo),
    SceneTask("silhouette", "customized", draws(colour=DEEP), False, _person_scene, silhouette),
    SceneTask("sticker", "customized", draws(rim=PAPER, ground=VIVID), False, _person_scene, sticker),
    SceneTask("outline", "customized", draws(colour=VIVID), False, _person_scene, outline),
)
