"""What training draws its batches from; `Batch` is the typed door to the model.

The batch of a step is a function of (seed, step) alone, so a resumed run, and any number of workers, see the same ones.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from relation_adapter.procedural import Task, tasks
from relation_adapter.procedural import task as lookup
from relation_adapter.procedural.draws import Params
from relation_adapter.procedural.pixels import Picture
from relation_adapter.procedural.scenes import draw_scene_picture

AnyBatch = TypeVar("AnyBatch")  # a dataclass of tensors and tuples, with one item for every quad


@dataclass(frozen=True)
class Batch:
    """Quads as tensors in [-1, 1]: before and after (B, K, 3, S, S), source and target (B, 3, H, W).

    other (B, 3, H, W): what other parameters of the task make of the source; the target again where they would make
    another source, or None.
    """

    before: Tensor
    after: Tensor
    source: Tensor
    target: Tensor
    tasks: tuple[str, ...] = ()
    other: Tensor | None = None

    def __len__(self) -> int:
        return self.source.shape[0]

    @property
    def change(self) -> Tensor:
        """Mean square (B,) between source and target: the error of doing nothing."""
        return (self.source - self.target).square().mean(dim=(1, 2, 3))


@dataclass(frozen=True)
class ProceduralMix:
    """Which procedural quads a run trains on.

    size: px, the side of the exemplars and the root of the sources' area. shapes: (height, width) of sources, one
    drawn per batch; all must be whole multiples of what the codec needs. two_pairs: share of batches whose relations
    are shown by two pairs. scene_share: share of quads from tasks that need a rendered scene (none where the source
    is not square). core: names of tasks to dwell on; core_share: their share of the other quads. done_share: share of
    the quads of a scene whose pair is shown backwards: the source is then as the pair would leave it, and stays.
    """

    size: int = 64
    shapes: tuple[tuple[int, int], ...] = ((64, 64),)
    two_pairs: float = 0.1
    scene_share: float = 0.2
    core: tuple[str, ...] = ()
    core_share: float = 0.0
    done_share: float = 0.0


OTHER_DRAWS = 4  # of other parameters; the nearest of their targets is the one to be told from the true one

# Edits that go on from wherever the source is: backwards, such a pair asks for something else than nothing.
_GOES_ON = (
    *("thinner", "make stouter", "grow taller", "make older", "enlarge object", "shrink object"),
    *("move object", "turn object", "swap objects", "remove object"),
)


class ProceduralBatches(Dataset[Batch]):
    """Item `step` is the whole batch of that step, made on demand; with `others`, so are other targets."""

    def __init__(self, mix: ProceduralMix, batch: int, steps: int, seed: int, others: bool = False) -> None:
        self.mix, self.batch, self.steps, self.seed, self.others = mix, batch, steps, seed, others
        self.pixel_tasks = tasks(on_photos=True, seen=True)
        self.scene_tasks = tasks(on_photos=False, seen=True)
        self.shaped_tasks = [task for task in self.pixel_tasks if _keeps_shape(task)]
        self.core_tasks = [lookup(name) for name in mix.core]

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        return self.part(step, slice(self.batch))

    def part(self, step: int, where: slice) -> Batch:
        """Some quads of the batch of a step, without making the others."""
        rng = np.random.default_rng([self.seed, step])
        shape = self.mix.shapes[int(rng.integers(len(self.mix.shapes)))]
        pairs = 2 if rng.random() < self.mix.two_pairs else 1
        places = range(*where.indices(self.batch))
        quads = [self._quad(np.random.default_rng([self.seed, step, place]), shape, pairs) for place in places]
        names, exemplars, edits = zip(*quads, strict=True)
        return Batch(
            before=_tensors([[before for before, _ in item] for item in exemplars]),
            after=_tensors([[after for _, after in item] for item in exemplars]),
            source=_tensors([source for source, _, _ in edits]),
            target=_tensors([target for _, target, _ in edits]),
            other=_tensors([other for _, _, other in edits]) if self.others else None,
            tasks=names,
        )

    def _pool(self, rng: np.random.Generator, square: bool) -> Sequence[Task]:
        """The tasks to draw one quad's from."""
        if square and self.scene_tasks and rng.random() < self.mix.scene_share:
            return self.scene_tasks
        if self.core_tasks and rng.random() < self.mix.core_share:
            return self.core_tasks
        return self.pixel_tasks if square else self.shaped_tasks

    def _quad(
        self, rng: np.random.Generator, shape: tuple[int, int], pairs: int
    ) -> tuple[str, list[tuple[Picture, Picture]], tuple[Picture, Picture, Picture]]:
        """A task's name, its exemplar pairs, and source, target and other target of the given shape."""
        square = shape == (self.mix.size, self.mix.size)
        pool = self._pool(rng, square)
        task = pool[int(rng.integers(len(pool)))]
        params = task.draw_params(rng)
        exemplars = [task.draw_pair(rng, params, self.mix.size) for _ in range(pairs)]
        picture = None if square else _draw_shaped(rng, shape)
        # With the same random numbers, other parameters meet the same source.
        again = copy.deepcopy(rng) if self.others else rng
        source, target = self._edit(task, rng, params, picture)
        other = target
        if self.mix.done_share and _can_be_done(task) and rng.random() < self.mix.done_share:
            exemplars = [(after, before) for before, after in exemplars]
            target = source
        elif self.others:
            made = (self._edit(task, copy.deepcopy(again), task.draw_params(rng), picture) for _ in range(OTHER_DRAWS))
            other = _nearest([found for same, found in made if np.array_equal(same, source)], target)
        return task.name, exemplars, (source, target, other)

    def _edit(
        self, task: Task, rng: np.random.Generator, params: Params, picture: Picture | None
    ) -> tuple[Picture, Picture]:
        """Source and target, of a picture or a newly drawn one."""
        return task.draw_pair(rng, params, self.mix.size) if picture is None else task.make_pair(picture, params)


def quads_of(batch: AnyBatch, where: slice) -> AnyBatch:
    """Some quads of a batch."""
    given: Any = batch
    some: AnyBatch = replace(given, **{name: value[where] for name, value in vars(batch).items() if value is not None})
    return some


def _nearest(others: Sequence[Picture], target: Picture) -> Picture:
    """The one that is hardest to tell from the target, but is not it; the target where there is none."""
    away = {float(np.square(np.subtract(other, target, dtype=np.float32)).mean()): other for other in others}
    away.pop(0.0, None)
    return away[min(away)] if away else target


@cache
def _keeps_shape(task: Task) -> bool:
    """Whether source and target are of one size whatever the source's sides (a quarter turn swaps them).

    Of all tasks that takes half a second, which every run would pay twice, for training and for validation.
    """
    picture, rng = np.zeros((8, 16, 3), np.uint8), np.random.default_rng(0)
    pairs = [task.make_pair(picture, task.draw_params(rng)) for _ in range(16)]
    return all(before.shape == after.shape for before, after in pairs)


def _can_be_done(task: Task) -> bool:
    """Whether a source can be as the task's pair, shown backwards, would leave it."""
    return task.category == "editing" and not task.on_photos and task.name not in _GOES_ON


def _draw_shaped(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """A random picture of (height, width), cut from the middle of a square one."""
    height, width = shape
    side = max(shape)
    top, left = (side - height) // 2, (side - width) // 2
    return draw_scene_picture(rng, side)[top : top + height, left : left + width].copy()


def _tensors(pictures: Sequence[Picture] | Sequence[Sequence[Picture]]) -> Tensor:
    """Pictures (..., H, W, 3) of bytes to a tensor (..., 3, H, W) in [-1, 1]."""
    bytes_ = torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.asarray(pictures), -1, -3)))
    return bytes_.float().div_(127.5).sub_(1.0)
