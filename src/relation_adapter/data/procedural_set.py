"""Sets of procedural quads: which ones, streamed, and the checksum of their pixels.

A quad is a function of (seed, task, index). The split `train` counts indices from 0; those that are held out count from
far beyond, so no quad is ever in both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from relation_adapter.data.schema import PICTURES, Category, Split
from relation_adapter.editor import EditRequest
from relation_adapter.errors import UsageError
from relation_adapter.procedural import SMALLEST, TASKS, DrawnQuad, quad_at, task, tasks
from relation_adapter.procedural.draws import Params
from relation_adapter.procedural.pixels import Picture

HELD_OUT = 2**40  # the first index of what no training sees
LARGEST = 4096  # px


@dataclass(frozen=True)
class Item:
    """One quad of a set: the task's name, its number within the set's quads of that task, and its split."""

    task: str
    number: int
    split: Split

    @property
    def index(self) -> int:
        """The index that `quad_at` is asked for."""
        return self.number + (0 if self.split == "train" else HELD_OUT)


@dataclass(frozen=True)
class ProceduralSet:
    """`count` quads of every task, held out or to train on; `choose` makes a checked one.

    photos: pictures to make the pairs of, uint8 (H, W, 3), looked up by place; None for drawn ones. size: px.
    """

    tasks: tuple[str, ...]
    count: int = 30
    size: int = 128
    seed: int = 0
    held_out: bool = False
    photos: Sequence[Picture] | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return len(self.tasks) * self.count

    def items(self) -> list[Item]:
        """What is in it, task by task."""
        return list(self.iter_items())

    def iter_items(self) -> Iterator[Item]:
        """The same one by one, however many there are."""
        return (Item(name, number, self._split(name)) for name in self.tasks for number in range(self.count))

    def draw(self, item: Item) -> DrawnQuad:
        """The quad of one item."""
        return quad_at(self.seed, item.task, item.index, self.size, self.photos)

    def _split(self, name: str) -> Split:
        if not self.held_out:
            return "train"
        return "seen" if TASKS[name].seen else "unseen"


BENCHMARK_COUNT = 30  # quads of every task
# Its pixels, as `checksum` sums them up. They change only when a task does, and then so does this line.
BENCHMARK_CHECKSUM = "e51ac9c896bc902ecd1908751adf52d8c9fe5e3c1ef94943a83dd406596c5ac5"


def benchmark(count: int = BENCHMARK_COUNT) -> ProceduralSet:
    """The frozen benchmark: 30 quads held out of every task, seen and unseen, of seed 0 at 128 px; or the first few."""
    return ProceduralSet(tuple(TASKS), count, held_out=True)


def choose(
    split: Split = "train",
    names: Sequence[str] | None = None,
    category: str | None = None,
    count: int = 30,
    size: int = 128,
    seed: int = 0,
    photos: Sequence[Picture] | None = None,
) -> ProceduralSet:
    """A set of the tasks named, or of those of a category or all that the split may have.

    split: `train` and `seen` (held out) are of seen tasks, `unseen` of unseen ones. With photos, tasks that need a
    drawn scene are left out.

    Raises:
        UsageError: no such task or category, a task twice, of the wrong split, or not for photos; numbers out of range.
    """
    for what, value, low, high in (("count", count, 1, HELD_OUT), ("size", size, SMALLEST, LARGEST)):
        if not low <= value <= high:
            raise UsageError(f"{what} {value} is not from {low} to {high}")
    if names is not None and category is not None:
        raise UsageError("tasks by name and by category; give one of the two")
    on_photos = None if photos is None else True
    if names is None:
        chosen = [entry.name for entry in tasks(category, on_photos, seen=split != "unseen")]
    else:
        chosen = [_checked(name, split, photos is not None) for name in names]
    if twice := [name for name in chosen if chosen.count(name) > 1]:
        raise UsageError(f"task '{twice[0]}' is named twice")
    if not chosen:
        raise UsageError("no task is left; choose another category or split")
    return ProceduralSet(tuple(chosen), count, size, seed, split != "train", photos)


def _checked(name: str, split: Split, on_photos: bool) -> str:
    entry = task(name)
    if entry.seen != (split != "unseen"):
        kind, remedy = ("seen", "train or seen") if entry.seen else ("unseen", "unseen")
        raise UsageError(f"task '{name}' is {kind}, so it is not in split {split}; use the split {remedy}")
    if on_photos and not entry.on_photos:
        raise UsageError(f"task '{name}' needs a drawn scene; leave it or the photos out")
    return name


@dataclass(frozen=True)
class PictureQuad:
    """A quad as pictures, all of one size; params are JSON-able."""

    before: Image.Image
    after: Image.Image
    source: Image.Image
    target: Image.Image
    task: str
    category: Category
    split: Split
    params: Params

    def request(self, seed: int = 0) -> EditRequest:
        """What an editor is asked; its result is to be compared with `target`."""
        return EditRequest([(self.before, self.after)], self.source, seed=seed)


def procedural_quads(wanted: ProceduralSet) -> Iterator[PictureQuad]:
    """All quads of a set, task by task, made one by one; nothing touches the disk."""
    for item in wanted.iter_items():
        quad = wanted.draw(item)
        before, after, source, target = (Image.fromarray(picture) for picture in pictures_of(quad))
        yield PictureQuad(before, after, source, target, quad.task, category_of(item), item.split, quad.params)


def category_of(item: Item) -> Category:
    """The category of an item's task."""
    category: Category = TASKS[item.task].category  # type: ignore[assignment]
    return category


def pictures_of(quad: DrawnQuad) -> list[Picture]:
    """Before, after, source, target."""
    return [getattr(quad, name) for name in PICTURES]


def digest(pictures: Iterable[Picture]) -> bytes:
    """SHA-256 of the pixels of the pictures of one quad, and of their sizes."""
    found = hashlib.sha256()
    for picture in pictures:
        found.update(repr(picture.shape).encode())
        found.update(np.ascontiguousarray(picture).data)
    return found.digest()


def checksum(digests: Iterable[tuple[Item, bytes]]) -> str:
    """One SHA-256 of all quads, whatever order they come in."""
    lines = sorted((item.task, item.split, item.number, one.hex()) for item, one in digests)
    return hashlib.sha256("\n".join(map(repr, lines)).encode()).hexdigest()
