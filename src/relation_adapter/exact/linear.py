"""Edits that a few numbers say exactly: clipped mixes of what a pixel shows, with one set of weights for all pixels.

`families.py` names what is mixed. Where the pair is such an edit, least squares says it better than any model: to the
rounding of its pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relation_adapter.correction import LUMA, Coefficients, Known, Mask, Values, board
from relation_adapter.exact.burst_fit import burst_of
from relation_adapter.exact.curves import BLACK, WHITE
from relation_adapter.exact.families import KNOTS, OTHERS, PLAIN, Family, family_of, numbers_of
from relation_adapter.exact.lattice import lattice_of
from relation_adapter.exact.likely import Likely, likely_mix
from relation_adapter.units import Unit

RIDGE = 1e-7
STIFFNESS = 1e-3  # a place where the pair is plain takes its weights from those beside it
GLANCE = 7  # of how many pixels one is enough to see that a family is hopeless
HOPEFUL = 4  # times its limit, that it may have at a glance
RIM = 0.2  # of the error of doing nothing, that may be left with the rim
FEWEST = 50  # pixels, to fit a colour to
SIMPLER = 1.15  # times the error of a later family, that an earlier one may have
NEAR = 2 / 255  # of the mean, that the level is which a contrast leaves as it is


def fit_linear(known: Sequence[Known], sampled: Sequence[Known] = ()) -> tuple[Coefficients, str, float]:
    """(F, 3): what `linear_of` makes targets of sources with, of a plain family; which; and its mean square error.

    That is the error in blocks of the pictures which the fit has not seen. sampled: the same pictures, of single pixels
    of larger ones, whose means no longer follow a mix that was clipped; known, of means, has less noise.
    """
    ways = [(name, fitted(each, family_of(name))) for name in PLAIN for each in (known, sampled) if each]
    colours, blurs = (min((fit for name, fit in ways if name == one), key=lambda fit: fit[1]) for one in PLAIN)
    if colours[1] > SIMPLER * blurs[1]:
        return blurs[0].astype(np.float32), "blurs", blurs[1]
    mean = float(np.mean([mean_luma(one.source) for one in known]))
    return _about_the_mean(colours[0].astype(np.float32), mean), "colours", colours[1]


def fit_other(known: Sequence[Known], enough: float) -> tuple[Coefficients, str, float] | None:
    """The same of the other families, where one has less error than its own limit and than enough."""
    nothing = float(np.mean([np.square(one.target - one.source).mean() for one in known]))
    bursting = burst_of(known[0].source, known[0].target)
    found = {}
    for name in OTHERS if bursting is None else (*OTHERS, f"burst {' '.join(map(str, bursting))}"):
        limit = min(enough, family_of(name).most * nothing)
        told = fit_family(known, family_of(name), limit) if _lasting(known, name) < limit else None
        if told is not None and _whole_error(known, told[0], name) < RIM * nothing:
            found[name] = told[0], name, told[1]
    return min(found.values(), key=lambda one: one[2], default=None)


def fit_family(known: Sequence[Known], family: Family, limit: float) -> tuple[Coefficients, float] | None:
    """(F, 3) and the error, where that is less than the limit."""
    if fitted(known, family, GLANCE)[1] >= HOPEFUL * limit:
        return None
    coefficients, error = fitted(known, family, family.every)
    return (coefficients.astype(np.float32), error) if error < limit else None


def mean_luma(source: Unit) -> float:
    """Of a picture (H, W, 3)."""
    return float((source @ LUMA).mean())


def linear_of(source: Unit, coefficients: Coefficients, family: str, mean: float | None = None) -> Unit:
    """A source (H, W, 3) in [0, 1], edited, as it is in [0, 1]. mean: the whole's mean luma, where it is a part."""
    if family == "colours":
        mean = mean_luma(source) if mean is None else mean
        made = coefficients[0] + source @ coefficients[1:4] + np.float32(mean) * coefficients[4]
    elif family == "lattice":
        made = lattice_of(source, coefficients)
    else:
        made = np.einsum("ncf,fc->nc", numbers_of(source, family_of(family)), coefficients).reshape(source.shape)
    return made.clip(0, 1).astype(np.float32)


def _whole_error(known: Sequence[Known], coefficients: Coefficients, name: str) -> float:
    """With the rim, which the fit has not seen: what is an edit of the rim alone is not told inside."""
    errors = [np.square(one.target - linear_of(one.source, coefficients, name)).mean() for one in known]
    return float(np.mean(errors))


def _lasting(known: Sequence[Known], name: str) -> float:
    """The mean square of what an effect that lasts would change in the targets, which show it; of others, nothing."""
    family = family_of(name)
    if not family.lasting:
        return 0.0
    again = [family.shown(one.target)[:, 0, 1:4].reshape(one.target.shape) for one in known]
    return float(np.mean([np.square(twice - one.target).mean() for twice, one in zip(again, known, strict=True)]))


def _about_the_mean(coefficients: Coefficients, mean: float) -> Coefficients:
    """Contrast about the mean luma of the pair (Pillow's, for one) is about that of every other picture, too."""
    contrast = float(np.trace(coefficients[1:4])) / 3
    if np.abs(coefficients[1:4] - contrast * np.eye(3)).max() > 0.02 or abs(1 - contrast) < 0.05:
        return coefficients
    still = coefficients[0] / (1 - contrast)  # the level that stays as it is
    if np.abs(still - mean).max() > NEAR or np.abs(still - 0.5).max() < NEAR / 2:
        return coefficients
    found = coefficients.copy()
    found[0], found[4] = 0, 1 - contrast
    return found


def fitted(known: Sequence[Known], family: Family, every: int = 1) -> tuple[Values, float]:
    """(F, 3) of what is shown (N, 3, F) a pixel and colour, and the error; of one of how many pixels."""
    each = [_inside(one.target.shape[:2], family.rim) for one in known]
    for rows in each:
        rows[np.flatnonzero(rows)[np.arange(np.count_nonzero(rows)) % every > 0]] = False
    shown = [numbers_of(one.source, family, rows) for one, rows in zip(known, each, strict=True)]
    numbers, seen = np.concatenate(shown).astype(np.float64), np.concatenate(each)
    targets = np.concatenate([one.target.reshape(-1, 3) for one in known])[seen].astype(np.float64)
    odd = np.concatenate([board(*one.target.shape[:2]) for one in known])[seen]
    halves = [_sums(numbers[odd == kept], targets[odd == kept]) for kept in (False, True)]
    found = _foretold(numbers, targets, odd, halves, family)
    if not family.of_colours:
        return found
    likely = likely_mix(numbers[:, 0, 1:4], targets, _unclipped(targets), found[1])
    return _foretold(numbers, targets, odd, halves, family, likely)


def _foretold(
    numbers: Values,
    targets: Values,
    odd: Mask,
    halves: Sequence[tuple[Values, Values]],
    family: Family,
    likely: Likely | None = None,
) -> tuple[Values, float]:
    """(F, 3), and the error in black blocks of a fit of the white ones, and the other way. halves: their sums."""
    foretold = [
        np.einsum("ncf,fc->nc", numbers, _solved(*half, len(odd), family, likely)).clip(0, 1) for half in halves
    ]
    error = float(np.square(targets - np.where(odd[:, None], *foretold)).mean())
    squares, products = (np.add(*both) for both in zip(*halves, strict=True))
    return _solved(squares, products, len(odd), family, likely), error


def _inside(shape: tuple[int, ...], rim: int) -> Mask:
    """(H * W,): which pixels are farther than the rim from every side; of a picture that is too small for that, all."""
    height, width = shape
    found = np.ones((height, width), bool)
    if min(height, width) > 4 * rim:
        found[:rim] = found[height - rim :] = found[:, :rim] = found[:, width - rim :] = False
    return found.reshape(-1)


def _sums(numbers: Values, targets: Values) -> tuple[Values, Values]:
    """(3, F, F) and (3, F): products of what is shown with itself and with the targets, where those are not clipped."""
    within = _unclipped(targets)
    seen = [(numbers[within[:, colour], colour], targets[within[:, colour], colour]) for colour in range(3)]
    return np.array([one.T @ one for one, _ in seen]), np.array([one.T @ wanted for one, wanted in seen])


def _unclipped(targets: Values) -> Mask:
    """(N, 3): what is neither black nor white; of a colour that hardly has such, all."""
    within = (targets > BLACK) & (targets < WHITE)
    within |= within.sum(axis=0) < FEWEST
    return within


def _solved(squares: Values, products: Values, count: int, family: Family, likely: Likely | None) -> Values:
    """(F, 3), of the sums of count pixels."""
    length = squares.shape[1]
    squares = squares + count * _penalty(family, length)
    if likely is not None:
        squares = squares + likely.cost * np.eye(length)
        products = products + (likely.cost + count * RIDGE) * likely.mix.T
    if family.together:
        squares, products = squares.sum(axis=0, keepdims=True), products.sum(axis=0, keepdims=True)
    found: Values = np.broadcast_to(np.linalg.solve(squares, products[..., None])[..., 0].T, (length, 3))
    return found


def _penalty(family: Family, count: int) -> Values:
    """(F, F): what large numbers cost, or bends of knots."""
    found = RIDGE * np.eye(count)
    if family.way:
        bends = np.diff(np.eye(KNOTS), 2, axis=0)
        found += STIFFNESS * np.kron(np.eye(count // KNOTS), bends.T @ bends)
    return found if family.cost is None else found + family.cost()
