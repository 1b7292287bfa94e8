"""Stamps, told from a pair: most of the picture is as it was, and what is not lies across what it shows.

One pair does not say whether the next picture gets it at the same place. But what follows the picture, a hat, an
outline, another colour of an object, ends where things in it end; a stamp ends wherever it ends. So the outline of what
changed is laid over the edges of before, there and a little beside: a stamp's meets as many beside as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from relation_adapter.editor import Pair
from relation_adapter.exact.stamps import BLANK, Stamp
from relation_adapter.images import to_rgb
from relation_adapter.units import Unit, to_unit

Mask = npt.NDArray[np.bool_]

SIDE = 256  # px, of pictures in which outlines are compared
LARGEST = 1024  # px, of pictures in which a stamp is kept
CHANGED = 2.5 / 255  # that a pixel differs by at least
NOISY = 3.5  # times what JPEG left, that means of 3 x 3 pixels do
STRONG = 3.0  # times that, that each part of a stamp does somewhere
LEAST, MOST, MOST_INSIDE = 0.0005, 0.7, 0.5  # of a picture, that a stamp takes; and one that is not at its rim
COVERED = 0.98  # of each border, or of two that face each other, that a stamp at the rim covers
PARTS = 20  # of a stamp: more are confetti, whose next picture has them elsewhere
EDGE = 0.2  # that colours of neighbours differ by: more counts no more
BESIDE, FAR = (3, 10), 15  # px of 128, from where to where is a little beside, and what is far
HIDDEN = 0.02  # that a colour differs by, of which nothing is told where it is laid over
ONE = 0.0015  # of the change, that one colour laid over may leave
SURELY_ONE = 0.0001  # the same of what is drawn in one colour, and not shaded as things are
FEW_AT_RIM = 8  # colours of 4 bits, that make most of the change of a stamp at the rim of several colours
FEW, FEWEST = 3, 2  # the same of others, with a long outline and with any
MAIN = 0.8  # most of the change
BOX = np.ones((3, 3))
SAMPLE = 20_000  # pixels, of which one colour is told
AGAIN = 0.05  # of the error of doing nothing, that a stamp may leave of the other pairs


@dataclass(frozen=True)
class _Asked:
    """What an outline has to be like.

    least, most: times the edges a little beside, that it meets. even: how much of those they may differ by from place
    to place. usual: how many deviations what it meets may lie off that of beside, and of far away. busy: edge that it
    meets beside at least. long: its length in sides of a square as large as the picture.
    """

    least: float
    most: float
    even: float
    usual: float = float("inf")
    busy: float = 0.0
    long: float = 0.0


AT_RIM = _Asked(0.75, 1.3, 0.3)
IN_ONE_COLOUR = _Asked(0.8, 1.25, 0.3, usual=2.1, busy=0.01, long=1.2)
IN_FEWEST = _Asked(0.83, 1.18, 0.22, usual=2.1, busy=0.023, long=1.4)
IN_FEW = replace(IN_FEWEST, long=2.3)


@dataclass(frozen=True)
class _Seen:
    """A pair (H, W, 3) in [0, 1] and (H, W) what of it changed."""

    before: Unit
    after: Unit
    changed: Mask

    @property
    def share(self) -> float:
        return float(self.changed.mean())

    @property
    def around(self) -> bool:
        """Whether all of its rim changed."""
        return min(self._sides()) > COVERED

    @property
    def at_rim(self) -> bool:
        """Whether two sides that face each other, or all corners did."""
        top, bottom, left, right = self._sides()
        return max(min(top, bottom), min(left, right)) > COVERED or bool(
            self.changed[:: len(self.changed) - 1, [0, -1]].all()
        )

    def _sides(self) -> list[float]:
        lines = self.changed[0], self.changed[-1], self.changed[:, 0], self.changed[:, -1]
        return [float(line.mean()) for line in lines]


def stamp_of(pairs: Sequence[Pair], noise: float = 0.0) -> Stamp | None:
    """The stamp that all pairs show; None where the first shows none, or another one not the same.

    noise: the mean square error that JPEG left in after, in [0, 1].
    """
    before, after = (to_rgb(one) for one in pairs[0])
    if before.size != after.size:
        return None
    small = _seen(_within(before, SIDE), _within(after, SIDE), noise)
    if not LEAST < small.share < MOST or (ndimage.label(small.changed, BOX)[1] > PARTS and not small.around):
        return None
    seen = _seen(_within(before, LARGEST), _within(after, LARGEST), noise)
    if not seen.changed.any():
        return None
    colour, left = _one_colour(seen)
    asked = _asked(seen, left)
    if asked is None or not _lies_across(small, asked):
        return None
    kept = _kept(seen, colour) if left < ONE else _covered(seen)
    stamp = _cut(seen, kept)
    return stamp if all(_leaves(stamp, pair) < AGAIN for pair in pairs[1:]) else None


def _asked(seen: _Seen, left: float) -> _Asked | None:
    """What the outline has to be like; None where it is none. left: what one colour leaves of the change."""
    colours = _colours(seen)
    if seen.at_rim and (left < ONE or colours <= FEW_AT_RIM):
        return AT_RIM
    if seen.share > MOST_INSIDE or seen.around:
        return None
    if left < SURELY_ONE:
        return IN_ONE_COLOUR
    return IN_FEWEST if colours <= FEWEST else IN_FEW if colours <= FEW else None


def _within(picture: Image.Image, side: int) -> Image.Image:
    """A picture as large as it is, or made smaller to that side."""
    scale = min(1.0, side / max(picture.size))
    size = tuple(max(1, round(scale * each)) for each in picture.size)
    return picture if size == picture.size else picture.resize((size[0], size[1]), Image.Resampling.BOX)


def _seen(before: Image.Image, after: Image.Image, noise: float) -> _Seen:
    first, second = to_unit(before), to_unit(after)
    changed = np.abs(second - first).max(axis=2) > CHANGED
    if noise:
        means = ndimage.uniform_filter(np.square(second - first).mean(axis=2), 3, mode="nearest")
        changed &= means > NOISY**2 * min(noise, float(np.median(means)))
        parts, count = ndimage.label(changed, BOX)
        strongest = ndimage.maximum(means, parts, np.arange(count + 1))
        changed &= (strongest > (STRONG * NOISY) ** 2 * min(noise, float(np.median(means))))[parts]
        changed = ndimage.binary_dilation(changed, BOX)
    return _Seen(first, second, changed)


def _lies_across(seen: _Seen, asked: _Asked) -> bool:
    """Whether the outline of what changed meets as many edges of before there as a little beside."""
    length, here, beside, spread, far, far_spread = _edges_met(seen)
    usual = abs(here - beside) <= asked.usual * spread and abs(here - far) <= asked.usual * far_spread
    even = spread < asked.even * beside and beside > asked.busy
    long = length > asked.long * np.sqrt(seen.changed.size)
    return bool(usual and even and long and asked.least < here / (beside + 1e-4) < asked.most)


def _edges_met(seen: _Seen) -> tuple[float, float, float, float, float, float]:
    """The length of the outline, px; the mean edge it meets; mean and deviation of the same beside, and far away."""
    height, width = seen.changed.shape
    total, length = np.zeros((height, width)), 0
    for axis in (0, 1):
        edges, outline = np.zeros((2, height, width))
        steps = np.abs(np.diff(seen.before, axis=axis)).max(axis=2).clip(0, EDGE)
        ends = np.diff(seen.changed, axis=axis)
        edges[: steps.shape[0], : steps.shape[1]], outline[: ends.shape[0], : ends.shape[1]] = steps, ends
        total += np.fft.irfft2(np.fft.rfft2(edges) * np.conj(np.fft.rfft2(outline)), s=total.shape)
        length += int(ends.sum())
    met = total / max(1, length)
    rows, columns = (np.minimum(np.arange(side), side - np.arange(side)) for side in met.shape)
    away = np.hypot(rows[:, None], columns) / max(1.0, np.sqrt(met.size) / 128)
    beside, far = met[(away >= BESIDE[0]) & (away <= BESIDE[1])], met[away > FAR]
    return length, met[0, 0], beside.mean(), beside.std(), far.mean(), far.std()


def _colours(seen: _Seen) -> int:
    """How many colours of 4 bits make most of the change."""
    levels = (seen.after[seen.changed] * 15.99).astype(int)
    change = np.square(seen.after - seen.before)[seen.changed].sum(axis=1)
    shares = np.sort(np.bincount(levels @ np.array([256, 16, 1]), change))[::-1]
    return int(np.searchsorted(np.cumsum(shares), MAIN * shares.sum())) + 1


def _one_colour(seen: _Seen) -> tuple[Any, float]:
    """(3,): the colour laid over what changed, more or less of it; and the share of the change that this leaves."""
    before, after = seen.before[seen.changed], seen.after[seen.changed]
    every = max(1, len(before) // SAMPLE)
    before, change = before[::every], (after - before)[::every]
    strongest = np.argsort(-np.abs(change).max(axis=1))[: max(8, len(change) // 20)]
    best: tuple[Any, float] = (np.zeros(3), np.inf)
    for colour in (np.zeros(3), np.ones(3), (before + change)[strongest].mean(axis=0)):
        for _ in range(15):
            share = _shares(before, change, colour)[:, None]
            colour = ((share * (change + share * before)).sum(axis=0) / (np.square(share).sum() + 1e-9)).clip(0, 1)
        share = _shares(before, change, colour)[:, None]
        left = float(np.square(change - share * (colour - before)).sum() / np.square(change).sum())
        if left < best[1]:
            best = colour, left
    return best


def _shares(before: Any, change: Any, colour: Any) -> Any:
    """How much of a colour was laid over pixels (N, 3) to change them so."""
    way = colour - before
    return ((change * way).sum(axis=1) / (np.square(way).sum(axis=1) + 1e-4)).clip(0, 1)


def _kept(seen: _Seen, colour: Any) -> npt.NDArray[np.float32]:
    """(H, W): what is kept where one colour is laid over.

    Where before has that colour, it does not say it; nothing is, on lines that are covered elsewhere.
    """
    kept = np.ones(seen.changed.shape, np.float32)
    before, after = seen.before[seen.changed], seen.after[seen.changed]
    kept[seen.changed] = 1 - _shares(before, after - before, colour)
    hidden = (np.abs(seen.before - colour).max(axis=2) < HIDDEN) & ~seen.changed
    for axis in (0, 1):  # bars
        covered, shown = ((kept < 1) & ~hidden).sum(axis=axis), (~hidden).sum(axis=axis)
        bar = (covered >= COVERED * shown) & (covered > 0)
        kept[hidden & np.expand_dims(bar, axis)] = 0
    return kept


def _covered(seen: _Seen) -> npt.NDArray[np.float32]:
    """(H, W): nothing is kept but at the outline, where the colour inside is mixed with what was there."""
    kept = 1 - seen.changed.astype(np.float32)
    inside = ndimage.binary_erosion(seen.changed, BOX, border_value=1)
    rim = seen.changed & ~inside
    if not inside.any() or not rim.any():
        return kept
    places = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    colour, before = seen.after[places[0][rim], places[1][rim]], seen.before[rim]
    change = seen.after[rim] - before
    share = _shares(before, change, colour)
    mixed = np.abs(change - share[:, None] * (colour - before)).max(axis=1) < 2 * CHANGED
    kept[rim] = np.where(mixed, 1 - share, 0)
    return kept


def _cut(seen: _Seen, kept: npt.NDArray[np.float32]) -> Stamp:
    """The stamp of a pair that keeps so much, without what of the picture has none of it."""
    values = np.concatenate([kept[..., None], seen.after - kept[..., None] * seen.before], axis=2)
    values[kept == 1] = (1, 0, 0, 0)
    ends = []
    for axis, side in ((1, len(kept)), (0, kept.shape[1])):
        lines = np.flatnonzero((kept < 1).any(axis=axis))
        ends.append((max(0, lines[0] - BLANK), min(side, lines[-1] + 1 + BLANK)))
    (top, bottom), (left, right) = ends
    cut = values[top:bottom, left:right].astype(np.float16).astype(np.float32)  # as it is kept in files
    return Stamp(cut, int(left), int(top), kept.shape[1], len(kept))


def _leaves(stamp: Stamp, pair: Pair) -> float:
    """The share of the error of doing nothing, that it leaves of another pair."""
    before, after = (to_unit(to_rgb(one)) for one in pair)
    if before.shape != after.shape:
        return float("inf")
    made = stamp.lay(before, 0, len(before))
    return float(np.square(made - after).mean() / (np.square(before - after).mean() + 1e-9))
