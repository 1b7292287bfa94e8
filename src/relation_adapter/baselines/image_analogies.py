"""Image Analogies (Hertzmann et al., SIGGRAPH 2001): before is to after as source is to the result, by patches alone.

No weights. The result is made from coarse to fine, pixel by pixel: each takes over the pixel of `after` whose
surroundings in `before` and `after`, on its own level and the coarser one, are most like its own in source and result
so far; found in a kd-tree, or continued from a neighbour where that is about as good (Ashikhmin's coherence).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relation_adapter.baselines import Choices
from relation_adapter.editor import EditRequest, EditResult, Pair
from relation_adapter.images import fit_size, resize, to_rgb
from relation_adapter.units import from_unit, to_unit

Plane = NDArray[np.float32]  # (H, W, C)
Points = NDArray[np.intp]  # (N, 2) of y, x

FINE, COARSE = 2, 1  # radii of the surroundings, px: 5x5 on the pixel's own level, 3x3 on the coarser one
# What is known around a pixel when its turn comes: the rows above, and the left of its own.
CAUSAL = [(dy, dx) for dy in range(-FINE, 1) for dx in range(-FINE, FINE + 1) if (dy, dx) < (0, 0)]
FULL = [(dy, dx) for dy in range(-FINE, FINE + 1) for dx in range(-FINE, FINE + 1)]
NEAR = [(dy, dx) for dy in range(-COARSE, COARSE + 1) for dx in range(-COARSE, COARSE + 1)]
NOWHERE = -(10**6)
_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], np.float32)
_RGB = np.linalg.inv(_YIQ).astype(np.float32)


def make(choices: Choices) -> ImageAnalogies:
    """The editor; choices.size: its longer side is that of the pictures worked at."""
    return ImageAnalogies() if choices.size is None else ImageAnalogies(max(choices.size))


@dataclass(frozen=True)
class ImageAnalogies:
    """The editor.

    long_side: px that larger pictures are worked at; the result is brought to the source's size. levels: of the
    pyramid, at most. coherence: kappa of the paper, 0 hardly ever continues a neighbour. dimensions: principal
    components that are compared, where the paper compares all numbers of the surroundings. slack: what is found is at
    most 1 + slack times as far as the nearest. keeps_colours: how much an edit may change I and Q (mean, in [0, 1]
    pixels) and still be taken for one of brightness alone, which is all that is then made anew.
    """

    long_side: int = 256
    levels: int = 4
    coherence: float = 1.0
    dimensions: int = 16
    slack: float = 1.0
    keeps_colours: float = 0.02

    @property
    def name(self) -> str:
        """With the size, where it is another."""
        return "image_analogies" + ("" if self.long_side == 256 else f" size={self.long_side}")

    def edit(self, request: EditRequest) -> EditResult:
        """Make the edit; the seed has no part in it."""
        start = time.perf_counter()
        source = to_rgb(request.source)
        size = fit_size(*source.size, long_side=min(self.long_side, max(source.size)), multiple=1)
        before, after = _side_by_side(request.pairs, self.long_side)
        made = self._colours(before, after, to_unit(resize(source, size)))
        picture = from_unit(made.clip(0, 1))
        return EditResult(resize(picture, source.size), time.perf_counter() - start)

    def _colours(self, before: Plane, after: Plane, source: Plane) -> Plane:
        """The result, (H, W, 3); in brightness alone where the edit keeps the colours, else in all three."""
        a, b, c = before @ _YIQ.T, after @ _YIQ.T, source @ _YIQ.T
        change, colour = np.abs(b - a)[..., 1:].mean(), np.abs(a)[..., 1:].mean()
        # In a dark picture there is little to change: there it counts that colours turn into their opposites.
        if change > self.keeps_colours or change > colour + 1e-3:
            return self._analogy(before, after, source)
        # The paper's remapping: the pair's brightness is given the mean and the spread of the source's.
        scale = c[..., :1].std() / max(float(a[..., :1].std()), 1e-3)
        mean, wanted = a[..., :1].mean(), c[..., :1].mean()
        made = self._analogy((a[..., :1] - mean) * scale + wanted, (b[..., :1] - mean) * scale + wanted, c[..., :1])
        return np.concatenate([made, c[..., 1:]], axis=-1) @ _RGB.T

    def _analogy(self, before: Plane, after: Plane, source: Plane) -> Plane:
        """From coarse to fine."""
        smallest = min(*before.shape[:2], *source.shape[:2])
        levels = max(1, min(self.levels, int(np.log2(max(smallest // 8, 1))) + 1))
        stacks = zip(*(_pyramid(picture, levels) for picture in (before, after, source)), strict=True)
        coarser: tuple[Plane, Plane, Plane, Plane] | None = None
        for level, (a, b, c) in enumerate(stacks):
            coarser = (a, b, c, self._level(a, b, c, coarser, self.coherence * 2.0 ** (level + 1 - levels)))
        assert coarser is not None
        return coarser[3]

    def _level(
        self, a: Plane, b: Plane, c: Plane, coarser: tuple[Plane, Plane, Plane, Plane] | None, kappa: float
    ) -> Plane:
        """The result on one level; coarser: before, after, source and result of the level below, None on the first."""
        of_pair, of_source, guess = [_around(a, FULL)], [_around(c, FULL)], c
        if coarser is not None:
            of_pair += [_grown(_around(picture, NEAR), a) for picture in coarser[:2]]
            of_source += [_grown(_around(picture, NEAR), c) for picture in coarser[2:]]
            guess = _grown(coarser[3], c)
        seen, asked = (np.concatenate(parts, axis=2) for parts in ([*of_pair, _around(b, CAUSAL)], of_source))
        features = seen.reshape(a.shape[0] * a.shape[1], -1)
        basis = _principal(features, self.dimensions)
        known = asked.shape[2] * asked.shape[3]
        search = _Search(features @ basis, a.shape[1], self.slack)
        return _fill(search, b, guess, asked.reshape(*c.shape[:2], -1) @ basis[:known], basis[known:], kappa)


def _fill(search: _Search, after: Plane, guess: Plane, wanted: Plane, basis: Plane, kappa: float) -> Plane:
    """The result, as pixel after pixel in reading order; those of one front need none of each other, and go at once.

    guess: (H, W, C), stands for what lies outside. wanted: (H, W, D), the features that are known before; basis: of
    those that are not.
    """
    height, width = guess.shape[:2]
    made = np.pad(guess, ((FINE, FINE), (FINE, FINE), (0, 0)), mode="edge")
    origin = np.full((*made.shape[:2], 2), NOWHERE)
    steps, weights = np.array(CAUSAL), _weights(CAUSAL)
    for points in _fronts(height, width):
        around = points[:, None] + steps + FINE  # (n, 12, 2) in the padded picture
        known = made[around[..., 0], around[..., 1]] * weights
        query = wanted[points[:, 0], points[:, 1]] + known.reshape(len(points), -1) @ basis
        found = search.best(query, origin[around[..., 0], around[..., 1]] - steps, kappa)
        made[points[:, 0] + FINE, points[:, 1] + FINE] = after[found[:, 0], found[:, 1]]
        origin[points[:, 0] + FINE, points[:, 1] + FINE] = found
    return made[FINE : FINE + height, FINE : FINE + width]


class _Search:
    """The surroundings of all pixels of the pair, features (N, D), and the one to take over."""

    def __init__(self, features: Plane, width: int, slack: float) -> None:
        from scipy.spatial import KDTree

        self.features, self.slack = features, slack
        self.height, self.width = len(features) // width, width
        self.tree = KDTree(features, leafsize=32, balanced_tree=False, compact_nodes=False)

    def best(self, query: Plane, continued: NDArray[np.intp], kappa: float) -> Points:
        """Where in the pair, (n, 2); query: (n, D); continued: (n, 12, 2), where the neighbours would lead."""
        distance, index = self.tree.query(query, eps=self.slack)
        inside = ((continued >= 0) & (continued < (self.height, self.width))).all(-1)
        places = np.where(inside, continued[..., 0] * self.width + continued[..., 1], 0)
        offsets = self.features[places] - query[:, None]
        costs = np.where(inside, np.einsum("nkd,nkd->nk", offsets, offsets), np.inf)
        least = costs.argmin(1)
        rows = np.arange(len(query))
        coherent = costs[rows, least] <= distance**2 * (1 + kappa)
        chosen = np.where(coherent, places[rows, least], index)
        return np.stack(np.divmod(chosen, self.width), axis=-1)


def _fronts(height: int, width: int) -> Iterator[Points]:
    """All pixels in groups: a pixel's causal neighbours are all in groups before its own."""
    slope = FINE + 1
    for turn in range(width + slope * (height - 1)):
        rows = np.arange(max(0, -(-(turn - width + 1) // slope)), min(height - 1, turn // slope) + 1)
        yield np.stack([rows, turn - slope * rows], axis=-1)


def _pyramid(picture: Plane, levels: int) -> list[Plane]:
    """Gaussian, the coarsest first; each half as large as the next."""
    stack = [np.asarray(picture, np.float32)]
    for _ in range(levels - 1):
        stack.insert(0, _halved(stack[0]))
    return stack


def _halved(picture: Plane) -> Plane:
    """Blurred by the binomial 1 4 6 4 1, and every second pixel of it."""
    kernel = np.array([1, 4, 6, 4, 1], np.float32) / 16
    for axis in (0, 1):
        margins = [(2, 2) if at == axis else (0, 0) for at in range(3)]
        padded = np.pad(picture, margins, mode="edge")
        length = picture.shape[axis]
        picture = sum(weight * padded.take(range(at, at + length), axis) for at, weight in enumerate(kernel))
    return picture[::2, ::2]


def _grown(picture: Plane, like: Plane) -> Plane:
    """Every pixel of the finer level is given what the coarser one has at its place."""
    rows, columns = (np.arange(length) // 2 for length in like.shape[:2])
    return picture[rows][:, columns]


def _around(picture: Plane, steps: Sequence[tuple[int, int]]) -> Plane:
    """The surroundings of every pixel, weighted, (H, W, N, C); the border is repeated outwards."""
    height, width = picture.shape[:2]
    padded = np.pad(picture, ((FINE, FINE), (FINE, FINE), (0, 0)), mode="edge")
    views = [padded[FINE + dy : FINE + dy + height, FINE + dx : FINE + dx + width] for dy, dx in steps]
    return np.stack(views, axis=2) * _weights(steps)


def _weights(steps: Sequence[tuple[int, int]]) -> Plane:
    """A Gaussian of the distance, its squares summing to 1, (N, 1): each kind of surroundings counts the same."""
    values = np.exp(-np.array([dy * dy + dx * dx for dy, dx in steps]) / 4)
    return (values / np.sqrt((values**2).sum()))[:, None].astype(np.float32)


def _principal(features: Plane, dimensions: int) -> Plane:
    """The directions in which the features differ most, (D, at most dimensions)."""
    centred = features - features.mean(0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    return np.ascontiguousarray(vectors[:, ::-1][:, :dimensions])


def _side_by_side(pairs: Sequence[Pair], long_side: int) -> tuple[Plane, Plane]:
    """All pairs as one: the pictures beside each other, at the height of the first, `after` at the size of `before`."""
    sides: tuple[list[Plane], list[Plane]] = ([], [])
    for pair in pairs:
        before = to_rgb(pair[0])
        width, own = fit_size(*before.size, long_side=min(long_side, max(before.size)), multiple=1)
        height = sides[0][0].shape[0] if sides[0] else own
        for side, picture in zip(sides, pair, strict=True):
            side.append(to_unit(resize(to_rgb(picture), (max(1, round(width * height / own)), height))))
    return np.concatenate(sides[0], axis=1), np.concatenate(sides[1], axis=1)
