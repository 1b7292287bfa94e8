"""What pairs say exactly of places: pixels that move, tiles, blocks, grids, and what is laid over at the same place."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import Image

from relation_adapter.correction import Coefficients, Known
from relation_adapter.editor import Pair
from relation_adapter.exact.blocks import block_of, in_blocks
from relation_adapter.exact.cells_fit import fit_cells
from relation_adapter.exact.families import rows_of
from relation_adapter.exact.linear import fit_linear
from relation_adapter.exact.motion import moved
from relation_adapter.exact.motion_fit import motion_of
from relation_adapter.exact.plane_fit import plane_of
from relation_adapter.exact.planes import seen_from
from relation_adapter.exact.slips import slipped, slips_of
from relation_adapter.exact.stamp_fit import stamp_of
from relation_adapter.exact.tiles import tiles_of
from relation_adapter.exact.warp_fit import warp_of
from relation_adapter.exact.warps import warped
from relation_adapter.images import resize, to_rgb
from relation_adapter.pipeline.told import Told
from relation_adapter.units import from_unit, to_unit

BETTER = 0.5  # times the error of a plainer edit, that another may have
MOVED = 0.02  # of the error of doing nothing, that a motion may leave, or bands that slid
FROM_ELSEWHERE = 0.03  # the same of a plane, whose pixels programs mix each their own way
BENT = 0.2  # the same of lines that moved, each its own way
STAMPED = 0.005  # of the error of doing nothing, that a stamp leaves elsewhere, about
DRAWN = 0.08  # the same of a grid, whose cells need not be alike


def by_motion(known: Sequence[Known], enough: float) -> Told | None:
    """As a motion, with or without a mix of colours or blurs."""
    motion = motion_of(known)
    return None if motion is None else _placed(known, enough, partial(moved, motion=motion), Told(0, motion=motion))


def by_plane(known: Sequence[Known], enough: float) -> Told | None:
    """As a plane seen from elsewhere, with or without a mix."""
    plane = plane_of(known[0])
    return None if plane is None else _placed(known, enough, partial(seen_from, plane=plane), Told(0, plane=plane))


def by_slips(known: Sequence[Known], pairs: Sequence[Pair], enough: float) -> Told | None:
    """As bands, or colours, that slid, the same in all pairs, by whole pixels of theirs; with or without a mix."""
    if any(before.size != after.size for before, after in pairs):
        return None
    slips = slips_of(*(to_unit(to_rgb(picture)) for picture in pairs[0]))
    if slips is None:
        return None
    pictures = [
        resize(slipped(to_rgb(before), slips), one.target.shape[1::-1])
        for one, (before, _) in zip(known, pairs, strict=True)
    ]
    return _fitted(known, enough, pictures, Told(0, slips=slips))


def by_warp(known: Sequence[Known], enough: float) -> Told | None:
    """As lines that moved, the same in all pairs, with or without a mix."""
    found = warp_of(known[0].source, known[0].target)
    if found is None or found[1] > enough:
        return None
    told = _placed(known, enough, partial(warped, warp=found[0]), Told(0, warp=found[0]))
    return None if told is None else replace(told, error=max(told.error, found[1]))


def by_blocks(known: Sequence[Known], pairs: Sequence[Pair], nothing: float) -> Told | None:
    """As blocks that are told at the pairs' own size, with or without a mix."""
    found = {block_of(after) for _, after in pairs}
    block = found.pop()
    if found or block is None or any(before.size != after.size for before, after in pairs):
        return None
    placed = [
        replace(one, source=to_unit(resize(in_blocks(before, block), one.target.shape[1::-1])))
        for one, (before, _) in zip(known, pairs, strict=True)
    ]
    linear, family, error = fit_linear(placed)
    return Told(error, linear, family, block=block, own_side=own_side(pairs)) if error < MOVED * nothing else None


def by_cells(known: Sequence[Known], pairs: Sequence[Pair], nothing: float, left: float) -> Told | None:
    """As cells of a grid that is told at the pairs' own size."""
    if len({picture.size for pair in pairs for picture in pair}) > 1:
        return None
    found = fit_cells([(to_unit(to_rgb(before)), to_unit(to_rgb(after))) for before, after in pairs])
    if found is None or found[2] > DRAWN or (seen_as_they_are(known, pairs) and found[2] * nothing > BETTER * left):
        return None
    cells, table, share = found
    return Told(share * nothing, same_colours(), "colours", cells=cells, cells_table=table, own_side=own_side(pairs))


def by_tiles(pairs: Sequence[Pair], enough: float) -> Told | None:
    """As tiles, which have their own colours."""
    found = tiles_of(pairs)
    return None if found is None or found[1] > enough else Told(found[1], same_colours(), "colours", tiles=found[0])


def by_stamp(pairs: Sequence[Pair], left: float, nothing: float, lost: float) -> Told | None:
    """As a stamp, under which colours stay as they are; where the model leaves more than it does. lost: by JPEG."""
    stamp = stamp_of(pairs, lost) if STAMPED * nothing < left else None
    return None if stamp is None else Told(STAMPED * nothing, same_colours(), "colours", stamp=stamp)


def _placed(
    known: Sequence[Known], enough: float, place: Callable[[Image.Image], Image.Image], told: Told
) -> Told | None:
    """What is told of places, with the mix that is left once the sources are placed."""
    return _fitted(known, enough, [place(from_unit(one.source)) for one in known], told)


def _fitted(known: Sequence[Known], enough: float, pictures: Sequence[Image.Image], told: Told) -> Told | None:
    """The same, of placed pictures."""
    placed = [replace(one, source=to_unit(picture)) for one, picture in zip(known, pictures, strict=True)]
    linear, family, error = fit_linear(placed)
    if error > enough or error > BETTER * fit_linear(known)[2]:  # what a mix says of the pixels where they are
        return None
    return replace(told, linear=linear, family=family, error=error)


def same_colours() -> Coefficients:
    """The mix that leaves colours as they are."""
    same = np.zeros((rows_of("colours"), 3), np.float32)
    same[1:4] = np.eye(3)
    return same


def seen_as_they_are(known: Sequence[Known], pairs: Sequence[Pair]) -> bool:
    """Whether the model saw the pairs' own pixels."""
    return all(one.target.shape[1::-1] == after.size for one, (_, after) in zip(known, pairs, strict=True))


def own_side(pairs: Sequence[Pair]) -> int:
    """Of a square as large as the smallest after, px."""
    return round(math.sqrt(min(math.prod(after.size) for _, after in pairs)))
