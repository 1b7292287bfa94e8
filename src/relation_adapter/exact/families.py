"""What a linear edit mixes, by name.

A source's colours (grey, sepia, contrast, a negative, a tint, swapped channels), its blurs (blur, sharpen), the pixels
around it or in a line through it (any small filter of a photo program, a smear, colour fringes), the luma around it (a
relief), its contours, itself times its blur (a glow), or itself with weights that depend on the place (a vignette, a
veil, a strip in focus); the colours of an effect (an oil painting, a mosaic, a zoom burst, a median); and a table from
colour to colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from relation_adapter.correction import LUMA, Mask, Values
from relation_adapter.exact import hues, lattice
from relation_adapter.exact.blurs import blurred
from relation_adapter.exact.effects import burst, calmest, mosaic, ranked
from relation_adapter.units import Unit

SIGMAS = (0.5, 1.0, 1.5, 2.2, 3.2, 4.5, 6.5, 9.0)  # px; blurs between them are mixes of them
REACH = 2  # px, of a filter of single pixels
RELIEF_REACH = 4  # px, of one of luma alone
LINE_REACH = 10  # px, of a filter in a line
CLOSE = SIGMAS[:6]  # of those that count pixels of large pictures: wider ones are seen in small ones, too
FOCUS = (1.2, 2.5, 4.5, 8.0)  # px, blurs of a strip that is sharp and what is not
CALM = (1, 2, 3, 4, 5, 6)  # px, reach of an oil painting
BLOCKS = range(4, 41)  # of a mosaic, across the short side
RANKS = {"darkest": 0.0, "median": 0.5, "lightest": 1.0}
SQUARES = (3, 5, 7, 9)  # px, that they are of
KNOTS = 33  # of weights that depend on the place, from the middle to the corner or from side to side


def _colours(source: Unit) -> Values:
    """(N, 3, 5): 1 and all colours, for each colour; and nothing, the place of the mean of the whole."""
    one = np.concatenate([np.ones_like(source[..., :1]), source, np.zeros_like(source[..., :1])], axis=2)
    return np.repeat(one.reshape(-1, 1, 5), 3, axis=1)


def _stacked(shown: Sequence[Unit]) -> Values:
    """(N, 3, F) of F pictures (H, W, 3)."""
    return np.stack(shown, axis=-1).reshape(-1, 3, len(shown))


def _blurs(source: Unit, sigmas: Sequence[float] = SIGMAS) -> Values:
    """1, a colour and its blurs."""
    return _stacked([np.ones_like(source), source, *(blurred(source, sigma) for sigma in sigmas)])


def _around(source: Unit) -> Values:
    """1, and the pixels around, the rim repeated."""
    return _stacked([np.ones_like(source), *_neighbours(source, REACH)])


def _relief(source: Unit) -> Values:
    """1, and the luma of the pixels around."""
    return _stacked([np.ones_like(source), *_neighbours(_grey(source), RELIEF_REACH)])


def _contours(source: Unit) -> Values:
    """1, luma, and how steep it is, in several blurs."""
    luma = _grey(source)
    steep = [np.hypot(*np.gradient(blurred(luma, sigma), axis=(0, 1))) for sigma in SIGMAS[:5]]
    return _stacked([np.ones_like(luma), luma, *steep])


def _glow(source: Unit, sigma: float) -> Values:
    """1, a colour, its blur, and their squares and product."""
    blur = blurred(source, sigma)
    return _stacked([np.ones_like(source), source, blur, source * source, source * blur, blur * blur])


def _levels(source: Unit) -> Values:
    """1 and a colour."""
    return _stacked([np.ones_like(source), source])


def _ranked(source: Unit, side: int, share: float) -> Values:
    """1, and a colour of those around."""
    return _levels(ranked(source, side, share))


def _in_line(source: Unit, down: int, across: int) -> Values:
    """1, and the pixels in a line through each, LINE_REACH to either side, the rim repeated."""
    (height, width), reach = source.shape[:2], LINE_REACH
    padded = np.pad(source, ((down * reach,) * 2, (across * reach,) * 2, (0, 0)), mode="edge")
    lines = [
        padded[down * step : down * step + height, across * step : across * step + width]
        for step in range(2 * reach + 1)
    ]
    return _stacked([np.ones_like(source), *lines])


def _focus(source: Unit) -> Values:
    """A colour, luma and the blurs of both."""
    both = np.concatenate([source, (source @ LUMA)[..., None]], axis=2)
    shown = [both, *(blurred(both, sigma) for sigma in FOCUS)]
    return _stacked([part for one in shown for part in (one[..., :3], np.repeat(one[..., 3:], 3, axis=2))])


@dataclass(frozen=True)
class Family:
    """What is mixed: of a picture (H, W, 3), (H * W, 3, P) of every pixel and colour.

    together: all colours alike. most: share of the error of doing nothing, that an edit of this family may leave; the
    more numbers, the better any pair is told a little. every: of how many pixels one is enough to fit many numbers.
    reach: px, how far what is mixed comes from, where it counts pixels.
    way: from the middle to a corner (ring), down or across, where what is mixed has weights at KNOTS places along it;
    then bends cost. rim: px, where programs differ in what they do. lasting: what shows the effect shows it again as it
    is. of_colours: whether it is a mix of the three colours, of a picture or of what an effect leaves of it. cost:
    (F, F), what squares of numbers cost besides.
    """

    shown: Callable[[Unit], Values]
    together: bool
    most: float
    every: int = 1
    way: str = ""
    rim: int = 0
    reach: int = 0
    lasting: bool = False
    of_colours: bool = False
    cost: Callable[[], Values] | None = None


def _effect(effect: Callable[..., Unit], *how: float, most: float, **more: Any) -> Family:
    """The colours that an effect leaves."""
    return Family(lambda source: _colours(effect(source, *how)), False, most, of_colours=True, **more)


FAMILIES = {
    "colours": Family(_colours, False, 1.0, of_colours=True),
    "blurs": Family(_blurs, True, 1.0),
    "around": Family(_around, True, 0.001, rim=REACH, reach=REACH),
    "relief": Family(_relief, False, 0.001, every=3, rim=RELIEF_REACH, reach=RELIEF_REACH),
    "row": Family(partial(_in_line, down=0, across=1), False, 0.002, rim=LINE_REACH, reach=LINE_REACH),
    "column": Family(partial(_in_line, down=1, across=0), False, 0.002, rim=LINE_REACH, reach=LINE_REACH),
    "contours": Family(_contours, False, 0.004, reach=math.ceil(4 * SIGMAS[4]) + 1),
    **{f"glow {sigma}": Family(partial(_glow, sigma=sigma), True, 0.001) for sigma in SIGMAS[2:]},
    "ring": Family(_levels, False, 0.004, way="ring"),
    "down": Family(_levels, False, 0.004, way="down"),
    "across": Family(_levels, False, 0.004, way="across"),
    "focus": Family(_focus, True, 0.04, every=3, way="down"),
    **{f"calm {reach}": _effect(calmest, reach, most=0.01, rim=reach) for reach in CALM},
    **{f"mosaic {count}": _effect(mosaic, count, most=0.03, lasting=True) for count in BLOCKS},
    "hues": Family(hues.shown, False, 0.01, cost=hues.bends),
    "lattice": Family(lattice.shown, False, 0.02),
    "close blurs": Family(partial(_blurs, sigmas=CLOSE), True, 0.01, reach=math.ceil(4 * CLOSE[-1])),
    **{
        f"{rank} {side}": Family(partial(_ranked, side=side, share=share), True, 0.01, reach=side // 2)
        for rank, share in RANKS.items()
        for side in SQUARES
    },
}
PLAIN = ("colours", "blurs")  # so few numbers that what they say of one pair holds for others
RANKED = tuple(f"{rank} {side}" for rank in RANKS for side in SQUARES)
OF_A_PIXEL = ("", "colours", "hues", "lattice")  # what a pixel becomes is told by its own colour alone
FILTERS = ("around", "close blurs", "row", "column", *RANKED, "relief", "contours")  # count pixels, the likeliest first
FINE = ("close blurs", *RANKED)  # only where those are the pair's own
OTHERS = tuple(name for name in FAMILIES if name not in (*PLAIN, *FINE, "hues", "lattice"))


@lru_cache(maxsize=64)
def family_of(name: str) -> Family:
    """The family of that name; of a zoom burst, `burst`, the point right and down of the middle, and the reach.

    Raises ValueError on any other.
    """
    kind, *words = name.split()
    if kind == "burst" and len(words) == 3:
        right, down, reach = how = [float(word) for word in words]
        if max(abs(right), abs(down)) < 2 and 0 < reach < 1:
            return _effect(burst, *how, most=0.02)
    if name not in FAMILIES:
        raise ValueError("linear is of an unknown family")
    return FAMILIES[name]


def rows_of(family: str) -> int:
    """F, how many numbers a family mixes; of none, none."""
    return numbers_of(np.zeros((2, 2, 3), np.float32), family_of(family)).shape[-1] if family else 0


def numbers_of(source: Unit, family: Family, rows: Mask | slice = slice(None)) -> Values:
    """(N, 3, F), what is mixed of some of a picture's pixels."""
    shown = family.shown(source)[rows]
    if not family.way:
        return shown
    tents = _tents(*source.shape[:2], family.way)[rows]
    found: Values = (shown[..., None] * tents[:, None, None]).reshape(len(shown), 3, -1)
    return found


@lru_cache(maxsize=16)
def _tents(height: int, width: int, way: str) -> Values:
    """(height * width, KNOTS): how much every knot's weight counts at a place: of the two beside it, in all 1."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    place = {"ring": np.sqrt((x * x + y * y) / 2), "down": (y + 1) / 2, "across": (x + 1) / 2}[way] * (KNOTS - 1)
    return (1 - np.abs(place.reshape(-1, 1) - np.arange(KNOTS))).clip(0).astype(np.float32)


def _grey(source: Unit) -> Unit:
    return np.repeat((source @ LUMA)[..., None], 3, axis=2)


def _neighbours(source: Unit, reach: int) -> list[Unit]:
    padded = np.pad(source, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    height, width = source.shape[:2]
    steps = range(2 * reach + 1)
    return [padded[down : down + height, right : right + width] for down in steps for right in steps]
