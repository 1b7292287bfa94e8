"""What a model gets wrong where the truth is known, learned from colours and nearby pixels, and taken off elsewhere.

The pair that shows an edit is a source with its true result, too. How the model's own result there differs from it is
told by ridge regression from what every pixel shows; the same is then expected of its other results. What is left is
told by curves, as of a photo program: of each colour of the source, and of its luma. Where the pair tells little, as of
a mirror image, little is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from relation_adapter.detail import box_mean
from relation_adapter.units import Unit

Coefficients = npt.NDArray[np.float32]
Values = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]

RADII = (1, 3)  # px, of the surroundings that a pixel is compared with
RIDGE = 1e-3
BLOCK = 16  # px; every second block is kept out in turn, to see how well the rest foretells it
PAIRS = [(first, second) for first in range(6) for second in range(first, 6)]
FEATURES = 1 + 6 + len(PAIRS) + 6 * len(RADII)
KNOTS = 128  # of a curve, even steps from 0 to 1: enough for the steps of a posterized picture
COLOURS = 4  # that curves are of: red, green, blue, luma
STIFFNESS = 6e-5  # of curves, for their height and for their bends
LEAST = 0.4  # share of what is left that curves must tell: a curve fits any pair a little
ROWS = FEATURES + COLOURS * KNOTS
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Known:
    """A result, its source and its true target, each (H, W, 3) in [0, 1]."""

    result: Unit
    source: Unit
    target: Unit


def fit_correction(known: Sequence[Known]) -> tuple[Coefficients, float]:
    """(ROWS, 3): what `correction_of` adds to results of the same edit; and the share of the error that it tells.

    The share is that of blocks of the pictures which the fit has not seen, and what is added is scaled by it.
    """
    features, levels, errors, odd = (np.concatenate(each) for each in zip(*map(_rows, known), strict=True))
    colours = Mix(features)
    first, told = fitted(colours, errors, odd, RIDGE * np.eye(FEATURES))
    first *= told
    second, more = fitted(Curves(levels), errors - colours.times(first), odd, stiffness(COLOURS))
    more = max(0.0, (more - LEAST) / (1 - LEAST))
    return np.concatenate([first, more * second]).astype(np.float32), 1 - (1 - told) * (1 - more)


def correction_of(result: Unit, source: Unit, coefficients: Coefficients) -> Unit:
    """What is to be added to a result; all (H, W, 3)."""
    total, first = np.zeros_like(result), 0
    for part in _parts(result, source):
        last = first + part.shape[2]
        total += part @ coefficients[first:last]
        first = last
    curves = coefficients[FEATURES:]
    return total + Curves(_levels(source)).times(curves).astype(np.float32) if curves.any() else total


class _Part(Protocol):
    """What is told of N pixels by F numbers each, and linear in them."""

    def sums(self, errors: Values, rows: Mask) -> tuple[Values, Values]:
        """(F, F) and (F, 3): of the numbers with each other and with the errors, over some pixels."""

    def times(self, coefficients: Values) -> Values:
        """(N, 3), with coefficients (F, 3)."""


@dataclass(frozen=True)
class Mix:
    """Numbers of pixels, each as often as its coefficient says."""

    numbers: Values  # (N, F)

    def sums(self, errors: Values, rows: Mask) -> tuple[Values, Values]:
        seen = self.numbers[rows]
        return seen.T @ seen, seen.T @ errors[rows]

    def times(self, coefficients: Values) -> Values:
        return self.numbers @ coefficients


@dataclass(frozen=True)
class Curves:
    """C curves, straight from knot to knot: of the knots of each, the two beside a level share in it."""

    levels: Unit  # (..., C) in [0, 1]

    @property
    def count(self) -> int:
        """C * KNOTS, of the numbers that they have for each colour."""
        return self.levels.shape[-1] * KNOTS

    def sums(self, errors: Values, rows: Mask) -> tuple[Values, Values]:
        place = self.levels[rows] * np.float64(KNOTS - 1)
        low = np.minimum(place.astype(np.int64), KNOTS - 2)
        first = low + np.arange(0, self.count, KNOTS)
        knots = np.concatenate([first, first + 1], axis=1)
        weights = np.concatenate([1 - (place - low), place - low], axis=1)
        count = self.count
        both = (knots[:, :, None] * count + knots[:, None]).ravel()
        squares = np.bincount(both, (weights[:, :, None] * weights[:, None]).ravel(), count * count)
        products = [np.bincount(knots.ravel(), (weights * one[:, None]).ravel(), count) for one in errors[rows].T]
        return squares.reshape(count, count).astype(np.float64), np.stack(products, axis=1)

    def times(self, coefficients: Values) -> Values:
        knots, tables = np.linspace(0, 1, KNOTS), coefficients.reshape(-1, KNOTS, 3)
        drawn = [
            [np.interp(self.levels[..., curve], knots, column) for column in table.T]
            for curve, table in enumerate(tables)
        ]
        return np.moveaxis(np.sum(drawn, axis=0), 0, -1)


def fitted(part: _Part, errors: Values, odd: Mask, penalty: Values) -> tuple[Values, float]:
    """(F, 3) by ridge regression, and the share of the errors' squares that it tells of blocks kept out."""
    halves = [part.sums(errors, odd == kept) for kept in (False, True)]
    counts = [int((odd == kept).sum()) for kept in (False, True)]
    folds = [part.times(_solved(*half, count * penalty)) for half, count in zip(halves, counts, strict=True)]
    left = errors - np.where(odd[:, None], *folds)
    share = max(0.0, 1 - float(np.square(left).sum() / (np.square(errors).sum() + 1e-9)))
    squares, products = (np.add(*each) for each in zip(*halves, strict=True))
    return _solved(squares, products, sum(counts) * penalty), share


def _solved(squares: Values, products: Values, penalty: Values) -> Values:
    few = 1e-12 * np.eye(len(squares))  # a small picture has no second block
    found: Values = np.linalg.solve(squares + penalty + few, products)
    return found


def stiffness(curves: int) -> Values:
    """What the heights and the bends of so many curves cost."""
    bends = np.diff(np.eye(KNOTS), 2, axis=0)
    return STIFFNESS * np.kron(np.eye(curves), np.eye(KNOTS) + bends.T @ bends)


def _rows(known: Known) -> tuple[Values, Unit, Values, Mask]:
    """By pixel: (N, FEATURES) what it shows, (N, COLOURS) levels, (N, 3) the error, (N,) if in a black block."""
    height, width = known.result.shape[:2]
    features = np.concatenate([*_parts(known.result, known.source)], axis=2).reshape(-1, FEATURES)
    errors = (known.target - known.result).reshape(-1, 3).astype(np.float64)
    return features.astype(np.float64), _levels(known.source).reshape(-1, COLOURS), errors, board(height, width)


def board(height: int, width: int) -> Mask:
    """(N,): which pixels are in the black blocks of a chess board; fits of the others are tried on them."""
    return (np.add.outer(np.arange(height) // BLOCK, np.arange(width) // BLOCK) % 2 == 1).reshape(-1)


def _levels(source: Unit) -> Unit:
    """(H, W, COLOURS): of red, green, blue and luma."""
    return np.concatenate([source, (source @ LUMA)[..., None]], axis=2)


def _parts(result: Unit, source: Unit) -> Iterator[Unit]:
    """What a pixel shows, FEATURES numbers in all, part by part (H, W, n); all at once a large picture has no room.

    1, the colours, their squares and products, and how they differ from their surroundings.
    """
    colours = np.concatenate([result, source], axis=2)
    first, second = zip(*PAIRS, strict=True)
    yield np.ones_like(colours[..., :1])
    yield colours
    yield colours[..., first] * colours[..., second]
    for radius in RADII:
        yield (colours - box_mean(colours.astype(np.float64), radius)).astype(np.float32)
