"""What a task is: parameters drawn once per quad, and pairs made with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from relation_adapter.errors import UsageError

from .draws import Draw, Params, Rng, draws
from .pixels import FloatPicture, Picture, to_bytes, to_float
from .scenes import Scene, draw_scene_picture, render

CATEGORIES = ("low_level", "style", "editing", "customized")

Pair = tuple[Picture, Picture]
Change = Callable[[FloatPicture, Params], FloatPicture]  # [0, 1] in, about [0, 1] out, any size


@dataclass(frozen=True)
class Task:
    """A named edit. Where `backwards` is set, before and after change places; unseen tasks are kept out of training."""

    name: str
    category: str
    sampler: Callable[[Rng], Params]
    backwards: bool
    seen: bool = field(default=True, kw_only=True)

    @property
    def on_photos(self) -> bool:
        """Whether the true result can be computed for any picture."""
        raise NotImplementedError

    def draw_params(self, rng: Rng) -> Params:
        """JSON-able parameters; both pairs of a quad share them."""
        return self.sampler(rng)

    def draw_pair(self, rng: Rng, params: Params, size: int, photo: Picture | None = None) -> Pair:
        """A new (before, after), each uint8 (size, size, 3); of a crop of the photo where one is given."""
        raise NotImplementedError

    def make_pair(self, picture: Picture, params: Params) -> Pair:
        """(before, after) made of one picture: the edit of it, or for restorations its ruin and itself."""
        raise UsageError(f"task '{self.name}' needs a rendered scene and cannot be computed on a picture")

    def apply(self, picture: Picture, params: Params) -> Picture:
        """The edited picture, uint8 (H, W, 3) of any size. Raises UsageError where it cannot be computed."""
        raise UsageError(f"task '{self.name}' cannot be computed on a picture; use draw_pair or make_pair")


@dataclass(frozen=True)
class PixelTask(Task):
    """An edit computed from the pixels alone; backwards for restorations, whose truth is the untouched picture."""

    change: Change

    @property
    def on_photos(self) -> bool:
        return True

    def draw_pair(self, rng: Rng, params: Params, size: int, photo: Picture | None = None) -> Pair:
        picture = draw_scene_picture(rng, size) if photo is None else crop_photo(rng, photo, size)
        return self.make_pair(picture, params)

    def make_pair(self, picture: Picture, params: Params) -> Pair:
        changed = to_bytes(self.change(to_float(picture), params))
        return (changed, picture) if self.backwards else (picture, changed)

    def apply(self, picture: Picture, params: Params) -> Picture:
        if self.backwards:
            return super().apply(picture, params)
        return to_bytes(self.change(to_float(picture), params))


@dataclass(frozen=True)
class SceneTask(Task):
    """An edit of a scene, rendered before and after."""

    draw_scene: Callable[[Rng, int], Scene]  # rng, size
    change: Callable[[Scene, Params], tuple[Scene, Scene]]  # the two states

    @property
    def on_photos(self) -> bool:
        return False

    def draw_pair(self, rng: Rng, params: Params, size: int, photo: Picture | None = None) -> Pair:
        first, second = self.change(self.draw_scene(rng, size), params)
        return (render(second), render(first)) if self.backwards else (render(first), render(second))


def pixel_task(
    name: str, category: str, change: Change, backwards: bool = False, seen: bool = True, /, **fields: Draw
) -> PixelTask:
    """A pixel task whose parameters are the fields, drawn in the order written."""
    return PixelTask(name, category, draws(**fields), backwards, change, seen=seen)


def crop_photo(rng: Rng, photo: Picture, size: int) -> Picture:
    """A random square of at least half the short side, resized, mirrored half of the time."""
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        raise UsageError(f"a photo must be uint8 (H, W, 3), got {photo.dtype} {photo.shape}")
    height, width = photo.shape[:2]
    side = rng.uniform(0.5, 1.0) * min(height, width)
    left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
    box = (left, top, left + side, top + side)
    crop = Image.fromarray(photo).resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
    picture: Picture = np.array(crop)
    return picture[:, ::-1].copy() if rng.random() < 0.5 else picture
