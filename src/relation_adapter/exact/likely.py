"""What a mix of colours most likely is, where a pair leaves it open.

A grey pair says nothing of colours, and one in shades of red nothing of green: least squares alone then takes any mix
that fits. Likelier are a gain and an offset of each colour, alike for all where the pair does not say otherwise; or of
luma, where the pair lost its colours or was given them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relation_adapter.correction import LUMA, Known, Mask, Values

SPREAD = 0.3  # how far numbers of a mix lie from the likeliest ones
TOGETHER = 100  # pixels whose errors are like one
EQUAL = 1e-4  # mean square by which one way is better than the other at least
NEARLY_ALL = 0.8  # of a picture
ENOUGH = 0.3  # of it, that has a colour and stays
SAME = 1.5 / 255  # by which a colour has changed
COLOURFUL = 0.1  # between the most and the least of red, green and blue
GREY = 2e-5  # mean square of a pixel's colours about their mean, below which a picture is grey


@dataclass(frozen=True)
class Likely:
    """mix: (5, 3), offsets, what each colour takes of red, green and blue, and nothing of the mean of the whole.

    cost: of a square of the distance from it, in squares of numbers of single pixels.
    """

    mix: Values
    cost: float


def colours_stay(known: Sequence[Known]) -> bool:
    """Whether nearly all of some pictures stays, colours and all: then a thing changed, and not the colours.

    Greys stay where a picture is made more or less colourful, and black and white under most curves.
    """
    stay = np.concatenate([np.abs(one.target - one.source).max(axis=2).ravel() < SAME for one in known])
    colourful = np.concatenate([np.ptp(one.source, axis=2).ravel() > COLOURFUL for one in known])
    return bool(stay.mean() > NEARLY_ALL and (stay & colourful).mean() > ENOUGH)


def likely_mix(colours: Values, targets: Values, within: Mask, noise: float) -> Likely:
    """The likeliest mix.

    colours, targets: (N, 3) in [0, 1]. within: (N, 3), where a target is not clipped. noise: the mean square error that
    any mix leaves.
    """
    own = [colours[:, colour] for colour in range(3)]
    alike = _line(np.concatenate(own), targets.T.reshape(-1), within.T.reshape(-1), noise, np.array([0.0, 1.0]))
    each = [_line(own[one], targets[:, one], within[:, one], noise, alike) for one in range(3)]
    luma = colours @ LUMA
    grey = [_line(luma, targets[:, one], within[:, one], noise, alike) for one in range(3)]
    lost = _left(own, targets, within, each) - _left([luma] * 3, targets, within, grey)
    is_grey = abs(lost) < EQUAL and _chroma(colours) < GREY
    if lost > EQUAL or (is_grey and _chroma(targets) >= GREY):
        gains = np.outer(LUMA, [line[1] for line in grey])
        offsets = [line[0] for line in grey]
    else:
        gains, offsets = np.diag([line[1] for line in each]), [line[0] for line in each]
    return Likely(np.stack([offsets, *gains, np.zeros(3)]), _cost(noise))


def _cost(noise: float) -> float:
    return TOGETHER * noise / SPREAD**2


def _line(numbers: Values, targets: Values, within: Mask, noise: float, likely: Values) -> Values:
    """Offset and gain."""
    rows = np.stack([np.ones_like(numbers[within]), numbers[within]], axis=1).astype(np.float64)
    cost = (_cost(noise) + 1e-6) * np.eye(2)
    found: Values = np.linalg.solve(rows.T @ rows + cost, rows.T @ targets[within] + cost @ likely)
    return found


def _left(numbers: list[Values], targets: Values, within: Mask, lines: list[Values]) -> float:
    """The mean square error."""
    errors = [
        np.square(targets[seen, one] - line[0] - line[1] * numbers[one][seen])
        for one, (seen, line) in enumerate(zip(within.T, lines, strict=True))
    ]
    return float(np.mean(np.concatenate(errors)))


def _chroma(colours: Values) -> float:
    return float(np.square(colours - colours.mean(axis=1, keepdims=True)).mean())
