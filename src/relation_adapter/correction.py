"""What a model gets wrong where the truth is known, learned from colours and nearby pixels, and taken off elsewhere.

The pair that shows an edit is a source with its true result, too. How the model's own result there differs from it is
told by ridge regression from what every pixel shows; the same is then expected of its other results. Where it tells
little, as of a mirror image, little is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from relation_adapter.detail import box_mean
from relation_adapter.images import Unit

Coefficients = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]

RADII = (1, 3)  # px, of the surroundings that a pixel is compared with
RIDGE = 1e-3
BLOCK = 16  # px; every second block is kept out in turn, to see how well the rest foretells it
PAIRS = [(first, second) for first in range(6) for second in range(first, 6)]
FEATURES = 1 + 6 + len(PAIRS) + 6 * len(RADII)


@dataclass(frozen=True)
class Known:
    """A result, its source and its true target, each (H, W, 3) in [0, 1]."""

    result: Unit
    source: Unit
    target: Unit


def fit_correction(known: Sequence[Known]) -> tuple[Coefficients, float]:
    """(FEATURES, 3): what `correction_of` adds to results of the same edit; and the share that it has been scaled by.

    That is the share of the error that such a fit explains in blocks of the pictures that it has not seen.
    """
    features, errors, odd = (np.concatenate(each) for each in zip(*map(_rows, known), strict=True))
    folds = [_solved(features[odd == kept], errors[odd == kept]) for kept in (False, True)]
    foretold = np.where(odd[:, None], features @ folds[0], features @ folds[1])
    share = max(0.0, 1 - float(np.square(errors - foretold).sum() / (np.square(errors).sum() + 1e-9)))
    return (share * _solved(features, errors)).astype(np.float32), share


def correction_of(result: Unit, source: Unit, coefficients: Coefficients) -> Unit:
    """What is to be added to a result; all (H, W, 3)."""
    total, first = np.zeros_like(result), 0
    for part in _parts(result, source):
        last = first + part.shape[2]
        total += part @ coefficients[first:last]
        first = last
    return total


def _rows(known: Known) -> tuple[Values, Values, npt.NDArray[np.bool_]]:
    """By pixel: (N, FEATURES) what it shows, (N, 3) the error, (N,) whether it is in a black block of a board."""
    height, width = known.result.shape[:2]
    features = np.concatenate([*_parts(known.result, known.source)], axis=2).reshape(-1, FEATURES)
    odd = np.add.outer(np.arange(height) // BLOCK, np.arange(width) // BLOCK) % 2 == 1
    return features.astype(np.float64), (known.target - known.result).reshape(-1, 3).astype(np.float64), odd.reshape(-1)


def _solved(features: Values, errors: Values) -> Values:
    count = max(len(features), 1)
    squares = features.T @ features / count + RIDGE * np.eye(FEATURES)
    return np.linalg.solve(squares, features.T @ errors / count).astype(np.float64)


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
