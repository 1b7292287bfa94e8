"""What a picture looks like, in a few numbers: to find it again, exactly or nearly, and to see where it was cut."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from relation_adapter.images import open_picture

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.intp]
NEAR_BITS = 3  # of 64 that near pictures may differ in
NEAR_TONES = 6.0  # of 255, the mean difference of their thumbnails
PLAIN_BITS = 6  # a hash with fewer bits set, or clear, is of a picture with nothing in it
RATIO = 0.02  # by which the shapes of before and after may differ
EDGE = 0.3  # the part of the width at a side in which a seam is looked for
SEAM_ROWS = 0.6  # the part of the height that a seam spans
SEAM_TONES = 16.0  # of 255
BLOCK = 250_000  # comparisons at once: a few MB


@dataclass(frozen=True)
class Look:
    """Of an upright picture: size in px, digest of its pixels, its dHash; and, in tones, its sides and seams.

    left, right: the outermost columns, at 64 rows. step: what usually lies between two columns. left_seam, right_seam:
    whether a hard edge near that side runs down the whole picture.
    """

    width: int
    height: int
    digest: int
    dhash: int
    left: npt.NDArray[np.float32]
    right: npt.NDArray[np.float32]
    step: float
    left_seam: bool
    right_seam: bool


@lru_cache(maxsize=2048)  # in a file of quads a picture comes many times
def look(path: Path) -> Look:
    """Open a picture and look at it. Raises PictureError."""
    image = open_picture(path)
    digest = hashlib.blake2b(repr(image.size).encode() + image.tobytes(), digest_size=8).digest()
    columns = np.asarray(image.convert("L").resize((image.width, 64), Image.Resampling.BOX), dtype=np.float32)
    steps = np.abs(np.diff(columns, axis=1))  # (64, W - 1)
    typical = float(np.median(steps.mean(axis=0))) if steps.size else 0.0
    hard = (steps > SEAM_TONES).mean(axis=0) >= SEAM_ROWS
    hard &= steps.mean(axis=0) > 6 * typical
    zone = max(1, round(EDGE * image.width))
    return Look(
        *image.size,
        int.from_bytes(digest),
        dhash(image),
        columns[:, 0],
        columns[:, -1],
        typical,
        bool(hard[:zone].any()),
        bool(hard[-zone:].any()),
    )


def dhash(image: Image.Image) -> int:
    """64 bits: of 9 x 8 tones, whether each is brighter than the one on its left.

    After "difference hash", N. Krawetz, 2013.
    """
    tones = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    return int.from_bytes(np.packbits(tones[:, 1:] > tones[:, :-1]).tobytes())


def cut_elsewhere(before: Look, after: Look) -> bool:
    """Whether two halves of a glued picture look as if it had to be cut at another place.

    Then the cut goes through one picture, so its sides fit together, and the true seam is inside of a half. A frame has
    such edges too, but on both sides.
    """
    if (before.width, before.height) != (after.width, after.height):
        return False
    join = float(np.abs(before.right - after.left).mean())
    seam = (before.right_seam and not before.left_seam) or (after.left_seam and not after.right_seam)
    return seam and join <= 2 * max(before.step, after.step, 0.5)


def other_shapes(before: Look | Image.Image, after: Look | Image.Image) -> str | None:
    """Both sizes in words, where two pictures differ in shape."""
    shapes = (before.width / before.height, after.width / after.height)
    if max(shapes) / min(shapes) <= 1 + RATIO:
        return None
    return f"{before.width}x{before.height} and {after.width}x{after.height}"


def alike(first: Path, second: Path) -> bool:
    """Whether two pictures differ by little more than their compression. Raises PictureError."""
    return float(np.abs(_thumbnail(first) - _thumbnail(second)).mean()) <= NEAR_TONES


@lru_cache(maxsize=4096)
def _thumbnail(path: Path) -> npt.NDArray[np.float32]:
    return np.asarray(open_picture(path).resize((16, 16), Image.Resampling.BOX), dtype=np.float32)


def near(first: Hashes, second: Hashes) -> Iterator[tuple[int, int]]:
    """(i, j) of all first[i] and second[j] that differ in at most NEAR_BITS bits, plain ones left out.

    Two such hashes agree in at least one of four quarters, so only those that do are compared.
    """
    for quarter in range(NEAR_BITS + 1):
        mine, theirs = _quarter(first, quarter), _quarter(second, quarter)
        order = np.argsort(theirs, kind="stable")
        starts = np.searchsorted(theirs[order], np.arange(65_537))
        for key in np.unique(mine):
            group = order[starts[key] : starts[key + 1]]
            rows = np.flatnonzero(mine == key) if len(group) else group
            for part in np.array_split(rows, max(1, len(rows) * len(group) // BLOCK)):
                yield from _close(first, second, part, group, quarter)


def _close(first: Hashes, second: Hashes, rows: Places, group: Places, quarter: int) -> Iterator[tuple[int, int]]:
    differ = first[rows][:, None] ^ second[group][None, :]
    ones = np.bitwise_count(first[rows])
    close = (np.bitwise_count(differ) <= NEAR_BITS) & ((PLAIN_BITS <= ones) & (ones <= 64 - PLAIN_BITS))[:, None]
    for earlier in range(quarter):  # found there already
        close &= _quarter(differ, earlier) != 0
    for row, column in np.argwhere(close):
        yield int(rows[row]), int(group[column])


def _quarter(hashes: Hashes, quarter: int) -> Hashes:
    return (hashes >> np.uint64(16 * quarter)) & np.uint64(0xFFFF)
