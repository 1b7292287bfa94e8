"""Editing tasks of faces: what they do, wear and grow."""

from __future__ import annotations

from dataclasses import replace

from .draws import SIDE, VIVID, Colour, Params, Rng, choice, colour, hsv, span, tint, vivid
from .edits import Fields, close_face, edit_task, face_scene, near_scene
from .face_parts import BEARDS, EARRINGS, HATS, Earrings, Glasses, Hat, draw_hair
from .people import draw_face
from .scenes import Scene, draw_scene
from .task import Task


def haired_scene(rng: Rng, size: int) -> Scene:
    """A portrait with hair that can be seen."""
    face = replace(close_face(rng), haircut=str(rng.choice(["long", "curly", "bun"])))
    return draw_scene(rng, size, face)


def short_haired_scene(rng: Rng, size: int) -> Scene:
    """A portrait with short hair."""
    return draw_scene(rng, size, replace(close_face(rng), haircut="short"))


def bare_chinned_scene(rng: Rng, size: int) -> Scene:
    """A portrait whose hair differs from the skin in lightness, for beards of the same colour."""
    face = close_face(rng)
    while abs(sum(face.hair) - sum(face.skin)) < 150:
        face = replace(face, hair=draw_hair(rng))
    return draw_scene(rng, size, replace(face, haircut=str(rng.choice(["short", "long", "curly"]))))


def hat_scene(rng: Rng, size: int) -> Scene:
    """A portrait with room above the head."""
    face = replace(draw_face(rng), haircut=str(rng.choice(["short", "long"])), y=rng.uniform(0.54, 0.62))
    return draw_scene(rng, size, face)


def pale_scene(rng: Rng, size: int) -> Scene:
    """A portrait with pale skin, for freckles to be seen."""
    skin = hsv(rng.uniform(0.04, 0.08), rng.uniform(0.22, 0.38), rng.uniform(0.85, 1.0))
    return draw_scene(rng, size, replace(close_face(rng), skin=skin))


def young_scene(rng: Rng, size: int) -> Scene:
    """A portrait with hair neither grey nor fair."""
    hair = hsv(rng.uniform(0.03, 0.09), rng.uniform(0.5, 0.9), rng.uniform(0.1, 0.45))
    cut = str(rng.choice(["short", "long", "curly", "bun"]))
    return draw_scene(rng, size, replace(close_face(rng), hair=hair, haircut=cut, mouth=rng.uniform(0, 0.6)))


def serious_scene(rng: Rng, size: int) -> Scene:
    """A portrait with a straight mouth."""
    return draw_scene(rng, size, replace(close_face(rng), mouth=rng.uniform(-0.4, 0.0)))


def smiling_scene(rng: Rng, size: int) -> Scene:
    """A face that fills the picture, with a smile."""
    return near_scene(rng, size).changed(mouth=rng.uniform(0.4, 0.9))


def given_eyes(scene: Scene, params: Params) -> Scene:
    """Eyes of the given colour: after lids and lenses nobody could tell it."""
    return scene.changed(iris=tuple(params["iris"]))


def put_hat(scene: Scene, params: Params) -> Scene:
    """A hat on the head."""
    return scene.changed(hat=Hat(params["kind"], tuple(params["colour"]), tuple(params["band"])))


def put_glasses(scene: Scene, params: Params) -> Scene:
    """Glasses on the nose."""
    lens = params["lens"] and tuple(params["lens"])
    return scene.changed(glasses=Glasses(params["square"], tuple(params["colour"]), lens))


def close_eyes(scene: Scene, params: Params) -> Scene:
    """Painted lids down."""
    return scene.changed(eyes_open=False, lids=tuple(params["lids"]))


def wink(scene: Scene, params: Params) -> Scene:
    """One lid down, painted."""
    return scene.changed(wink=params["side"], lids=tuple(params["lids"]))


def smile(scene: Scene, params: Params) -> Scene:
    """Teeth between painted lips."""
    return scene.changed(mouth=params["width"], grin=tuple(params["lips"]))


def frown(scene: Scene, params: Params) -> Scene:
    """Brows down, and the corners of the mouth with them."""
    return scene.changed(mouth=-1.2, anger=params["anger"], lips=tuple(params["lips"]))


def open_mouth(scene: Scene, params: Params) -> Scene:
    """A mouth as if calling out, with painted lips."""
    return scene.changed(mouth_open=params["width"], lips=tuple(params["lips"]))


def grow_beard(scene: Scene, params: Params) -> Scene:
    """A beard in the colour of the hair."""
    return scene.changed(beard=params["kind"])


def dye_hair(scene: Scene, params: Params) -> Scene:
    """Hair of another colour."""
    return scene.changed(hair=tuple(params["colour"]))


def grow_hair(scene: Scene, params: Params) -> Scene:
    """Hair down to the shoulders or over them."""
    return scene.changed(haircut="long", length=params["length"])


def dye_eyes(scene: Scene, params: Params) -> Scene:
    """Eyes of another colour."""
    return scene.changed(iris=tuple(params["colour"]))


def hang_earrings(scene: Scene, params: Params) -> Scene:
    """A pair of earrings."""
    return scene.changed(earrings=Earrings(params["kind"], tuple(params["colour"]), params["radius"]))


def add_freckles(scene: Scene, params: Params) -> Scene:
    """Freckles on cheeks and nose."""
    return scene.changed(freckles=(tuple(params["colour"]), params["radius"]))


def put_mask(scene: Scene, params: Params) -> Scene:
    """A cloth before nose and mouth."""
    return scene.changed(mask=(tuple(params["colour"]), tuple(params["pleats"])))


def age(scene: Scene, params: Params) -> Scene:
    """Wrinkles, and hair that has lost its colour."""
    return scene.changed(wrinkles=params["depth"], hair=tuple(params["hair"]), mouth=-0.2)


def _lens(rng: Rng) -> list[int] | None:
    return list(colour(value=(0.05, 0.3))(rng)) if rng.random() < 0.6 else None


def _frame(rng: Rng) -> list[int]:
    return [30, 24, 24] if rng.random() < 0.5 else list(vivid(rng))


def _grey(rng: Rng) -> list[int]:
    tone: Colour = hsv(rng.choice([0.1, 0.6]), rng.uniform(0.0, 0.12), rng.uniform(0.6, 0.97))
    return list(tone)


LIPS = tint(colour((0.88, 1.02), (0.6, 0.9), (0.45, 0.95)))
FRECKLE = tint(colour((0.0, 0.09), (0.5, 0.9), (0.25, 0.65)))
IRIS = tint(colour(saturation=(0.4, 0.9), value=(0.25, 0.75)))
LIDS: Fields = {"lids": VIVID, "iris": IRIS}
HAT: Fields = {"kind": choice(*HATS), "colour": VIVID, "band": VIVID}
GLASSES: Fields = {"square": choice(True, False), "colour": _frame, "lens": _lens, "iris": IRIS}
BEARD: Fields = {"kind": choice(*BEARDS)}
EARRING: Fields = {"kind": choice(*EARRINGS), "colour": VIVID, "radius": span(0.15, 0.24)}

TASKS: tuple[Task, ...] = (
    edit_task("add hat", hat_scene, put_hat, **HAT),
    edit_task("take off hat", hat_scene, put_hat, backwards=True, **HAT),
    edit_task("add glasses", face_scene, put_glasses, first=given_eyes, **GLASSES),
    edit_task("take off glasses", face_scene, put_glasses, first=given_eyes, backwards=True, **GLASSES),
    edit_task("close eyes", face_scene, close_eyes, first=given_eyes, **LIDS),
    edit_task("open eyes", face_scene, close_eyes, first=given_eyes, backwards=True, **LIDS),
    edit_task("wink", near_scene, wink, side=SIDE, lids=VIVID),
    edit_task("smile", serious_scene, smile, width=span(0.2, 1.1), lips=LIPS),
    edit_task("frown", smiling_scene, frown, anger=span(0.3, 1.3), lips=LIPS),
    edit_task("open mouth", near_scene, open_mouth, width=span(0.3, 1.2), lips=LIPS),
    edit_task("grow beard", bare_chinned_scene, grow_beard, **BEARD),
    edit_task("shave", bare_chinned_scene, grow_beard, backwards=True, **BEARD),
    edit_task("dye hair", haired_scene, dye_hair, colour=VIVID),
    edit_task("grow long hair", short_haired_scene, grow_hair, length=span(1.1, 1.75)),
    edit_task("change eye colour", near_scene, dye_eyes, colour=VIVID),
    edit_task("add earrings", face_scene, hang_earrings, **EARRING),
    edit_task("add freckles", pale_scene, add_freckles, colour=FRECKLE, radius=span(0.035, 0.075)),
    edit_task("put on face mask", face_scene, put_mask, colour=VIVID, pleats=VIVID),
    edit_task("make older", young_scene, age, depth=span(0.25, 0.45), hair=_grey, seen=False),
)
