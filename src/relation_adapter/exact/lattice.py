"""Edits that are a table from colour to colour: the three-dimensional LUTs of photo and film programs.

A hue turned, vibrance, one colour kept, split toning, the look of a film: what becomes of a pixel is told by its own
colour, but by no mix of its numbers, and by no curve. The table says it at the corners of a lattice in the cube of all
colours; between them it is straight.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from relation_adapter.correction import Coefficients, Known, Values
from relation_adapter.units import Unit

SIDE = 9  # corners along each colour
CORNERS = SIDE**3
STEPS = np.array([SIDE * SIDE, SIDE, 1])  # from a corner to the next one in red, green, blue
MOST = 0.5  # of the pixels have to change
LEAST = 2.5 / 255  # by which a pixel has changed
SPREAD = 0.1  # of the colours of those that changed
BENDS, SLOPES = 3e-3, 3e-5  # what the table costs: so colours that a pair lacks are told from those near them
Indices = npt.NDArray[np.int64]


def fit_lattice(known: Sequence[Known]) -> tuple[Coefficients, float]:
    """(CORNERS, 3): what the corners become; and the mean square error of colours that the fit has not seen.

    Those are the colours of every second cell. An edit of one thing alone is a table from colour to colour, too, but it
    says nothing of the colours that the thing has not.
    """
    colours, targets = (
        np.concatenate([picture.reshape(-1, 3) for picture in pictures]).astype(np.float64)
        for pictures in ([one.source for one in known], [one.target for one in known])
    )
    affine = np.linalg.lstsq(_with_one(colours), targets, rcond=None)[0]
    plain = _with_one(np.indices((SIDE,) * 3).reshape(3, -1).T / (SIDE - 1)) @ affine
    odd = _cells(colours).sum(axis=1) % 2 == 1
    corners, weights = _beside(colours)
    halves = [_sums(corners[rows], weights[rows], targets[rows]) for rows in (~odd, odd)]
    wrong = 0.0
    for half, rows in zip(halves, (odd, ~odd), strict=True):
        made = _mixed(_solved(*half, plain, int((~rows).sum())), corners[rows], weights[rows])
        wrong += float(np.square(targets[rows] - made.clip(0, 1)).sum())
    squares, products = (np.add(*both) for both in zip(*halves, strict=True))
    return _solved(squares, products, plain, len(odd)).astype(np.float32), wrong / targets.size


def lattice_of(source: Unit, table: Coefficients) -> Values:
    """(H, W, 3), of a source in [0, 1]."""
    return _mixed(table, *_beside(source.reshape(-1, 3))).reshape(source.shape)


def changes_all(known: Sequence[Known]) -> bool:
    """Whether most pixels change, and not to one colour, as where a thing or what is behind it is painted."""
    each = [np.abs(one.target - one.source).max(axis=2) > LEAST for one in known]
    spread = [
        np.sqrt(one.target[rows].var(axis=0).sum()) if rows.any() else 0 for one, rows in zip(known, each, strict=True)
    ]
    return float(np.mean([rows.mean() for rows in each])) > MOST and float(np.mean(spread)) > SPREAD


def shown(source: Unit) -> Values:
    """(N, 3, CORNERS): how much of every corner a pixel has, for each colour the same."""
    corners, weights = _beside(source.reshape(-1, 3))
    shares = np.zeros((len(corners), CORNERS))
    np.put_along_axis(shares, corners, weights, axis=1)
    return np.repeat(shares[:, None], 3, axis=1)


def _with_one(colours: Values) -> Values:
    return np.concatenate([np.ones_like(colours[:, :1]), colours], axis=1)


def _cells(colours: Values) -> Indices:
    """(N, 3): the lowest corner of the cell that a colour lies in."""
    return np.minimum((colours.clip(0, 1) * (SIDE - 1)).astype(np.int64), SIDE - 2)


def _beside(colours: Values) -> tuple[Indices, Values]:
    """(N, 4): the corners of the tetrahedron that a colour lies in, of the six of its cell, and their shares.

    From the darkest corner of a cell to the lightest, along the colours in the order of what is over: so greys lie on
    an edge, and where the order of red, green and blue changes, as in a hue's turn, a face is.
    """
    cells = _cells(colours)
    red, green, blue = (colours.clip(0, 1) * (SIDE - 1) - cells.astype(colours.dtype)).T
    most, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    middle = red + green + blue - most - least
    first = np.where(most == red, STEPS[0], np.where(most == green, STEPS[1], STEPS[2]))
    last = np.where(least == blue, STEPS[2], np.where(least == green, STEPS[1], STEPS[0]))
    darkest = cells @ STEPS
    corners = np.stack([darkest, darkest + first, darkest + STEPS.sum() - last, darkest + STEPS.sum()], axis=1)
    return corners, np.stack([1 - most, most - middle, middle - least, least], axis=1)


def _mixed(table: Values, corners: Indices, weights: Values) -> Values:
    """(N, 3): corners mixed by their shares, one after the other, as a large picture has no room for all at once."""
    mixed: Values = weights[:, :1] * table[corners[:, 0]]
    for place in range(1, 4):
        mixed += weights[:, place, None] * table[corners[:, place]]
    return mixed


def _sums(corners: Indices, weights: Values, targets: Values) -> tuple[Values, Values]:
    """(CORNERS, CORNERS) and (CORNERS, 3): products of shares with each other and with the targets."""
    both = (corners[:, :, None] * CORNERS + corners[:, None]).ravel()
    squares = np.bincount(both, (weights[:, :, None] * weights[:, None]).ravel(), CORNERS**2)
    products = [np.bincount(corners.ravel(), (weights * one[:, None]).ravel(), CORNERS) for one in targets.T]
    return squares.reshape(CORNERS, CORNERS).astype(np.float64), np.stack(products, axis=1)


def _solved(squares: Values, products: Values, plain: Values, count: int) -> Values:
    """The table, as near to the plain one as pixels, if there are any, and bends let it."""
    found: Values = plain + np.linalg.solve(squares + max(1, count) * _costs(), products - squares @ plain)
    return found


@lru_cache(maxsize=1)
def _costs() -> Values:
    """(CORNERS, CORNERS): of bends and slopes along red, green and blue."""
    total, same = 1e-9 * np.eye(CORNERS), np.eye(SIDE)
    for order, cost in ((1, SLOPES), (2, BENDS)):
        differences = np.diff(np.eye(SIDE), order, axis=0)
        along = differences.T @ differences
        for axis in range(3):
            parts = [along if axis == place else same for place in range(3)]
            total += cost * np.kron(np.kron(parts[0], parts[1]), parts[2])
    return total / CORNERS
