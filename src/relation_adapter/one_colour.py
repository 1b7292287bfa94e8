"""Where what a pair changes becomes one colour, results become that colour too, as far as they lead there.

Dyed hair, lit windows, a silhouette, a plain backdrop: a model that is not sure where to paint paints faintly, in a
colour that is nearly right. The pair shows the colour itself, and how far results like the model's lead to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from relation_adapter.correction import Known, board
from relation_adapter.images import Unit

Numbers = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]

CHANGED = 0.08  # of a colour's range, from which on a pixel is changed
NEAR = 0.12  # distance of colours that are one
BINS = 12  # of each colour, to find the commonest in
FEWEST = 30  # pixels, to tell a colour or a curve by
FLAT = 0.6  # of the changed pixels, that have to become one colour
BETTER = 0.9  # times the error without it, in blocks that no fit has seen, that it may leave
KNOTS = np.linspace(0, 1.3, 14)  # of the curve, in ways from the source to what the model makes of it
EVEN = 0.5  # pixels' worth of a curve that changes nothing
ALIKE = (0.5, 0.8)  # cosine of a result's change with the one on the pair: from none to all of this is done
SMALL = 3e-3  # square of a way between colours that hardly differ
ROWS = 6 + len(KNOTS)


def fit_one_colour(known: Sequence[Known]) -> tuple[Numbers, float] | None:
    """(ROWS,): the colour, what the model makes in its place, a curve; and the share of the error that it leaves.

    known: results as they are without it. None where a pair changes nothing to one colour, or where that tells little.
    """
    results, sources, targets = (
        np.concatenate([getattr(one, name).reshape(-1, 3) for one in known]).astype(np.float64)
        for name in ("result", "source", "target")
    )
    odd = np.concatenate([board(*one.target.shape[:2]) for one in known])
    changed = np.abs(targets - sources).max(axis=1) > CHANGED
    colour, share = _commonest(targets[changed])
    if share < FLAT:
        return None
    painted = changed & (np.linalg.norm(targets - colour, axis=1) < NEAR)
    if min(np.count_nonzero(painted & (odd == half)) for half in (False, True)) < FEWEST:
        return None
    folds = [_fitted(results, sources, targets, colour, painted, odd == half) for half in (False, True)]
    made = np.where(odd[:, None], *(_done(results, sources, fold) for fold in folds))
    left = float(np.square(made - targets).mean() / (np.square(results - targets).mean() + 1e-9))
    if left > BETTER:
        return None
    return _fitted(results, sources, targets, colour, painted, np.ones_like(odd)).astype(np.float32), left


def one_colour_of(result: Unit, source: Unit, numbers: Numbers, strength: float = 1.0) -> Unit:
    """A result of that strength (H, W, 3) with the colour where it leads there. strength: over 0."""
    share = np.float32(max(strength, 0.1))
    whole = source + (result - source) / share
    made = _done(whole.reshape(-1, 3), source.reshape(-1, 3), numbers).reshape(source.shape)
    found: Unit = (result + np.float32(strength) * (made - whole)).clip(0, 1).astype(np.float32)
    return found


def _commonest(colours: Values) -> tuple[Values, float]:
    """The mean of those nearest to the commonest of colours (N, 3), and the share that they are."""
    if len(colours) < FEWEST:
        return np.zeros(3), 0.0
    counts, _ = np.histogramdd(colours, BINS, [(0, 1)] * 3)
    found: Any = (np.array(np.unravel_index(int(counts.argmax()), counts.shape)) + 0.5) / BINS
    near = np.ones(len(colours), bool)
    for _ in range(4):
        near = np.linalg.norm(colours - found, axis=1) < NEAR
        found = colours[near].mean(axis=0)
    return found, float(near.mean())


def _fitted(results: Values, sources: Values, targets: Values, colour: Values, painted: Any, rows: Any) -> Values:
    """(ROWS,), of the pixels in rows."""
    met = np.median(results[rows & painted], axis=0)
    went, wanted = _ways(results, sources, met)[rows], _ways(targets, sources, colour)[rows].clip(0, 1)
    weights = np.square(colour - sources).sum(axis=1)[rows]
    place = np.rint(went / KNOTS[1]).astype(np.int64)
    sums, counts = (np.bincount(place, each, len(KNOTS)) for each in (weights * wanted, weights))
    curve = np.maximum.accumulate((sums + EVEN * KNOTS.clip(0, 1)) / (counts + EVEN))
    curve[0] = 0
    return np.concatenate([colour, met, curve])


def _ways(colours: Values, sources: Values, goal: Values) -> Values:
    """(N,): how far colours have gone from their sources to the goal."""
    way = goal - sources
    gone = ((colours - sources) * way).sum(axis=1) / (np.square(way).sum(axis=1) + SMALL)
    found: Values = gone.clip(0, KNOTS[-1])
    return found


def _done(results: Any, sources: Any, numbers: Any) -> Values:
    """(N, 3): results with the colour in place of what the model makes there."""
    colour, met, curve = numbers[:3], numbers[3:6], numbers[6:]
    went = _ways(results, sources, met)
    goes = np.interp(went, KNOTS, curve)[:, None]
    beside = results - sources - went.clip(0, 1)[:, None] * (met - sources)
    made = sources + goes * (colour - sources) + beside * (1 - goes)
    change, way = results - sources, met - sources
    alike = (change * way).sum(axis=1) / (np.linalg.norm(change, axis=1) * np.linalg.norm(way, axis=1) + 1e-3)
    sure = ((alike - ALIKE[0]) / (ALIKE[1] - ALIKE[0])).clip(0, 1)[:, None]
    found: Values = results + sure * (made - results)
    return found
