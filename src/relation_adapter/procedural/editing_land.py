"""Editing tasks of landscapes: hour, season, weather, and what people build."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .draws import VIVID, Colour, Params, Rng, colour, span, tint
from .edits import Fields, edit_task, land_scene, last
from .landscape import Landscape, draw_landscape, draw_thing
from .objects import darker
from .scenes import Scene, draw_outdoors
from .task import Task


def clear_scene(rng: Rng, size: int) -> Scene:
    """A summer day whose sky is clear."""
    land = draw_landscape(rng)
    return draw_outdoors(rng, size, replace(land, things=tuple(t for t in land.things if t.kind != "cloud")))


def open_scene(rng: Rng, size: int) -> Scene:
    """A clear summer day without hills, so that what is in the sky is seen down to the horizon."""
    scene = clear_scene(rng, size)
    land: Landscape = last(scene)
    return scene.changed(hills=(), horizon=max(land.horizon, 0.52))


def house_scene(rng: Rng, size: int) -> Scene:
    """A summer day with two or three houses in front."""
    land = draw_landscape(rng, lived_in=False)
    places = (0.2, 0.5, 0.8) if rng.random() < 0.4 else (0.3, 0.72)
    houses = tuple(
        replace(draw_thing(rng, "house", land.horizon), x=x, y=rng.uniform(0.78, 0.92), scale=rng.uniform(0.26, 0.34))
        for x in places
    )
    return draw_outdoors(rng, size, replace(land, things=(*land.things, *sorted(houses, key=lambda house: house.y))))


def mood(scene: Scene, **fields: Any) -> Scene:
    """The landscape at another hour or in another season."""
    return scene.changed(mood=replace(last(scene).mood, **fields))


def fall_night(scene: Scene, params: Params) -> Scene:
    """Dark, with stars, lit windows and the moon."""
    moon = params["x"], 0.12, 0.065, params["moon"]
    return mood(scene, night=True, dark=tuple(params["dark"])).changed(moon=moon)


def turn_leaves(scene: Scene, params: Params) -> Scene:
    """Trees in autumn."""
    return mood(scene, autumn=tuple(params["leaves"]))


def given_ground(scene: Scene, params: Params) -> Scene:
    """Colours of what the snow will hide: after it nobody could tell them."""
    land: Landscape = last(scene)
    ground: Colour = tuple(params["ground"])
    hills = tuple((x, half, height, darker(ground, 0.8)) for x, half, height, _ in land.hills)
    tops = {"tree": tuple(params["leaves"]), "fir": tuple(params["leaves"]), "house": tuple(params["roof"])}
    things = tuple(replace(thing, top=tops.get(thing.kind, thing.top)) for thing in land.things)
    return scene.changed(ground=ground, hills=hills, things=things)


def let_snow(scene: Scene, params: Params) -> Scene:
    """Snow on everything."""
    return mood(scene, snow=True)


def add_sun(scene: Scene, params: Params) -> Scene:
    """A sun at a given place in the sky."""
    return scene.changed(sun=(params["x"], params["y"], params["radius"]))


def sunset(scene: Scene, params: Params) -> Scene:
    """A sky in evening colours."""
    return scene.changed(sky=(tuple(params["top"]), tuple(params["low"])))


def add_rainbow(scene: Scene, params: Params) -> Scene:
    """A rainbow that ends at the horizon."""
    return scene.changed(rainbow=(params["x"], params["radius"], params["breadth"]))


def add_fence(scene: Scene, params: Params) -> Scene:
    """A fence across the foreground."""
    return scene.changed(fence=(params["foot"], tuple(params["colour"])))


def asleep(scene: Scene, params: Params) -> Scene:
    """Night, and all windows dark."""
    return mood(scene, night=True, dark=(0.3, 0.32, 0.45), lamp=None)


def light_windows(scene: Scene, params: Params) -> Scene:
    """Lamps behind the windows."""
    return mood(scene, lamp=tuple(params["lamp"]))


def paint_house(scene: Scene, params: Params) -> Scene:
    """All houses get walls and roofs of the given colours."""
    fresh = {"body": tuple(params["walls"]), "top": tuple(params["roof"])}
    things = [replace(thing, **fresh) if thing.kind == "house" else thing for thing in last(scene).things]
    return scene.changed(things=tuple(things))


def flood(scene: Scene, params: Params) -> Scene:
    """Water up to a part of the way from the lower rim to the horizon."""
    land: Landscape = last(scene)
    level = 1 - params["depth"] * (1 - land.horizon)
    return scene.changed(flood=(level, tuple(params["water"])))


def _dark(rng: Rng) -> list[float]:
    tone = rng.choice([[0.2, 0.24, 0.44], [0.34, 0.2, 0.42], [0.16, 0.32, 0.36], [0.2, 0.2, 0.24]])
    return [round(float(part * rng.uniform(0.9, 1.2)), 3) for part in tone]


LEAVES = tint(colour((0.0, 0.13), (0.75, 1), (0.65, 0.95)))
EVENING_TOP = tint(colour((0.7, 0.95), (0.4, 0.8), (0.3, 0.6)))
EVENING_LOW = tint(colour((0.0, 0.1), (0.6, 0.95), (0.85, 1.0)))
GREEN = tint(colour((0.2, 0.42), (0.4, 0.9), (0.25, 0.7)))
NIGHT: Fields = {"dark": _dark, "moon": span(0.2, 1.0), "x": span(0.15, 0.85)}
SUMMER: Fields = {"ground": GREEN, "leaves": GREEN, "roof": VIVID}
LAMPS = tint(colour(saturation=(0.5, 1), value=(0.9, 1)))
WATER = tint(colour((0.08, 0.65), (0.35, 0.8), (0.35, 0.75)))
RAINBOW: Fields = {"x": span(0.3, 0.7), "radius": span(0.3, 0.48), "breadth": span(0.09, 0.15)}

TASKS: tuple[Task, ...] = (
    edit_task("day to night", clear_scene, fall_night, **NIGHT),
    edit_task("night to day", clear_scene, fall_night, backwards=True, **NIGHT),
    edit_task("summer to autumn", land_scene, turn_leaves, leaves=LEAVES),
    edit_task("add snow", land_scene, let_snow, first=given_ground, **SUMMER),
    edit_task("melt snow", land_scene, let_snow, first=given_ground, backwards=True, **SUMMER),
    edit_task("add sun", clear_scene, add_sun, x=span(0.15, 0.85), y=span(0.1, 0.25), radius=span(0.07, 0.11)),
    edit_task("sunset sky", land_scene, sunset, top=EVENING_TOP, low=EVENING_LOW),
    edit_task("add rainbow", open_scene, add_rainbow, **RAINBOW),
    edit_task("add fence", land_scene, add_fence, foot=span(0.86, 0.97), colour=VIVID),
    edit_task("light windows", house_scene, light_windows, first=asleep, lamp=LAMPS),
    edit_task("paint house", house_scene, paint_house, walls=VIVID, roof=VIVID),
    edit_task("flood", land_scene, flood, depth=span(0.35, 0.7), water=WATER, seen=False),
)
