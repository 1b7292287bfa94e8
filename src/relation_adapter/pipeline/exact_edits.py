"""What a pair says exactly: told from it, and done to a source of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from relation_adapter.correction import Coefficients, Known
from relation_adapter.editor import Pair
from relation_adapter.exact.curves import BY_PIXEL, Table, curves_of, fit_blurred_curves, fit_curves
from relation_adapter.exact.linear import fit_linear, fit_other, linear_of, mean_luma
from relation_adapter.exact.motion import Motion, moved
from relation_adapter.exact.motion_fit import motion_of
from relation_adapter.exact.slips import Slips, slipped, slips_of
from relation_adapter.exact.turns import SIDEWAYS, TURNS, turn_of, turned
from relation_adapter.images import to_rgb
from relation_adapter.relation import Relation
from relation_adapter.units import STRIP_PIXELS, Unit, picture_of_strips, to_unit

EXACT = 0.3  # times the error that a correction leaves, at the most
CURVED = 0.004  # of the error of doing nothing, that curves may leave: any pair is a little like one
BLURRED = 0.012  # the same of curves of blurs, whose sigma is told nearly
BETTER = 0.5  # times the error of a plainer edit, that another may have
SURELY = 0.001  # of the error of doing nothing: with less, nothing else is tried
BEYOND = 0.0005  # of the error of doing nothing, that a mix may leave which goes on where curves end
ROUNDING = (0.5 / 255) ** 2  # of bytes: no edit is told better than that
MOVED = 0.02  # of the error of doing nothing, that a motion may leave, or bands that slid


@dataclass(frozen=True)
class Told:
    """What some pairs say exactly, and the mean square error of it in blocks that no fit has seen."""

    error: float
    linear: Coefficients | None = None
    family: str = ""  # of linear
    curves: Table | None = None
    driver: str = ""  # of curves
    turn: str = ""
    motion: Motion | None = None
    slips: Slips | None = None

    def put(self, relation: Relation) -> Relation:
        """The relation that keeps it."""
        motion = None if self.motion is None else asdict(self.motion)
        slips = None if self.slips is None else self.slips.bands
        says = {"linear": self.family, "curves": self.driver, "turn": self.turn, "motion": motion, "slips": slips}
        return replace(
            relation,
            linear=None if self.linear is None else torch.from_numpy(self.linear)[None],
            curves=None if self.curves is None else torch.from_numpy(self.curves)[None],
            provenance={**relation.provenance, **{name: value for name, value in says.items() if value}},
        )


def told_exactly(known: Sequence[Known], pairs: Sequence[Pair], left: float) -> Told | None:
    """What pairs say exactly; None where they say nothing so.

    known: the pairs as the model saw them. left: the mean square error that a corrected model leaves on them, of which
    an exact edit has to leave much less. The plainest comes first, and what comes later has to be much better.
    """
    enough = EXACT * left
    nothing = float(np.mean([np.square(one.target - one.source).mean() for one in known])) + 1e-9
    turn = turn_of(known)
    ways: tuple[Callable[[], Told | None], ...] = (
        lambda: _plainly(known, pairs, left, nothing, ""),
        lambda: _plainly(known, pairs, left, nothing, turn) if turn else None,
        lambda: _otherwise(known, enough),
        lambda: _by_blurs(known, min(enough, BLURRED * nothing)),
        lambda: _moving(known, min(enough, MOVED * nothing)),
        lambda: _slid(known, min(enough, MOVED * nothing)),
    )
    best: Told | None = None
    for way in ways:
        told = way()
        if told is not None and (best is None or told.error < BETTER * best.error):
            best = told
        if best is not None and best.error < max(ROUNDING, SURELY * nothing):
            break
    return best


def _plainly(known: Sequence[Known], pairs: Sequence[Pair], left: float, nothing: float, turn: str) -> Told | None:
    """As a mix of colours or blurs, as curves, or as both, curves where they know the level; of the sources turned.

    Curves of single pixels have a JPEG's noise in their error, which is not in what the model sees: they may leave as
    much as that.
    """
    placed = [replace(one, source=TURNS[turn](one.source)) for one in known]
    sampled = [_sampled(*pair, turn, one) for pair, one in zip(pairs, known, strict=True)]
    same = [one.target.shape[1::-1] == after.size for one, (_, after) in zip(known, pairs, strict=True)]
    linear, family, error = fit_linear(placed, [] if all(same) else sampled)
    curves, driver, curved = fit_curves(sampled)
    told = Told(error, linear, family, turn=turn) if error < EXACT * left else None
    if error < ROUNDING or curved > min(BETTER * error, left, CURVED * nothing):
        return told
    if told is None or error > BEYOND * nothing:  # a mix that is not sure says nothing of levels that no curve knows
        return Told(curved, curves=curves, driver=driver, turn=turn)
    return replace(told, error=curved, curves=curves, driver=driver)


def _otherwise(known: Sequence[Known], enough: float) -> Told | None:
    """As a mix of something else."""
    found = fit_other(known, enough)
    return None if found is None else Told(linear=found[0], family=found[1], error=found[2])


def _by_blurs(known: Sequence[Known], enough: float) -> Told | None:
    """As a gradient map of blurred luma, or of what it tells."""
    found = fit_blurred_curves(known, enough)
    return None if found is None else Told(found[2], curves=found[0], driver=found[1])


def _moving(known: Sequence[Known], enough: float) -> Told | None:
    """As a motion, with or without a mix of colours or blurs."""
    motion = motion_of(known)
    return None if motion is None else _placed(known, enough, partial(moved, motion=motion), Told(0, motion=motion))


def _slid(known: Sequence[Known], enough: float) -> Told | None:
    """As bands that slid, the same in all pairs, with or without a mix."""
    slips = slips_of(known[0].source, known[0].target)
    return None if slips is None else _placed(known, enough, partial(slipped, slips=slips), Told(0, slips=slips))


def _placed(
    known: Sequence[Known], enough: float, place: Callable[[Image.Image], Image.Image], told: Told
) -> Told | None:
    """What is told of places, with the mix that is left once the sources are placed."""
    pictures = [place(picture_of_strips(iter([one.source]))) for one in known]
    placed = [replace(one, source=to_unit(picture)) for one, picture in zip(known, pictures, strict=True)]
    linear, family, error = fit_linear(placed)
    return replace(told, linear=linear, family=family, error=error) if error < enough else None


def _sampled(before: Image.Image, after: Image.Image, turn: str, known: Known) -> Known:
    """The same as known of a pair, of single pixels; as it is where before and after differ in size."""
    size = known.target.shape[1::-1]
    first, second = turned(to_rgb(before), turn), to_rgb(after)
    how = Image.Resampling.NEAREST if first.size == second.size else None
    return replace(known, source=to_unit(first.resize(size, how)), target=to_unit(second.resize(size, how)))


@dataclass(frozen=True)
class Exact:
    """What is done to a source, where one relation alone says it exactly; without one, nothing is."""

    relation: Relation | None = None
    strength: float = 1.0
    mean: float = 0.0  # luma of the whole source

    @classmethod
    def of(cls, relation: Relation, strength: float, source: Image.Image) -> Exact:
        """None half turns a picture, and none turns one on its side that is not square."""
        fits = source.width == source.height or relation.turn not in SIDEWAYS
        if not relation.is_exact or not fits or (relation.turn and strength != 1):
            return cls()
        return cls(relation, strength, mean_luma(to_unit(source)))

    @property
    def needs_result(self) -> bool:
        """Whether anything of what the model makes is left."""
        return self.relation is None or self.relation.linear is None

    @property
    def by_pixel(self) -> bool:
        """Whether a pixel's own colours are all that counts, so that it can be done at any size."""
        if self.relation is None:
            return False
        return self.relation.family in ("", "colours") and self.relation.driver in ("", *BY_PIXEL)

    def place(self, picture: Image.Image) -> Image.Image:
        """The source with its pixels where the edit puts them, at any size."""
        if self.relation is None:
            return picture
        if self.relation.motion is not None:
            return moved(to_rgb(picture), self.relation.motion.part(self.strength))
        if self.relation.slips is not None:
            return slipped(to_rgb(picture), self.relation.slips.part(self.strength))
        return turned(picture, self.relation.turn)

    def small(self, source: Image.Image, result: Unit) -> Unit:
        """The edit of a source as the model saw it, (H, W, 3) in [0, 1]; result: what the model makes of it."""
        return result if self.relation is None else self._edited(to_unit(self.place(source)), result)

    def strips(self, source: Image.Image, results: Iterator[Unit]) -> Iterator[Unit]:
        """The edit of a placed source of any size, in strips from top to bottom. results: of the model, strips too."""
        source = to_rgb(source)
        if not self.needs_result:
            rows = max(1, STRIP_PIXELS // source.width)
            for top in range(0, source.height, rows):
                strip = to_unit(source.crop((0, top, source.width, min(top + rows, source.height))))
                yield self._edited(strip, strip)
            return
        top = 0
        for result in results:
            bottom = top + len(result)
            yield self._edited(to_unit(source.crop((0, top, source.width, bottom))), result)
            top = bottom

    def _edited(self, placed: Unit, result: Unit) -> Unit:
        """In [0, 1], at any strength. result: for levels that no curve knows, where no linear edit does either."""
        assert self.relation is not None
        if self.relation.linear is not None:
            made = linear_of(placed, numbers(self.relation.linear), self.relation.family, self.mean)
            result = placed + np.float32(self.strength) * (made - placed)
        if self.relation.curves is not None:
            table, driver = numbers(self.relation.curves), self.relation.driver
            result = curves_of(placed, result, table, driver, self.strength)
        return result.clip(0, 1)


def numbers(kept: Tensor) -> npt.NDArray[np.float32]:
    """What a relation keeps, (1, ...), as an array without the 1."""
    found: npt.NDArray[np.float32] = kept[0].float().cpu().numpy()
    return found
