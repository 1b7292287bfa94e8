"""Editing tasks of objects and animals: added, removed, moved, turned, filled, changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .animals import ANIMALS, COATS, draw_animal
from .draws import SIDE, VIVID, Params, Rng, choice, colour, draws, natural, span, tint, vivid, whole
from .edits import Edit, Fields, any_scene, cluttered_scene, edit_task, last
from .landscape import draw_landscape
from .letters import LETTERS
from .objects import PROPS, STANDING, Block, Cup, Prop, draw_prop, draw_table
from .scenes import Scene, draw_outdoors, draw_scene
from .task import SceneTask, Task


def still_life(rng: Rng, size: int, *subjects: Any) -> Scene:
    """Objects on a table."""
    return draw_scene(rng, size, draw_table(rng), *subjects)


def one_scene(rng: Rng, size: int) -> Scene:
    """One object in the middle of anything."""
    prop = replace(
        draw_prop(rng, str(rng.choice(PROPS))), x=rng.uniform(0.42, 0.58), y=rng.uniform(0.42, 0.58),
        scale=rng.uniform(0.12, 0.16),
    )  # fmt: skip
    return still_life(rng, size, prop) if rng.random() < 0.5 else any_scene(rng, size).with_subject(prop)


def turned_scene(rng: Rng, size: int) -> Scene:
    """One large object that looks different from every side."""
    prop = replace(draw_prop(rng, str(rng.choice(STANDING))), x=rng.uniform(0.42, 0.58), scale=rng.uniform(0.2, 0.26))
    return still_life(rng, size, replace(prop, y=rng.uniform(0.44, 0.52)))


def row_scene(rng: Rng, size: int) -> Scene:
    """Three objects of different kinds and colours in a row, on a table."""
    kinds = [str(kind) for kind in rng.choice(PROPS, 3, replace=False)]
    hue, y = rng.random(), rng.uniform(0.4, 0.52)
    tones = [colour((hue + third / 3,) * 2, saturation=(0.65, 1), value=(0.6, 1))(rng) for third in range(3)]
    props = [
        Prop(kind, x + rng.uniform(-0.015, 0.015), y + rng.uniform(-0.03, 0.03), rng.uniform(0.11, 0.13), tone)
        for kind, x, tone in zip(kinds, (0.18, 0.5, 0.82), tones, strict=True)
    ]
    return still_life(rng, size, *props)


def cup_scene(rng: Rng, size: int) -> Scene:
    """An empty cup on a table."""
    cup = Cup(rng.uniform(0.4, 0.56), rng.uniform(0.54, 0.6), rng.uniform(0.24, 0.3), natural(rng), None)
    return still_life(rng, size, cup)


def block_scene(rng: Rng, size: int) -> Scene:
    """A toy block on a table."""
    place = rng.uniform(0.4, 0.6), rng.uniform(0.48, 0.56), rng.uniform(0.24, 0.31)
    ink = colour(saturation=(0.5, 1), value=(0.1, 0.6))(rng)
    return still_life(rng, size, Block(*place, vivid(rng), ink, str(rng.choice(LETTERS))))


def animal_scene(rng: Rng, size: int) -> Scene:
    """A large animal of one colour, half of the time outdoors."""
    animal = replace(draw_animal(rng), scale=rng.uniform(0.44, 0.52), y=rng.uniform(0.84, 0.94))
    if rng.random() < 0.5:
        return draw_outdoors(rng, size, draw_landscape(rng, lived_in=False), animal)
    return draw_scene(rng, size, animal)


def add_object(scene: Scene, params: Params) -> Scene:
    """An object at a given place."""
    place = params["x"], params["y"], params["scale"]
    return scene.with_subject(Prop(params["kind"], *place, tuple(params["colour"])))


def uncover(scene: Scene, params: Params) -> tuple[Scene, Scene]:
    """With the object of the wanted kind and colour, and without it."""
    shown = scene.changed(kind=params["kind"], colour=tuple(params["colour"]))
    return shown, replace(scene, subjects=scene.subjects[:-1])


def other(field: str, options: tuple[str, ...]) -> Edit:
    """Puts another value than the wanted one, where the scene has that already."""

    def put(scene: Scene, params: Params) -> Scene:
        wanted = params[field]
        if getattr(last(scene), field) != wanted:
            return scene
        return scene.changed(**{field: options[(options.index(wanted) + 1) % len(options)]})

    return put


def change_kind(scene: Scene, params: Params) -> Scene:
    """Another kind at the same place, in the same colour."""
    return scene.changed(kind=params["kind"])


def move_object(scene: Scene, params: Params) -> Scene:
    """The object elsewhere."""
    return scene.changed(x=last(scene).x + params["right"], y=last(scene).y + params["down"])


def resize_object(scene: Scene, params: Params) -> Scene:
    """The object larger or smaller."""
    return scene.changed(scale=last(scene).scale * params["factor"])


def enlarged(scene: Scene, params: Params) -> Scene:
    """An object large enough to shrink."""
    return scene.changed(scale=last(scene).scale * 1.8)


def recolour_object(scene: Scene, params: Params) -> Scene:
    """The object in front in another colour."""
    return scene.changed(colour=tuple(params["colour"]))


def duplicate_object(scene: Scene, params: Params) -> Scene:
    """Copies beside the object, evenly spaced."""
    first: Prop = last(scene)
    for number in range(1, params["copies"] + 1):
        step = params["side"] * params["step"] * ((number + 1) // 2) * (1 if number % 2 else -1)
        scene = scene.with_subject(replace(first, x=first.x + step))
    return scene


def turn_object(scene: Scene, params: Params) -> Scene:
    """The object turned about its middle."""
    return scene.changed(angle=last(scene).angle + params["angle"])


def fill_cup(scene: Scene, params: Params) -> Scene:
    """A hot drink in the cup."""
    return scene.changed(drink=tuple(params["drink"]))


def change_letter(scene: Scene, params: Params) -> Scene:
    """Another letter on the block, in its own ink."""
    return scene.changed(letter=params["letter"])


def swap_objects(scene: Scene, params: Params) -> Scene:
    """Two of the row of three change places."""
    row: list[Any] = list(scene.subjects[-3:])
    one, other = (row[place] for place in params["places"])
    moved = replace(other, x=one.x, y=one.y), replace(one, x=other.x, y=other.y)
    for place, prop in zip(params["places"], moved, strict=True):
        row[place] = prop
    return replace(scene, subjects=(*scene.subjects[:-3], *row))


def give_coat(scene: Scene, params: Params) -> Scene:
    """Spots or stripes."""
    return scene.changed(coat=params["coat"], marks=tuple(params["marks"]))


def put_collar(scene: Scene, params: Params) -> Scene:
    """A collar with a bell."""
    return scene.changed(collar=(tuple(params["colour"]), tuple(params["bell"])))


OBJECT: Fields = {"kind": choice(*PROPS), "colour": VIVID}
PLACE: Fields = {"x": span(0.2, 0.8), "y": span(0.2, 0.6), "scale": span(0.11, 0.17)}
DRINK = tint(colour(saturation=(0.5, 1), value=(0.2, 1)))
SIDEWAYS = choice(-0.32, -0.24, 0.24, 0.32)
UPRIGHT = choice(-0.25, 0.0, 0.25)

TASKS: tuple[Task, ...] = (
    edit_task("add object", any_scene, add_object, **OBJECT, **PLACE),
    SceneTask("remove object", "editing", draws(**OBJECT), False, cluttered_scene, uncover),
    edit_task("replace object", one_scene, change_kind, first=other("kind", PROPS), kind=choice(*PROPS)),
    edit_task("move object", one_scene, move_object, right=SIDEWAYS, down=UPRIGHT),
    edit_task("enlarge object", one_scene, resize_object, factor=span(1.5, 2.4)),
    edit_task("shrink object", one_scene, resize_object, first=enlarged, factor=span(0.35, 0.65)),
    edit_task("recolour object", cluttered_scene, recolour_object, colour=VIVID),
    edit_task("duplicate object", one_scene, duplicate_object, copies=whole(1, 2), side=SIDE, step=span(0.24, 0.32)),
    edit_task("turn object", turned_scene, turn_object, angle=choice(-120, -90, -60, 60, 90, 120, 180)),
    edit_task("fill cup", cup_scene, fill_cup, drink=DRINK),
    edit_task("change letter", block_scene, change_letter, first=other("letter", LETTERS), letter=choice(*LETTERS)),
    edit_task("swap objects", row_scene, swap_objects, seen=False, places=choice([0, 1], [1, 2], [0, 2])),
    edit_task("give spots or stripes", animal_scene, give_coat, coat=choice(*COATS), marks=VIVID),
    edit_task("put on collar", animal_scene, put_collar, colour=VIVID, bell=VIVID),
    edit_task("change animal", animal_scene, change_kind, first=other("kind", ANIMALS), kind=choice(*ANIMALS)),
)
