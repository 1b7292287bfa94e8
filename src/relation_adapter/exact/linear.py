"""Edits that a few numbers say exactly: clipped mixes of a source's colours, or of the source and its blurs.

Grey, sepia, contrast, a negative, a tint, swapped channels; blur, sharpen; and mirror images and quarter turns of the
whole, as they are or with one of these. Where the pair is such an edit, least squares says it better than any model: to
the rounding of its pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from relation_adapter.correction import LUMA, Coefficients, Known, Mask, Values, board
from relation_adapter.images import Unit

SIGMAS = (0.5, 1.0, 1.5, 2.2, 3.2, 4.5, 6.5, 9.0)  # px; blurs between them are mixes of them
LINEAR_ROWS = 1 + 3 + len(SIGMAS) + 1  # 1, the colours; each colour's own blurs; the mean luma of the whole picture
RIDGE = 1e-7
BLACK, WHITE = 1 / 255, 254 / 255  # beyond them a target may have been clipped: what it would have been is not known
FEWEST = 50  # pixels, to fit a colour to
SIMPLER = 1.15  # times the error of blurs, that a mix of colours may have
NEAR = 2 / 255  # of the mean, that the level is which a contrast leaves as it is

# Of a picture (H, W, C), under the names of Pillow.
TURNS: dict[str, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    "": lambda picture: picture,
    "flip_left_right": lambda picture: picture[:, ::-1],
    "flip_top_bottom": lambda picture: picture[::-1],
    "rotate_180": lambda picture: picture[::-1, ::-1],
    "rotate_90": np.rot90,
    "rotate_270": lambda picture: np.rot90(picture, 3),
    "transpose": lambda picture: picture.swapaxes(0, 1),
    "transverse": lambda picture: picture[::-1, ::-1].swapaxes(0, 1),
}
SIDEWAYS = ("rotate_90", "rotate_270", "transpose", "transverse")  # height and width change places


def turned(picture: Image.Image, turn: str) -> Image.Image:
    """A picture, turned by a name of TURNS."""
    return picture.transpose(Image.Transpose[turn.upper()]) if turn else picture


def turn_of(known: Sequence[Known]) -> str:
    """The turn after which the sources are most like their targets, in their luma, whatever becomes of its sign."""
    square = all(one.source.shape[0] == one.source.shape[1] for one in known)
    lumas = [(one.source @ LUMA, one.target @ LUMA) for one in known]
    likeness = {
        name: sum(_likeness(turn(source), target) for source, target in lumas)
        for name, turn in TURNS.items()
        if square or name not in SIDEWAYS
    }
    return max(likeness, key=likeness.__getitem__)  # the first of equals: as it is


def fit_linear(known: Sequence[Known], sampled: Sequence[Known] = ()) -> tuple[Coefficients, float]:
    """(LINEAR_ROWS, 3): what `linear_of` makes targets of sources with; and its mean square error.

    That is the error in blocks of the pictures which the fit has not seen. sampled: the same pictures, of single pixels
    of larger ones, whose means no longer follow a mix that was clipped; known, of means, has less noise.
    """
    colours, coarse = min((_fitted(each, _colours, False) for each in (known, sampled) if each), key=lambda one: one[1])
    blurs, fine = _fitted(known, _blurs, True)
    coefficients = np.zeros((LINEAR_ROWS, 3), np.float32)
    if coarse <= SIMPLER * fine:
        coefficients[:4] = colours
        means = [float((one.source @ LUMA).mean()) for one in known]
        return _about_the_mean(coefficients, float(np.mean(means))), coarse
    coefficients[0], coefficients[1:4], coefficients[4:-1] = blurs[0], np.diag(blurs[1]), blurs[2:]
    return coefficients, fine


def linear_of(source: Unit, coefficients: Coefficients) -> Unit:
    """A source (H, W, 3) in [0, 1], edited, as it is in [0, 1]."""
    made = coefficients[0] + source @ coefficients[1:4] + (source @ LUMA).mean() * coefficients[-1]
    for sigma, share in zip(SIGMAS, coefficients[4:-1], strict=True):
        if share.any():
            made += _blurred(source, sigma) * share
    return made.clip(0, 1).astype(np.float32)


def _about_the_mean(coefficients: Coefficients, mean: float) -> Coefficients:
    """Contrast about the mean luma of the pair (Pillow's, for one) is about that of every other picture, too."""
    contrast = float(np.trace(coefficients[1:4])) / 3
    if np.abs(coefficients[1:4] - contrast * np.eye(3)).max() > 0.02 or abs(1 - contrast) < 0.05:
        return coefficients
    still = coefficients[0] / (1 - contrast)  # the level that stays as it is
    if np.abs(still - mean).max() > NEAR or np.abs(still - 0.5).max() < NEAR / 2:
        return coefficients
    found = coefficients.copy()
    found[0], found[-1] = 0, 1 - contrast
    return found


def _likeness(first: Unit, second: Unit) -> float:
    first, second = first - first.mean(), second - second.mean()
    return abs(float((first * second).sum())) / (float(np.linalg.norm(first) * np.linalg.norm(second)) + 1e-9)


def _fitted(known: Sequence[Known], shown: Callable[[Unit], Values], together: bool) -> tuple[Values, float]:
    """(F, 3) of what is shown (N, 3, F) a pixel and colour, and the error; together: all colours by the same F."""
    numbers = np.concatenate([shown(one.source) for one in known])
    targets = np.concatenate([one.target.reshape(-1, 3) for one in known]).astype(np.float64)
    odd = np.concatenate([board(*one.target.shape[:2]) for one in known])
    halves = [_solved(numbers, targets, odd == kept, together) for kept in (False, True)]
    foretold = [np.einsum("ncf,fc->nc", numbers, half).clip(0, 1) for half in halves]
    error = float(np.square(targets - np.where(odd[:, None], *foretold)).mean())
    return _solved(numbers, targets, np.ones_like(odd), together), error


def _solved(numbers: Values, targets: Values, rows: Mask, together: bool) -> Values:
    within = rows[:, None] & (targets > BLACK) & (targets < WHITE)
    within = np.where(within.sum(axis=0) < FEWEST, rows[:, None], within)
    seen = [(numbers[within[:, colour], colour], targets[within[:, colour], colour]) for colour in range(3)]
    squares = np.array([one.T @ one for one, _ in seen]) + RIDGE * len(rows) * np.eye(numbers.shape[2])
    products = np.array([one.T @ wanted for one, wanted in seen])
    if together:
        squares, products = squares.sum(axis=0, keepdims=True), products.sum(axis=0, keepdims=True)
    found: Values = np.broadcast_to(np.linalg.solve(squares, products[..., None])[..., 0].T, (numbers.shape[2], 3))
    return found


def _colours(source: Unit) -> Values:
    """(N, 3, 4): 1 and all colours, for each colour."""
    one = np.concatenate([np.ones_like(source[..., :1]), source], axis=2).reshape(-1, 1, 4)
    return np.repeat(one, 3, axis=1).astype(np.float64)


def _blurs(source: Unit) -> Values:
    """(N, 3, 2 + blurs): 1, a colour and its blurs."""
    shown = [np.ones_like(source), source, *(_blurred(source, sigma) for sigma in SIGMAS)]
    return np.stack(shown, axis=-1).reshape(-1, 3, len(shown)).astype(np.float64)


def _blurred(source: Unit, sigma: float) -> Unit:
    """By a Gaussian, the rim repeated."""
    down, across = (_gaussian(side, sigma) for side in source.shape[:2])
    return np.einsum("yh,hwc,xw->yxc", down, source, across, optimize=True).astype(np.float32)


def _gaussian(side: int, sigma: float) -> Values:
    """(side, side): what every place takes of every other."""
    offsets = np.arange(-math.ceil(4 * sigma), math.ceil(4 * sigma) + 1)
    weights = np.exp(-0.5 * np.square(offsets / sigma))
    found = np.zeros((side, side))
    places = np.arange(side)[:, None]
    np.add.at(found, (places, (places + offsets).clip(0, side - 1)), weights / weights.sum())
    return found
