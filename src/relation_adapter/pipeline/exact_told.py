"""What pairs say exactly, so that no model is needed: `exact/` tries the ways, the plainest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import itemgetter
from statistics import fmean

import numpy as np
from PIL import Image

from relation_adapter.correction import Known
from relation_adapter.editor import Pair
from relation_adapter.exact.curves import BY_PIXEL, curves_of, fit_blurred_curves, fit_curves
from relation_adapter.exact.families import OF_A_PIXEL, family_of
from relation_adapter.exact.filters import OF_JPEGS, ROUNDING, SURELY, fit_filter
from relation_adapter.exact.frames import frame_of, inside_of
from relation_adapter.exact.jpeg import Jpeg, jpeg_of
from relation_adapter.exact.lattice import changes_all, fit_lattice
from relation_adapter.exact.levels import FLIPPED, levels_of
from relation_adapter.exact.likely import colours_stay
from relation_adapter.exact.linear import fit_family, fit_linear, fit_other, linear_of
from relation_adapter.exact.turns import TURNS, lies_on_side, turn_of, turned
from relation_adapter.images import resize, to_rgb
from relation_adapter.pipeline.exact_places import (
    BENT,
    BETTER,
    FROM_ELSEWHERE,
    MOVED,
    by_blocks,
    by_cells,
    by_motion,
    by_plane,
    by_slips,
    by_stamp,
    by_tiles,
    by_warp,
    own_side,
    same_colours,
    seen_as_they_are,
)
from relation_adapter.pipeline.told import Told
from relation_adapter.units import to_unit

EXACT = 0.3  # times the error that a correction leaves, at the most
CURVED = 0.004  # of the error of doing nothing, that curves may leave: any pair is a little like one
BLURRED = 0.012  # the same of curves of blurs, whose sigma is told nearly
NOISE = 0.2  # of the error of doing nothing, that JPEG may be thought to have left
LEFT_IN_MEANS = 0.25  # of JPEG's noise
FAR_BETTER = 0.25  # times the error that a correction leaves, of a table that is taken for its being so much better
WORTH = 0.1  # of the error of doing nothing, that it may leave
STRAIGHT = 0.7  # times the error of a mix, that curves have where it is not one, whatever JPEG left in both
BEYOND = 0.0005  # of the error of doing nothing, that a mix may leave which goes on where curves end
SMOOTH = 0.01  # of the error of doing nothing, that a smooth edit leaves which might be taken for a stamp
SURE = 0.02  # of the error of doing nothing, that a filter leaves of which nothing else is tried


def told_exactly(known: Sequence[Known], pairs: Sequence[Pair], left: float) -> Told | None:
    """What pairs say exactly; None where they say nothing so.

    known: the pairs as the model saw them. left: the mean square error that a corrected model leaves on them, of which
    an exact edit has to leave much less. The plainest comes first, and what comes later has to be much better.
    """
    enough = EXACT * left
    nothing = float(np.mean([np.square(one.target - one.source).mean() for one in known])) + 1e-9
    jpegs = [jpeg_of(after) for _, after in pairs]
    lost = fmean(0.0 if jpeg is None else jpeg.noise for jpeg in jpegs)
    noise = min(lost, NOISE * nothing)
    surely, turning = max(ROUNDING, SURELY * nothing, noise), _on_their_sides(known, pairs)
    turn = turn_of(turning)
    plain: tuple[Callable[[], Told | None], ...] = (
        lambda: _by_its_levels(pairs, noise),
        lambda: None if colours_stay(known) else _plainly(known, pairs, left, nothing, noise, ""),
        lambda: _by_its_levels(pairs, noise, FLIPPED),
        lambda: _plainly(turning, pairs, left, nothing, noise, turn) if turn else None,
        lambda: by_blocks(known, pairs, nothing),
        lambda: _framed(known, pairs, nothing, noise),
        lambda: by_tiles(pairs, min(enough, MOVED * nothing) + noise),
        lambda: by_stamp(pairs, left, nothing, lost),
        lambda: _by_colour(known, pairs, left, nothing, noise),
    )
    others: tuple[Callable[[], Told | None], ...] = (
        lambda: by_slips(known, pairs, min(enough, MOVED * nothing)),
        lambda: _otherwise(known, enough),
        lambda: _by_blurs(known, min(enough, BLURRED * nothing)),
        lambda: by_motion(known, min(enough, MOVED * nothing)),
        lambda: by_plane(known, min(enough, FROM_ELSEWHERE * nothing)),
        lambda: by_warp(known, min(enough, BENT * nothing)),
    )
    best = _best(plain, None, surely)
    if best is not None and best.stamp is not None:
        smooth = _otherwise(known, enough)  # a vignette darkens corners, too, as a border does
        return best if smooth is None or smooth.error > SMOOTH * nothing else smooth
    filtered = _filtered(known, pairs, jpegs, nothing, enough, best)
    if filtered is not None and filtered.error < SURE * nothing:
        return filtered
    best = _best(others, best, surely)
    if filtered is not None and (best is None or best.error >= filtered.error):
        best = filtered
    drawn = (lambda: by_cells(known, pairs, nothing, left),)
    return _best(drawn, best, max(surely, SURE * nothing))


def _best(ways: Sequence[Callable[[], Told | None]], best: Told | None, surely: float) -> Told | None:
    for way in ways:
        if best is not None and best.error < surely:
            break
        told = way()
        if told is not None and (best is None or told.error < BETTER * best.error):
            best = told
    return best


def _plainly(
    known: Sequence[Known], pairs: Sequence[Pair], left: float, nothing: float, noise: float, turn: str
) -> Told | None:
    """As a mix of colours or blurs, as curves, or as both, curves where they know the level; of the sources turned.

    noise: what JPEG left in single pixels, which is in no error that is told here.
    """
    placed = [replace(one, source=TURNS[turn](one.source)) for one in known]
    sampled = [_sampled(*pair, turn, one) for pair, one in zip(pairs, known, strict=True)]
    linear, family, error = fit_linear(placed, [] if seen_as_they_are(known, pairs) else sampled)
    curves, driver, curved = fit_curves(sampled)
    if noise:
        mixed = fit_linear(sampled)
        curving = curved < STRAIGHT * mixed[2]
        noise = min(noise, mixed[2], curved)  # it is in both
        if error >= EXACT * left and mixed[2] - noise < error:  # means of pixels lose what was clipped
            linear, family, error = *mixed[:2], mixed[2] - noise
        curved -= noise
    told = Told(error, linear, family, turn=turn) if error < EXACT * left else None
    sure = told is not None and error < (ROUNDING if noise and curving else max(ROUNDING, noise))
    if sure or curved > min(BETTER * error, left, CURVED * nothing) + noise:
        return told
    told = Told(curved, linear, family, curves, driver, turn)
    # A mix that is not sure says nothing of levels that no curve knows; but no model turns a picture.
    return (
        told if turn or (error < EXACT * left and error <= BEYOND * nothing) else replace(told, linear=None, family="")
    )


def _on_their_sides(known: Sequence[Known], pairs: Sequence[Pair]) -> list[Known]:
    """The pairs with targets of the size that their sources have on their side, where after lies so."""
    return [
        replace(one, target=to_unit(resize(to_rgb(after), one.source.shape[:2])))
        if lies_on_side(before.size, after.size)
        else one
        for one, (before, after) in zip(known, pairs, strict=True)
    ]


def _by_colour(known: Sequence[Known], pairs: Sequence[Pair], left: float, nothing: float, noise: float) -> Told | None:
    """As a table from colour to colour, or hue by hue: of single pixels, or of means, which show JPEG less."""
    if not changes_all(known):
        return None
    ways = [known]
    if not seen_as_they_are(known, pairs):
        ways.append([_sampled(*pair, "", one) for pair, one in zip(pairs, known, strict=True)])
    table, error = min(map(fit_lattice, ways), key=itemgetter(1))
    for way in ways:  # hues say more of colours that a pair lacks
        found = fit_family(way, family_of("hues"), min(EXACT * left, family_of("hues").most * nothing, error))
        if found is not None:
            return Told(found[1], found[0], "hues")
    enough = min(EXACT * left, family_of("lattice").most * nothing)
    enough = max(enough, min(FAR_BETTER * left, WORTH * nothing)) + LEFT_IN_MEANS * noise
    return Told(error, table, "lattice") if error < enough else None


def _otherwise(known: Sequence[Known], enough: float) -> Told | None:
    """As a mix of something else."""
    found = None if colours_stay(known) else fit_other(known, enough)
    return None if found is None else Told(linear=found[0], family=found[1], error=found[2])


def _by_blurs(known: Sequence[Known], enough: float) -> Told | None:
    """As a gradient map of blurred luma, or of what it tells."""
    found = None if colours_stay(known) else fit_blurred_curves(known, enough)
    return None if found is None else Told(found[2], curves=found[0], driver=found[1])


def _filtered(
    known: Sequence[Known],
    pairs: Sequence[Pair],
    jpegs: Sequence[Jpeg | None],
    nothing: float,
    enough: float,
    best: Told | None,
) -> Told | None:
    """The best so far with a filter of the pairs' own pixels, where that is much better than it."""
    placed = best is not None and (best.turn or best.block or best.frame or best.levels or best.tiles)
    if placed or any(before.size != after.size for before, after in pairs):
        return None
    seen = seen_as_they_are(known, pairs)
    share = float("inf")  # of the error of doing nothing, that the best so far leaves
    if best is not None:
        share = best.error / nothing if seen else _left_of_pixels(best, pairs, known, jpegs)
    least = OF_JPEGS if any(jpegs) and best is not None else max(SURELY, ROUNDING / nothing)
    found = fit_filter(pairs, jpegs, fine=seen) if share > least else None
    if found is None or found[2] > BETTER * share or (seen and found[2] * nothing > enough):
        return None
    told = Told(found[2] * nothing) if best is None else best
    error = min(told.error, found[2] * nothing)
    return replace(told, error=error, filter=found[0], filter_name=found[1], own_side=own_side(pairs))


def _left_of_pixels(told: Told, pairs: Sequence[Pair], known: Sequence[Known], jpegs: Sequence[Jpeg | None]) -> float:
    """The share of the error of doing nothing, that is left of single pixels; without end where others count, too."""
    if told.family not in OF_A_PIXEL or told.driver not in ("", *BY_PIXEL):
        return float("inf")
    left = nothing = 1e-9
    for pair, one, jpeg in zip(pairs, known, jpegs, strict=True):
        single = _sampled(*pair, "", one)
        made = single.source if told.linear is None else linear_of(single.source, told.linear, told.family)
        if told.curves is not None:
            made = curves_of(single.source, made, told.curves, told.driver)
        left += max(0.0, float(np.square(made - single.target).mean()) - (jpeg.noise if jpeg else 0.0))
        nothing += float(np.square(single.source - single.target).mean())
    return left / nothing


def _by_its_levels(pairs: Sequence[Pair], noise: float, flipped: float = 0.0) -> Told | None:
    """As levels that are set by a picture's own; its colours then stay as they are."""
    found = levels_of(pairs, noise, flipped)
    return None if found is None else Told(found[1], same_colours(), "colours", levels=found[0])


def _framed(known: Sequence[Known], pairs: Sequence[Pair], nothing: float, noise: float) -> Told | None:
    """As a frame around an edit that is told plainly."""
    frame = frame_of(*pairs[0]) if len(pairs) == 1 and pairs[0][0].size == pairs[0][1].size else None
    if frame is None:
        return None
    for tried in (frame, replace(frame, shrunk=True)):
        inside = inside_of(tried, *pairs[0])
        size = known[0].target.shape[1::-1]
        source, target = (to_unit(resize(one, size)) for one in inside)
        told = _plainly([Known(source, source, target)], [inside], float("inf"), nothing, noise, "")
        if told is not None and told.error < MOVED * nothing:
            return replace(told, frame=tried, own_side=own_side(pairs))
    return None


def _sampled(before: Image.Image, after: Image.Image, turn: str, known: Known) -> Known:
    """The same as known of a pair, of single pixels; as it is where before and after differ in size."""
    size = known.target.shape[1::-1]
    first, second = turned(to_rgb(before), turn), to_rgb(after)
    how = Image.Resampling.NEAREST if first.size == second.size else None
    return replace(known, source=to_unit(first.resize(size, how)), target=to_unit(second.resize(size, how)))
