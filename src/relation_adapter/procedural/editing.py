"""Editing tasks: something in the scene changes, everything else stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .draws import Draw, Params, choice, colour, draws, span, tint, vivid
from .face_parts import HATS, Glasses, Hat, draw_hair
from .figures import Figure, draw_figure
from .landscape import Landscape, draw_landscape
from .objects import PROPS, Prop, draw_prop
from .people import Face, draw_face
from .scenes import Rng, Scene, draw_outdoors, draw_scene
from .task import SceneTask, Task

Edit = Callable[[Scene, Params], Scene]


def last(scene: Scene) -> Any:
    """The subject that edits speak of."""
    return scene.subjects[-1]


def close_face(rng: Rng) -> Face:
    """A face near the camera, so that small parts can be seen."""
    return replace(draw_face(rng), scale=rng.uniform(0.28, 0.38), y=rng.uniform(0.46, 0.56))


def face_scene(rng: Rng, size: int) -> Scene:
    """A portrait with open eyes and nothing on."""
    return draw_scene(rng, size, close_face(rng))


def haired_scene(rng: Rng, size: int) -> Scene:
    """A portrait with hair that can be seen."""
    face = replace(close_face(rng), haircut=str(rng.choice(["long", "curly", "bun"])))
    return draw_scene(rng, size, face)


def bare_chinned_scene(rng: Rng, size: int) -> Scene:
    """A portrait whose hair differs from the skin in lightness, for beards of the same colour."""
    face = close_face(rng)
    while abs(sum(face.hair) - sum(face.skin)) < 150:
        face = replace(face, hair=draw_hair(rng))
    return draw_scene(rng, size, face)


def hat_scene(rng: Rng, size: int) -> Scene:
    """A portrait with room above the head."""
    face = replace(draw_face(rng), haircut=str(rng.choice(["bald", "short", "long"])), y=rng.uniform(0.52, 0.62))
    return draw_scene(rng, size, face)


def figure_scene(rng: Rng, size: int) -> Scene:
    """A standing person, sometimes outdoors."""
    figure = replace(draw_figure(rng), thin=False, scale=rng.uniform(0.34, 0.45))
    if rng.random() < 0.4:
        return draw_outdoors(rng, size, draw_landscape(rng), figure)
    return draw_scene(rng, size, figure)


def jumping_scene(rng: Rng, size: int) -> Scene:
    """A standing person with room above the head."""
    scene = figure_scene(rng, size)
    return scene.changed(scale=rng.uniform(0.26, 0.33), y=rng.uniform(0.56, 0.62))


def any_scene(rng: Rng, size: int) -> Scene:
    """A portrait, a person or a landscape."""
    kind = rng.random()
    if kind < 0.35:
        return draw_scene(rng, size, draw_face(rng, adorned=True))
    return figure_scene(rng, size) if kind < 0.6 else land_scene(rng, size)


def cluttered_scene(rng: Rng, size: int) -> Scene:
    """Any scene with an object in front."""
    return any_scene(rng, size).with_subject(draw_prop(rng, str(rng.choice(PROPS))))


def land_scene(rng: Rng, size: int) -> Scene:
    """A summer day in the open."""
    return draw_outdoors(rng, size, draw_landscape(rng))


def bare_land_scene(rng: Rng, size: int) -> Scene:
    """A summer day whose sky is clear above, for a sun to be put there."""
    land = draw_landscape(rng)
    return draw_outdoors(rng, size, replace(land, things=tuple(t for t in land.things if t.kind != "cloud")))


def _hat(params: Params) -> Hat:
    return Hat(params["kind"], tuple(params["colour"]), tuple(params["band"]))


def put_hat(scene: Scene, params: Params) -> Scene:
    """A hat on the head."""
    return scene.changed(hat=_hat(params))


def put_glasses(scene: Scene, params: Params) -> Scene:
    """Glasses on the nose."""
    lens = params["lens"] and tuple(params["lens"])
    return scene.changed(glasses=Glasses(params["square"], tuple(params["colour"]), lens))


def close_eyes(scene: Scene, params: Params) -> Scene:
    """Lids down."""
    return scene.changed(eyes_open=False)


def open_mouth(scene: Scene, params: Params) -> Scene:
    """A mouth as if calling out."""
    return scene.changed(mouth_open=params["width"])


def grow_beard(scene: Scene, params: Params) -> Scene:
    """A full beard in the colour of the hair."""
    return scene.changed(beard=True)


def dye_hair(scene: Scene, params: Params) -> Scene:
    """Hair of another colour."""
    return scene.changed(hair=tuple(params["colour"]))


def change_clothes(scene: Scene, params: Params) -> Scene:
    """The upper clothes in another colour."""
    return scene.changed(clothes=tuple(params["colour"]))


def raise_arms(scene: Scene, params: Params) -> Scene:
    """Both arms up."""
    return scene.changed(arms=(params["angle"], params["angle"]), bend=params["bend"])


def slim(scene: Scene, params: Params) -> Scene:
    """Narrower everywhere."""
    return scene.changed(width=last(scene).width * params["factor"])


def jump(scene: Scene, params: Params) -> Scene:
    """Off the ground, legs apart, arms out."""
    figure: Figure = last(scene)
    arms = (params["arms"], params["arms"])
    return scene.changed(y=figure.y - params["height"], stride=params["stride"], arms=arms)


def add_object(scene: Scene, params: Params) -> Scene:
    """An object at a given place."""
    place = params["x"], params["y"], params["scale"]
    return scene.with_subject(Prop(params["kind"], *place, tuple(params["colour"])))


def paint_object(scene: Scene, params: Params) -> Scene:
    """The object in front becomes one of the wanted kind and colour."""
    return scene.changed(kind=params["kind"], colour=tuple(params["colour"]))


def recolour_object(scene: Scene, params: Params) -> Scene:
    """The object in front in another colour."""
    return scene.changed(colour=tuple(params["colour"]))


def mood(scene: Scene, **fields: Any) -> Scene:
    """The landscape at another hour or in another season."""
    land: Landscape = last(scene)
    return scene.changed(mood=replace(land.mood, **fields))


def add_sun(scene: Scene, params: Params) -> Scene:
    """A sun at a given place in the sky."""
    return scene.changed(sun=(params["x"], params["y"], params["radius"]))


def sunset(scene: Scene, params: Params) -> Scene:
    """A sky in evening colours."""
    return scene.changed(sky=(tuple(params["top"]), tuple(params["low"])))


def without_last(scene: Scene) -> Scene:
    """The scene without the object in front."""
    return replace(scene, subjects=scene.subjects[:-1])


def _task(name: str, scene: Callable[[Rng, int], Scene], edit: Edit, **fields: Draw) -> Task:
    return SceneTask(name, "editing", draws(**fields), False, scene, lambda first, params: (first, edit(first, params)))


def _undo(name: str, scene: Callable[[Rng, int], Scene], edit: Edit, **fields: Draw) -> Task:
    return SceneTask(name, "editing", draws(**fields), True, scene, lambda first, params: (first, edit(first, params)))


def _uncover(scene: Scene, params: Params) -> tuple[Scene, Scene]:
    return paint_object(scene, params), without_last(scene)


def _lens(rng: Rng) -> list[int] | None:
    return list(colour(value=(0.05, 0.3))(rng)) if rng.random() < 0.6 else None


def _frame(rng: Rng) -> list[int]:
    return [30, 24, 24] if rng.random() < 0.5 else list(vivid(rng))


VIVID = tint(vivid)
HAT: dict[str, Draw] = {"kind": choice(*HATS), "colour": VIVID, "band": VIVID}
GLASSES: dict[str, Draw] = {"square": choice(True, False), "colour": _frame, "lens": _lens}
OBJECT: dict[str, Draw] = {"kind": choice(*PROPS), "colour": VIVID}
PLACE: dict[str, Draw] = {"x": span(0.2, 0.8), "y": span(0.2, 0.6), "scale": span(0.11, 0.17)}
LEAVES = tint(colour((0.0, 0.13), (0.75, 1), (0.65, 0.95)))
EVENING_TOP = tint(colour((0.7, 0.95), (0.4, 0.8), (0.3, 0.6)))
EVENING_LOW = tint(colour((0.0, 0.1), (0.6, 0.95), (0.85, 1.0)))

TASKS: tuple[Task, ...] = (
    _task("add hat", hat_scene, put_hat, **HAT),
    _undo("take off hat", hat_scene, put_hat, **HAT),
    _task("add glasses", face_scene, put_glasses, **GLASSES),
    _undo("take off glasses", face_scene, put_glasses, **GLASSES),
    _task("close eyes", face_scene, close_eyes),
    _undo("open eyes", face_scene, close_eyes),
    _task("open mouth", face_scene, open_mouth, width=span(0.6, 1.0)),
    _task("grow beard", bare_chinned_scene, grow_beard),
    _undo("shave", bare_chinned_scene, grow_beard),
    _task("dye hair", haired_scene, dye_hair, colour=VIVID),
    _task("change clothes", figure_scene, change_clothes, colour=VIVID),
    _task("raise arms", figure_scene, raise_arms, angle=span(125, 170), bend=span(-10, 10)),
    _task("make thinner", figure_scene, slim, factor=span(0.4, 0.6)),
    _task("jump", jumping_scene, jump, height=span(0.1, 0.16), stride=span(0.4, 0.55), arms=span(80, 140)),
    _task("add object", any_scene, add_object, **OBJECT, **PLACE),
    SceneTask("remove object", "editing", draws(**OBJECT), False, cluttered_scene, _uncover),
    _task("recolour object", cluttered_scene, recolour_object, colour=VIVID),
    _task("day to night", land_scene, lambda scene, params: mood(scene, night=True)),
    _undo("night to day", land_scene, lambda scene, params: mood(scene, night=True)),
    _task(
        "summer to autumn", land_scene, lambda scene, params: mood(scene, autumn=tuple(params["leaves"])), leaves=LEAVES
    ),
    _task("add snow", land_scene, lambda scene, params: mood(scene, snow=True)),
    _undo("melt snow", land_scene, lambda scene, params: mood(scene, snow=True)),
    _task("add sun", bare_land_scene, add_sun, x=span(0.15, 0.85), y=span(0.1, 0.25), radius=span(0.07, 0.11)),
    _task("sunset sky", land_scene, sunset, top=EVENING_TOP, low=EVENING_LOW),
)
