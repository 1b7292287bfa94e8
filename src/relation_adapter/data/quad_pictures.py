"""Quads of a file as pictures for training, for encoders that see them as they come.

Which quads are used, in which order, at which sizes, is as for a cache made of the same file.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from PIL import Image

from relation_adapter.data.buckets import Buckets, alike, fill
from relation_adapter.data.passes import quad_numbers
from relation_adapter.data.schema import Quad, iter_quads
from relation_adapter.errors import InputError, PictureError, UsageError
from relation_adapter.images import Size, open_picture, picture_size


@dataclass(frozen=True)
class PictureBatch:
    """Quads as pictures: before and after as they are, source and target of one size.

    text: None where a quad has no instruction. has_relation (B,): False where the pair is not to be seen; None: all
    are.
    """

    before: tuple[Image.Image, ...]
    after: tuple[Image.Image, ...]
    source: tuple[Image.Image, ...]
    target: tuple[Image.Image, ...]
    text: tuple[str | None, ...]
    has_relation: torch.Tensor | None = None
    tasks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.source)


class QuadPictures:
    """The quads of some splits of a JSONL file; of every picture its size is looked at, and no more.

    wrong: how many quads were left out, by the reason. Raises QuadsError on a row that is none, UsageError where no
    quad can be used.
    """

    def __init__(
        self, path: str | os.PathLike[str], buckets: Buckets, splits: Sequence[str | None] = ("train", None)
    ) -> None:
        self.path, self.wrong = Path(path), dict[str, int]()
        self.buckets: dict[Size, array[int]] = {}
        self._known: dict[str | None, int] = {None: -1}
        size = cache(_size)
        for quad in iter_quads(path):
            if quad.split in splits:
                self._add(quad, buckets, size)
        self._names = list(self._known)[1:]
        self._known.clear()
        if not self.buckets:
            why = next(iter(self.wrong), f"there are none of {' or '.join(str(split) for split in splits)}")
            raise UsageError(f"{self.path}: no quad can be used; {why}")

    def batch(self, bucket: Size, numbers: Sequence[int], without_text: Sequence[bool] = ()) -> PictureBatch:
        """The quads of these numbers within a bucket; without_text: which of them as if they had no instruction.

        Raises InputError where a picture cannot be opened.
        """
        rows = quad_numbers(self.buckets[bucket], numbers)
        named = [[self._names[number] if number >= 0 else None for number in row] for row in rows]
        before, after, source, target, text, tasks = zip(*named, strict=True)
        hidden = without_text or [False] * len(rows)
        return PictureBatch(
            before=tuple(map(self._open, before)),
            after=tuple(map(self._open, after)),
            source=tuple(fill(self._open(path), bucket) for path in source),
            target=tuple(fill(self._open(path), bucket) for path in target),
            text=tuple(None if hide else one for one, hide in zip(text, hidden, strict=True)),
            tasks=tuple(task or "" for task in tasks),
        )

    def _add(self, quad: Quad, buckets: Buckets, size_of: Callable[[Path], Size | str]) -> None:
        if quad.target is None:
            return self._leave(f"{quad.source}: no target is known; there is nothing to train on")
        sizes = [size_of(path) for path in (quad.before, quad.after, quad.source, quad.target)]
        if wrong := next((size for size in sizes if isinstance(size, str)), None):
            return self._leave(wrong)
        source, target = (size for size in sizes[2:] if not isinstance(size, str))
        if not alike(source, target):
            shown = [f"{width}x{height}" for width, height in (source, target)]
            return self._leave(f"{quad.target}: is {shown[1]}, its source {shown[0]}; give two of one ratio")
        names = [*(str(path) for path in (quad.before, quad.after, quad.source, quad.target))]
        texts = (quad.instruction or None, quad.task)
        numbers = [self._known.setdefault(name, len(self._known) - 1) for name in (*names, *texts)]
        self.buckets.setdefault(buckets.of(source), array("i")).extend(numbers)
        return None

    def _leave(self, why: str) -> None:
        self.wrong[why] = self.wrong.get(why, 0) + 1

    def _open(self, path: str | None) -> Image.Image:
        assert path is not None
        try:
            return open_picture(Path(path))
        except PictureError as error:
            raise InputError(
                f"{error}; the last saved state is safe: `data verify {self.path}` names all such pictures"
            ) from error


def _size(path: Path) -> Size | str:
    try:
        return picture_size(path)
    except PictureError as error:
        return str(error)
