"""Tasks whose true result is computed: no picture needs to be collected, labelled or trusted.

Every task draws its parameters once per quad; both pairs of the quad share them and show different pictures.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relation_adapter.errors import UsageError

from . import (
    customized,
    dense,
    editing,
    low_level,
    restoration,
    style,
    style_drawing,
    style_materials,
    style_optics,
    style_painting,
    style_prints,
    style_screens,
    style_tones,
)
from .draws import Params
from .pixels import Picture
from .task import CATEGORIES, PixelTask, SceneTask, Task

__all__ = [
    "CATEGORIES",
    "TASKS",
    "DrawnQuad",
    "PixelTask",
    "SceneTask",
    "Task",
    "draw_quad",
    "quad_at",
    "rng_at",
    "task",
    "tasks",
]

SMALLEST = 8  # pixels; below it no scene can be seen

STYLES = (style, style_tones, style_drawing, style_painting, style_prints, style_materials, style_screens, style_optics)
MODULES = (low_level, restoration, dense, *STYLES, editing, customized)
TASKS: dict[str, Task] = {entry.name: entry for module in MODULES for entry in module.TASKS}


@dataclass(frozen=True)
class DrawnQuad:
    """Two pairs of one task with the same parameters; pictures are uint8 (size, size, 3)."""

    before: Picture
    after: Picture
    source: Picture
    target: Picture
    task: str
    category: str
    params: Params  # JSON-able


def task(name: str) -> Task:
    """Look a task up by name.

    Raises:
        UsageError: no such task; the message names the nearest ones.
    """
    if name in TASKS:
        return TASKS[name]
    near = [repr(known) for known in _near(name)]
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(TASKS)}."
    raise UsageError(f"No procedural task is called {name!r}. {hint}")


def _near(name: str) -> list[str]:
    """The first three names in which the wanted one stands as whole words, else the one most like it."""
    wanted = " ".join(name.lower().split())
    holding = [known for known in TASKS if f" {wanted} " in f" {known.lower()} "]
    return holding[:3] or difflib.get_close_matches(wanted, TASKS, n=1, cutoff=0.4)


def tasks(category: str | None = None, on_photos: bool | None = None, seen: bool | None = None) -> list[Task]:
    """The tasks of one category (or of all).

    on_photos: those that can (or cannot) be computed on any photo. seen: those that training may (or must not) use.

    Raises:
        UsageError: no such category.
    """
    if category is not None and category not in CATEGORIES:
        raise UsageError(f"No category is called {category!r}. There are: {', '.join(CATEGORIES)}.")
    return [
        entry
        for entry in TASKS.values()
        if category in (None, entry.category) and on_photos in (None, entry.on_photos) and seen in (None, entry.seen)
    ]


def draw_quad(
    rng: np.random.Generator, size: int, task: str | Task | None = None, photos: Sequence[Picture] | None = None
) -> DrawnQuad:
    """Draw a quad of one task, or of a random seen one; the same rng state gives the same quad.

    photos: uint8 (H, W, 3) of any size at least 1; each pair is a random crop of one of them, of two different ones
    where there are two. Without photos the pictures are drawn, and scene tasks take part.

    Raises:
        UsageError: an unknown task, a size below 8, an empty list of photos, or a scene task on photos.
    """
    if size < SMALLEST:
        raise UsageError(f"size {size} is too small for a procedural picture; use {SMALLEST} or more")
    chosen = _chosen(rng, task, photos)
    params = chosen.draw_params(rng)
    first, second = _two(rng, photos)
    before, after = chosen.draw_pair(rng, params, size, first)
    source, target = chosen.draw_pair(rng, params, size, second)
    return DrawnQuad(before, after, source, target, chosen.name, chosen.category, params)


def rng_at(seed: int, name: str, index: int) -> np.random.Generator:
    """The random numbers of quad `index` of a task: of these three alone, whatever other tasks there are."""
    digest = hashlib.sha256(f"{seed}\0{name}\0{index}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def quad_at(
    seed: int, task: str | Task, index: int, size: int = 128, photos: Sequence[Picture] | None = None
) -> DrawnQuad:
    """Quad `index` of a task: the same in any order, in any process, on any machine; see `draw_quad`."""
    name = task if isinstance(task, str) else task.name
    return draw_quad(rng_at(seed, name, index), size, task, photos)


def _chosen(rng: np.random.Generator, wanted: str | Task | None, photos: Sequence[Picture] | None) -> Task:
    if wanted is None:
        candidates = tasks(on_photos=None if photos is None else True, seen=True)
        return candidates[int(rng.integers(len(candidates)))]
    chosen = task(wanted) if isinstance(wanted, str) else wanted
    if photos is not None and not chosen.on_photos:
        raise UsageError(f"task '{chosen.name}' needs a rendered scene; leave the photos out")
    return chosen


def _two(rng: np.random.Generator, photos: Sequence[Picture] | None) -> tuple[Picture | None, Picture | None]:
    """Two photos, different ones where there are several."""
    if photos is None:
        return None, None
    if len(photos) == 0:
        raise UsageError("the list of photos is empty; give at least one, or None for drawn scenes")
    first, second = rng.choice(len(photos), 2, replace=len(photos) < 2)
    return photos[int(first)], photos[int(second)]
