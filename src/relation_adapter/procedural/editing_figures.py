"""Editing tasks of whole persons: poses, build, clothes."""

from __future__ import annotations

from dataclasses import replace

from .draws import SIDE, VIVID, Params, Rng, span
from .edits import Fields, edit_task, figure_scene, last, person_scene, roomy_scene
from .figures import LEG, SHIN, Figure, draw_figure
from .scenes import Scene
from .task import Task


def arms_up_scene(rng: Rng, size: int) -> Scene:
    """A standing person with both arms up."""
    arms = rng.uniform(125, 170), rng.uniform(125, 170)
    figure = replace(draw_figure(rng), thin=False, arms=arms, scale=rng.uniform(0.3, 0.4), y=rng.uniform(0.54, 0.6))
    return person_scene(rng, size, figure)


def raise_arms(scene: Scene, params: Params) -> Scene:
    """Both arms up, or down: at the same angle."""
    return scene.changed(arms=(params["angle"], params["angle"]), bend=params["bend"])


def wave(scene: Scene, params: Params) -> Scene:
    """One forearm up, the other arm hanging."""
    up = params["angle"]
    arms = (up, 12.0) if params["side"] < 0 else (12.0, up)
    return scene.changed(arms=arms, bend=params["bend"])


def widen(scene: Scene, params: Params) -> Scene:
    """Narrower or broader everywhere."""
    return scene.changed(width=last(scene).width * params["factor"])


def jump(scene: Scene, params: Params) -> Scene:
    """Off the ground, legs apart, arms out."""
    figure: Figure = last(scene)
    arms = (params["arms"], params["arms"])
    return scene.changed(y=figure.y - params["height"], stride=params["stride"], arms=arms)


def kick(scene: Scene, params: Params) -> Scene:
    """One leg up, the arms out for balance."""
    return scene.changed(kick=(params["side"], params["angle"]), stride=0.05, arms=(params["arms"], params["arms"]))


def change_clothes(scene: Scene, params: Params) -> Scene:
    """The upper clothes in another colour."""
    return scene.changed(clothes=tuple(params["colour"]))


def sit_down(scene: Scene, params: Params) -> Scene:
    """On a stool, the feet where they were."""
    figure: Figure = last(scene)
    lowered = figure.y + (LEG - SHIN) * figure.scale
    return scene.changed(seat=(params["side"], tuple(params["stool"])), y=lowered, arms=(15.0, 15.0), bend=0.0)


def hold_umbrella(scene: Scene, params: Params) -> Scene:
    """An umbrella in one hand."""
    arms = (55.0, 15.0) if params["side"] < 0 else (15.0, 55.0)
    return scene.changed(umbrella=(params["side"], tuple(params["colour"])), arms=arms, bend=50.0)


def grow_taller(scene: Scene, params: Params) -> Scene:
    """Longer legs, the feet where they were."""
    figure: Figure = last(scene)
    return scene.changed(legs=params["legs"], y=figure.y - LEG * (params["legs"] - 1) * figure.scale)


def slight(scene: Scene, params: Params) -> Scene:
    """A person broad enough to become narrow."""
    return scene.changed(width=max(last(scene).width, 1.0))


THINNER: Fields = {"factor": span(0.25, 0.65)}

TASKS: tuple[Task, ...] = (
    edit_task("raise arms", figure_scene, raise_arms, angle=span(100, 172), bend=span(-30, 30)),
    edit_task("lower arms", arms_up_scene, raise_arms, angle=span(5, 50), bend=span(-10, 30)),
    edit_task("wave", figure_scene, wave, side=SIDE, angle=span(75, 120), bend=span(35, 60)),
    edit_task("thinner", figure_scene, widen, first=slight, **THINNER),
    edit_task("make stouter", figure_scene, widen, factor=span(1.4, 2.0)),
    edit_task("jump", roomy_scene, jump, height=span(0.08, 0.17), stride=span(0.35, 0.6), arms=span(60, 150)),
    edit_task("kick", roomy_scene, kick, side=SIDE, angle=span(50, 95), arms=span(35, 90)),
    edit_task("change clothes", figure_scene, change_clothes, colour=VIVID),
    edit_task("sit down", roomy_scene, sit_down, side=SIDE, stool=VIVID),
    edit_task("hold umbrella", roomy_scene, hold_umbrella, side=SIDE, colour=VIVID),
    edit_task("grow taller", roomy_scene, grow_taller, legs=span(1.3, 1.7)),
)
