"""What editing tasks share: how they are made of an edit, and the scenes they take place in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .draws import Draw, Params, Rng, draws
from .figures import Figure, draw_figure
from .landscape import draw_landscape
from .objects import PROPS, draw_prop
from .people import Face, draw_face
from .scenes import Scene, draw_outdoors, draw_scene
from .task import SceneTask, Task

Edit = Callable[[Scene, Params], Scene]
Fields = dict[str, Any]  # draws by name, to be given to several tasks


def last(scene: Scene) -> Any:
    """The subject that edits speak of."""
    return scene.subjects[-1]


def edit_task(
    name: str,
    scene: Callable[[Rng, int], Scene],
    edit: Edit,
    *,
    first: Edit | None = None,
    backwards: bool = False,
    seen: bool = True,
    **fields: Draw,
) -> Task:
    """A task of an edit; `first` puts what both states share, so that the result can be told from params and source."""

    def change(drawn: Scene, params: Params) -> tuple[Scene, Scene]:
        start = drawn if first is None else first(drawn, params)
        return start, edit(start, params)

    return SceneTask(name, "editing", draws(**fields), backwards, scene, change, seen=seen)


def close_face(rng: Rng) -> Face:
    """A face near the camera, so that small parts can be seen."""
    return replace(draw_face(rng), scale=rng.uniform(0.3, 0.38), y=rng.uniform(0.46, 0.54))


def face_scene(rng: Rng, size: int) -> Scene:
    """A portrait with open eyes and nothing on."""
    return draw_scene(rng, size, close_face(rng))


def near_scene(rng: Rng, size: int) -> Scene:
    """A face that fills the picture, for what is small in it."""
    face = replace(draw_face(rng), scale=rng.uniform(0.38, 0.46), x=rng.uniform(0.45, 0.55), y=rng.uniform(0.46, 0.54))
    return draw_scene(rng, size, face)


def figure_scene(rng: Rng, size: int) -> Scene:
    """A standing person, sometimes outdoors."""
    figure = replace(draw_figure(rng), thin=False, scale=rng.uniform(0.34, 0.45))
    return person_scene(rng, size, figure)


def roomy_scene(rng: Rng, size: int) -> Scene:
    """A standing person with room above the head."""
    figure = replace(draw_figure(rng), thin=False, scale=rng.uniform(0.27, 0.33), y=rng.uniform(0.57, 0.63))
    return person_scene(rng, size, figure)


def person_scene(rng: Rng, size: int, figure: Figure) -> Scene:
    """The person before any backdrop or in a landscape."""
    if rng.random() < 0.4:
        return draw_outdoors(rng, size, draw_landscape(rng), figure)
    return draw_scene(rng, size, figure)


def land_scene(rng: Rng, size: int) -> Scene:
    """A summer day in the open."""
    return draw_outdoors(rng, size, draw_landscape(rng))


def any_scene(rng: Rng, size: int) -> Scene:
    """A portrait, a person or a landscape."""
    kind = rng.random()
    if kind < 0.35:
        return draw_scene(rng, size, draw_face(rng, adorned=True))
    return figure_scene(rng, size) if kind < 0.6 else land_scene(rng, size)


def cluttered_scene(rng: Rng, size: int) -> Scene:
    """Any scene with an object in front."""
    return any_scene(rng, size).with_subject(draw_prop(rng, str(rng.choice(PROPS))))
