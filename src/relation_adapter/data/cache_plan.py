"""What a cache of features is to hold: which pictures and texts of a quads file, encoded how, in which shard.

Pictures are known by the hash of their bytes and texts by their own, so what is encoded once serves every quad, and a
picture that changed is another one.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from torch import Tensor, dtype

from relation_adapter.data.buckets import Buckets, alike, fill
from relation_adapter.data.schema import Quad
from relation_adapter.errors import PictureError
from relation_adapter.files import reason
from relation_adapter.images import Size, picture_size

Kind = Literal["features", "latents", "text"]
Shapes = dict[str, tuple[int, ...]]

KEY_DIGITS = 24
KINDS: tuple[Kind, ...] = ("features", "features", "latents", "latents")  # of before, after, source, target


@dataclass(frozen=True)
class Encoders:
    """What turns pictures and texts into what training reads, given by a layer that knows the model.

    encode: of a kind, one picture or text to named tensors; pictures come prepared as far as their bucket. marks: of
    a kind, a hash of all that its tensors depend on beside the picture or text. shapes: of a kind and bucket, of the
    named tensors. told: the design's choices in plain words, for the manifest. dtype: of the tensors on disk.
    """

    encode: Mapping[Kind, Callable[[Any], dict[str, Tensor]]]
    marks: Mapping[Kind, str]
    shapes: Callable[[Kind, Size | None], Shapes]
    told: Mapping[str, Any]
    buckets: Buckets
    dtype: dtype
    empty_text: str | None = None  # what a quad without an instruction is given; None: the model's learned null

    def entry_bytes(self, kind: Kind, size: Size | None) -> int:
        """Bytes of one encoded picture or text."""
        return self.dtype.itemsize * sum(math.prod(shape) for shape in self.shapes(kind, size).values())


@dataclass(frozen=True)
class Shard:
    """One file to be: the keys of what it holds, in order, and where each comes from."""

    name: str
    kind: Kind
    size: Size | None
    wanted: dict[str, Path | str]

    @property
    def keys(self) -> list[str]:
        return list(self.wanted)

    @property
    def group(self) -> str:
        """As `group` names it."""
        return group(self.kind, self.size)


@dataclass(frozen=True)
class CacheRow:
    """A quad as keys into the cache; size: of source and target, px."""

    before: str
    after: str
    source: str
    target: str
    text: str | None
    size: Size
    task: str | None
    category: str | None
    split: str | None

    @property
    def entries(self) -> Iterator[str]:
        """Names of all that it needs, as `entry` makes them."""
        yield from (entry("features", self.before), entry("features", self.after))
        yield from (entry("latents", key, self.size) for key in (self.source, self.target))
        if self.text is not None:
            yield entry("text", self.text)


def entry(kind: Kind, key: str, size: Size | None = None) -> str:
    """The name of one encoded picture or text among all."""
    return f"{group(kind, size)} {key}"


def group(kind: Kind, size: Size | None) -> str:
    """What begins the names of shards whose tensors have the same shapes."""
    return kind if size is None else f"{kind}-{size[0]}x{size[1]}"


def text_key(text: str) -> str:
    """The key of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


@dataclass
class Pictures:
    """The pictures of a quads file, each looked at once: key, size, or what is wrong with it."""

    known: dict[str, int] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    sizes: array[int] = field(default_factory=lambda: array("i"))
    wrong: dict[int, str] = field(default_factory=dict)

    def add(self, path: Path) -> int:
        """The number of a picture."""
        number = self.known.setdefault(str(path), len(self.known))
        if number == len(self.keys):
            key, size = "", (0, 0)
            try:
                size = picture_size(path)
                key = file_key(path)
            except PictureError as error:
                self.wrong[number] = str(error)
            self.keys.append(key)
            self.sizes.extend(size)
        return number

    def size(self, number: int) -> Size:
        """(width, height), px."""
        return self.sizes[2 * number], self.sizes[2 * number + 1]


def file_key(path: Path) -> str:
    """The key of a picture: of its file's bytes. Raises PictureError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:KEY_DIGITS]
    except OSError as error:
        raise PictureError(f"{path}: cannot be read ({reason(error)}); check the path and its permissions") from error


class Rows:
    """Quads as keys into the cache, a few bytes each: as many as there are must fit in memory."""

    FIELDS = ("before", "after", "source", "target", "text", "size", "task", "category", "split")

    def __init__(self) -> None:
        self._words: dict[Any, int] = {}
        self._numbers = array("i")

    def __len__(self) -> int:
        return len(self._numbers) // len(self.FIELDS)

    def add(self, row: CacheRow) -> None:
        """Append a quad."""
        for name in self.FIELDS:
            self._numbers.append(self._words.setdefault(getattr(row, name), len(self._words)))

    def __iter__(self) -> Iterator[CacheRow]:
        words = list(self._words)
        for start in range(0, len(self._numbers), len(self.FIELDS)):
            yield CacheRow(*(words[number] for number in self._numbers[start : start + len(self.FIELDS)]))


@dataclass
class Plan:
    """The groups of what is to be encoded, key by key, and the quads that ask for it.

    wrong: quads left out, by the reason; a picture's own fault stands once.
    """

    encoders: Encoders
    groups: dict[tuple[Kind, Size | None], dict[str, Path | str]] = field(default_factory=dict)
    rows: Rows = field(default_factory=Rows)
    wrong: dict[str, int] = field(default_factory=dict)

    def want(self, kind: Kind, size: Size | None, key: str, what: Path | str) -> None:
        """Ask for one picture or text to be encoded."""
        self.groups.setdefault((kind, size), {}).setdefault(key, what)

    def leave(self, why: str) -> None:
        """Count a quad that cannot be used."""
        self.wrong[why] = self.wrong.get(why, 0) + 1

    def bytes(self) -> dict[Kind, int]:
        """What the tensors of every kind take on disk."""
        total: dict[Kind, int] = {}
        for (kind, size), wanted in self.groups.items():
            total[kind] = total.get(kind, 0) + len(wanted) * self.encoders.entry_bytes(kind, size)
        return total

    def entries(self) -> dict[Kind, int]:
        """How many pictures and texts of every kind."""
        total: dict[Kind, int] = {}
        for (kind, _), wanted in self.groups.items():
            total[kind] = total.get(kind, 0) + len(wanted)
        return total

    def shards(self, most_entries: int, most_bytes: int) -> Iterator[Shard]:
        """The files, each of at most about so many entries and bytes.

        A key's own first digits choose its file, so a picture that comes or goes changes one file of its group.
        """
        for (kind, size), wanted in sorted(self.groups.items(), key=lambda item: group(*item[0])):
            most = max(1, min(most_entries, most_bytes // self.encoders.entry_bytes(kind, size)))
            bits = max(0, math.ceil(math.log2(len(wanted) / most)))
            parts: dict[int, dict[str, Path | str]] = {}
            for key in sorted(wanted):
                parts.setdefault(int(key[:8], 16) >> (32 - bits), {})[key] = wanted[key]
            for number, part in sorted(parts.items()):
                yield Shard(f"{group(kind, size)}-{number:04d}-of-{1 << bits:04d}", kind, size, part)


def make_plan(quads: Iterable[Quad], encoders: Encoders, progress: Callable[[], None] = lambda: None) -> Plan:
    """Look at every picture of the quads (size and hash, nothing is decoded) and list what is to be encoded."""
    plan, pictures = Plan(encoders), Pictures()
    for quad in quads:
        _add(plan, pictures, quad)
        progress()
    return plan


def _add(plan: Plan, pictures: Pictures, quad: Quad) -> None:
    if quad.target is None:
        return plan.leave(f"{quad.source}: no target is known; there is nothing to train on")
    paths = [quad.before, quad.after, quad.source, quad.target]
    numbers = [pictures.add(path) for path in paths]
    if wrong := [pictures.wrong[number] for number in numbers if number in pictures.wrong]:
        return plan.leave(wrong[0])
    sizes = [pictures.size(number) for number in numbers]
    if not alike(sizes[2], sizes[3]):
        shown = [f"{width}x{height}" for width, height in sizes[2:]]
        return plan.leave(f"{quad.target}: is {shown[1]}, its source {shown[0]}; give two of one ratio")
    keys, size = [pictures.keys[number] for number in numbers], plan.encoders.buckets.of(sizes[2])
    for key, path, kind in zip(keys, paths, KINDS, strict=True):
        plan.want(kind, size if kind == "latents" else None, key, path)
    before, after, source, target = keys
    text = _text(plan, quad)
    row = CacheRow(before, after, source, target, text, size, quad.task, quad.category, quad.split)
    plan.rows.add(row)
    return None


def _text(plan: Plan, quad: Quad) -> str | None:
    """The key of the text that a quad is trained with; None where the model's null stands in, or it reads none."""
    if "text" not in plan.encoders.encode:
        return None
    text = quad.instruction or plan.encoders.empty_text
    if text is None:
        return None
    key = text_key(text)
    plan.want("text", None, key, text)
    return key


def opened(shard: Shard, what: Path | str, open_picture: Callable[[Path], Image.Image]) -> Image.Image | str:
    """What the encoder is given: the text, or the picture, filling its bucket where it has one. Raises PictureError."""
    if isinstance(what, str):
        return what
    picture = open_picture(what)
    return picture if shard.size is None else fill(picture, shard.size)


def mark_of(values: Sequence[Any]) -> str:
    """One hash of plain values."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]
