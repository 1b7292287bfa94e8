"""What a cache of features is to hold: which pictures and texts of a quads file, encoded how, in which shard.

Pictures are known by the hash of their bytes and texts by their own, so what is encoded once serves every quad, and a
picture that changed is another one.
"""

from __future__ import annotations

import hashlib
import math
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from relation_adapter import stores
from relation_adapter.data.buckets import Buckets, alike, fill
from relation_adapter.data.schema import Quad, pictures_of
from relation_adapter.data.spread import Spread, serially
from relation_adapter.errors import PictureError
from relation_adapter.files import reason
from relation_adapter.images import Size, picture_size

if TYPE_CHECKING:  # who looks at pictures needs no torch
    from torch import Tensor, dtype

Kind = Literal["features", "latents", "text"]
Shapes = dict[str, tuple[int, ...]]
Look = tuple[str, int, int, str | None]

KEY_DIGITS = 24
LOOKED_AT_ONCE = 64  # quads
RECENT = 4096  # pictures remembered without asking the file
KINDS: tuple[Kind, ...] = ("features", "features", "latents", "latents")  # of before, after, source, target


_TABLES = """
PRAGMA journal_mode = OFF;
CREATE TABLE pictures (path TEXT PRIMARY KEY, key TEXT, width INTEGER, height INTEGER, wrong TEXT) WITHOUT ROWID;
CREATE TABLE entries (kind TEXT, size TEXT, key TEXT, what TEXT, PRIMARY KEY (kind, size, key)) WITHOUT ROWID;
CREATE TABLE rows (
    before TEXT, after TEXT, source TEXT, target TEXT, text TEXT, width INTEGER, height INTEGER, task TEXT,
    category TEXT, split TEXT
);
"""


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

    def told_only(self) -> Encoders:
        """What is known of them, without the models: to plan by, where others encode."""
        return replace(self, encode=dict.fromkeys(self.encode, _elsewhere))

    def entry_bytes(self, kind: Kind, size: Size | None) -> int:
        """Bytes of one encoded picture or text."""
        return self.dtype.itemsize * sum(math.prod(shape) for shape in self.shapes(kind, size).values())


def _elsewhere(given: Any) -> dict[str, Tensor]:
    raise NotImplementedError("the models are in the workers")


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


def file_key(path: Path) -> str:
    """The key of a picture: of its file's bytes. Raises PictureError."""
    try:
        with stores.opened(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:KEY_DIGITS]
    except OSError as error:
        raise PictureError(f"{path}: cannot be read ({reason(error)}); check the path and its permissions") from error


class Plan:
    """What is to be encoded, key by key, and the quads that ask for it, in a temporary file: memory holds one shard.

    wrong: how many quads are left out, by the reason; a picture's own fault stands once.
    """

    def __init__(self, encoders: Encoders) -> None:
        self.encoders = encoders
        self.wrong: dict[str, int] = {}
        self._db = sqlite3.connect("")
        self._db.executescript(_TABLES)
        self._look = lru_cache(maxsize=RECENT)(self._looked)
        self._want = lru_cache(maxsize=RECENT)(self._wanted)

    def __len__(self) -> int:
        """Quads that can be used, as far as is known before all is opened."""
        return int(self._db.execute("SELECT count(*) FROM rows").fetchone()[0])

    def rows(self) -> Iterator[CacheRow]:
        """Those quads, in their order."""
        for before, after, source, target, text, width, height, *rest in self._db.execute("SELECT * FROM rows"):
            yield CacheRow(before, after, source, target, text, (width, height), *rest)

    def add(self, quad: Quad) -> None:
        """Look at the pictures of a quad, those not looked at yet, and note what it needs."""
        if quad.target is None:
            return self.leave(f"{quad.source}: no target is known; there is nothing to train on")
        paths = [str(path) for path in (quad.before, quad.after, quad.source, quad.target)]
        looked = [self._look(path) for path in paths]
        if wrong := [one for one in looked if isinstance(one, str)]:
            return self.leave(wrong[0])
        (before, _), (after, _), (source, size), (target, other) = (one for one in looked if not isinstance(one, str))
        if not alike(size, other):
            shown = [f"{width}x{height}" for width, height in (size, other)]
            return self.leave(f"{paths[3]}: is {shown[1]}, its source {shown[0]}; give two of one ratio")
        bucket = self.encoders.buckets.of(size)
        for kind, key, path in zip(KINDS, (before, after, source, target), paths, strict=True):
            self._want(kind, bucket if kind == "latents" else None, key, path)
        row = (before, after, source, target, self._text(quad), *bucket, quad.task, quad.category, quad.split)
        self._db.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        return None

    def unseen(self, quads: Iterable[Quad]) -> list[str]:
        """Their pictures that this was not asked for before."""
        paths = {str(path): None for quad in quads if quad.target is not None for _, path in pictures_of(quad)}
        return [path for path in paths if self._note("INSERT OR IGNORE", path, (None,) * 4)]

    def keep(self, looked: Mapping[str, Look]) -> None:
        """What others found of pictures."""
        for path, found in looked.items():
            self._note("INSERT OR REPLACE", path, found)

    def _note(self, how: str, path: str, found: Look | tuple[None, ...]) -> int:
        return self._db.execute(f"{how} INTO pictures VALUES (?, ?, ?, ?, ?)", (path, *found)).rowcount

    def leave(self, why: str) -> None:
        """Count a quad that cannot be used."""
        self.wrong[why] = self.wrong.get(why, 0) + 1

    def groups(self) -> list[tuple[Kind, Size | None, int]]:
        """Kind, bucket, and how many pictures or texts."""
        found = self._db.execute("SELECT kind, size, count(*) FROM entries GROUP BY kind, size ORDER BY kind, size")
        return [(kind, _size(size), count) for kind, size, count in found]

    def entries(self) -> dict[Kind, int]:
        """How many pictures and texts of every kind."""
        total: dict[Kind, int] = {}
        for kind, _, count in self.groups():
            total[kind] = total.get(kind, 0) + count
        return total

    def bytes(self) -> dict[Kind, int]:
        """What the tensors of every kind take on disk."""
        total: dict[Kind, int] = {}
        for kind, size, count in self.groups():
            total[kind] = total.get(kind, 0) + count * self.encoders.entry_bytes(kind, size)
        return total

    def shards(self, most_entries: int, most_bytes: int) -> Iterator[Shard]:
        """The files, each of at most about so many entries and bytes.

        A key's own first digits choose its file, so a picture that comes or goes changes one file of its group.
        """
        for kind, size, count in self.groups():
            most = max(1, min(most_entries, most_bytes // self.encoders.entry_bytes(kind, size)))
            parts = 1 << max(0, math.ceil(math.log2(count / most)))
            for number in range(parts):
                low, high = part_bounds(number, parts)
                found = self._db.execute(
                    "SELECT key, what FROM entries WHERE kind = ? AND size = ? AND key >= ? AND key < ? ORDER BY key",
                    (kind, _sides(size), low, high),
                )
                wanted = {key: what if kind == "text" else Path(what) for key, what in found}
                if wanted:
                    yield Shard(f"{group(kind, size)}-{number:04d}-of-{parts:04d}", kind, size, wanted)

    def _looked(self, path: str) -> tuple[str, Size] | str:
        """Key and size of a picture, or what is wrong with it."""
        known = self._db.execute("SELECT key, width, height, wrong FROM pictures WHERE path = ?", (path,)).fetchone()
        if known is None or known[0] is None:
            known = _look_at(Path(path))
            self.keep({path: known})
        key, width, height, wrong = known
        return wrong or (key, (width, height))

    def _wanted(self, kind: Kind, size: Size | None, key: str, what: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?)", (kind, _sides(size), key, what))

    def _text(self, quad: Quad) -> str | None:
        """The key of the text that a quad is trained with; None where the model's null stands in, or it reads none."""
        text = quad.instruction or self.encoders.empty_text
        return None if text is None or "text" not in self.encoders.encode else self.want_text(text)

    def want_text(self, text: str) -> str:
        """Note a text that is to be encoded; its key."""
        key = text_key(text)
        self._want("text", None, key, text)
        return key


def make_plan(quads: Iterable[Quad], encoders: Encoders, spread: Spread = serially) -> Plan:
    """Look at every picture of the quads (size and hash, nothing is decoded) and list what is to be encoded.

    spread: who looks.
    """
    plan = Plan(encoders)
    asked: deque[list[Quad]] = deque()

    def parts() -> Iterator[list[str]]:
        rest = iter(quads)
        while part := list(islice(rest, LOOKED_AT_ONCE)):
            asked.append(part)
            yield plan.unseen(part)

    for looked in spread(lambda: look_at, parts(), lambda paths, why: {}, True):
        plan.keep(looked)
        for quad in asked.popleft():
            plan.add(quad)
    if encoders.empty_text is not None and len(plan):
        plan.want_text(encoders.empty_text)  # training may leave instructions away
    return plan


def part_bounds(number: int, parts: int) -> tuple[str, str]:
    """The keys of part `number` of `parts`, a power of two: from the first on, below the second."""
    width = 2**32 // parts
    high = (number + 1) * width
    return f"{number * width:08x}", "g" if high == 2**32 else f"{high:08x}"


def look_at(paths: Iterable[str]) -> dict[str, Look]:
    """Key, width, height of every picture, or what is wrong with it."""
    return {path: _look_at(Path(path)) for path in paths}


def _look_at(path: Path) -> Look:
    try:
        width, height = picture_size(path)
        return file_key(path), width, height, None
    except PictureError as error:
        return "", 0, 0, str(error)


def _sides(size: Size | None) -> str:
    return "" if size is None else f"{size[0]}x{size[1]}"


def _size(sides: str) -> Size | None:
    width, _, height = sides.partition("x")
    return (int(width), int(height)) if sides else None


def opened(shard: Shard, what: Path | str, open_picture: Callable[[Path], Image.Image]) -> Image.Image | str:
    """What the encoder is given: the text, or the picture, filling its bucket where it has one. Raises PictureError."""
    if isinstance(what, str):
        return what
    picture = open_picture(what)
    return picture if shard.size is None else fill(picture, shard.size)
