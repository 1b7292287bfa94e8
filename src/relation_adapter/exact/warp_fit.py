"""How a pair bends a picture, told line by line.

Every way is tried on small pictures, at many angles or points: how like the target's lines are those of the source that
are likest to them. Of the best, the source's lines are told as the path of the least cost (Viterbi, 1967).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import optimize

from relation_adapter.correction import LUMA, Values
from relation_adapter.exact.curves import BLACK, WHITE
from relation_adapter.exact.warps import ACROSS, ALONG, BEYOND, ROUND, Warp, bent, grid, seen_at
from relation_adapter.images import resize
from relation_adapter.units import Unit, from_unit, to_unit

Lines = npt.NDArray[np.int64]

WAYS = (*ALONG, *ACROSS)
SMALL = 48  # px, of what angles and points are tried on
ANGLES = tuple(range(0, 180, 6))
POINTS = (-0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4)
FARTHEST = 0.6  # short sides from the middle, of a point
FINELY = 24  # times an angle or a point is tried, to tell it more exactly (Nelder and Mead, 1965)
HOLDS = 1.05  # times the share that small pictures leave, what those of twice the size leave of a bend; else more
ROUNDING = 0.005  # of the error of doing nothing, that does not count in that
LIKELY = 0.5  # of the error of doing nothing, of which the likeliest way leaves less
FINER = 2  # lines of the source, or places on a line that slides, for one
FAR = 0.25  # short sides, that straight lines slide at the most
ROUGHLY, ANGLES_A_SIDE = 1.6, 2.5  # angles around a point, for one line of a short side: of what is tried, and told
LIGHT = 0.02  # what it costs to make a line lighter or darker
SLOPE, TEAR = 2e-5, 1e-2  # mean squares times short sides: what a step, and a tear, from one line to the next cost
PART = {"rings": math.tau / 24, "twirl": math.tau / 24}  # of a line, every second one is kept out in turn
STRAIGHT_PART = 0.12  # short sides, of other lines
MOVED = 0.4  # times the error of lines that stay where they are, in their best light, that moved ones have
BRIGHT = (0.5, *[0.25] * 5)  # what gain and light of a line may change
ODD = 0.05  # of all lines, that may change more
STILL = (0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)  # a line that stays as it is
FEWEST = 8  # pixels, to tell a line's light of


def warp_of(source: Unit, target: Unit) -> tuple[Warp, float] | None:
    """What bends the source most like the target, and the mean square error in parts of lines that no fit has seen.

    None where no way is likely, or where it is the light of the lines that does it, and not where they come from. Of
    pictures that are not square, rings may be stretched with them.
    """
    height, width = target.shape[:2]
    found = _plain_warp_of(source, target)
    if found is not None:
        upright = found[0].with_the_picture(width, height)
        off = (float(np.square(bent(source, one) - target).mean()) for one in (upright, found[0]))
        return (upright, found[1]) if next(off) < HOLDS * next(off) + 1e-6 else found
    if width == height:
        return None
    side = round(math.sqrt(width * height))
    squared = (to_unit(resize(from_unit(each), (side, side))) for each in (source, target))
    found = _plain_warp_of(*squared)
    return None if found is None else (replace(found[0], stretched=True), found[1])


def _plain_warp_of(source: Unit, target: Unit) -> tuple[Warp, float] | None:
    """The same, with lengths in short sides."""
    small, finer = ((_shrunk(source, side), _shrunk(target, side)) for side in (SMALL, 2 * SMALL))
    nothing, more = (float(np.square(one - other).mean()) + 1e-9 for one, other in (small, finer))
    likely: dict[str, Values] = {}
    for error, way, place in sorted(_tried(*small), key=lambda one: (one[0], WAYS.index(one[1]))):
        if error < LIKELY * nothing:
            likely.setdefault(way, place)
    told = []
    for way, place in [*likely.items()][:2]:
        error, nearer = _nearer(*small, way, place)
        left = _least(*finer, way, nearer) / more
        if left < HOLDS * error / nothing + ROUNDING:
            told.append((left, way, nearer))
    if not told:
        return None
    _, way, place = min(told, key=itemgetter(0))
    _, place = _nearer(*finer, way, place)
    each = [_Lines.of(source, target, way, place, min(target.shape[:2]), FINER, beyond) for beyond in BEYOND]
    warps = [one.warp() for one in each]
    wrong = [float(np.square(bent(source, one) - target).mean()) for one in warps]
    lines, warp = min(zip(wrong, each, warps, strict=True), key=itemgetter(0))[1:]
    error = _foretold(lines, source, target)
    still = float(np.square(bent(source, lines.still()) - target).mean())
    return (warp, error) if error < MOVED * still and lines.keeps_light(warp) else None


def _nearer(source: Unit, target: Unit, way: str, place: Values) -> tuple[float, Values]:
    """The least error of angles or points near a given one, and where that is."""

    def off(one: Values) -> float:
        return _least(source, target, way, one)

    if way == "rays":
        return off(place), place
    first = np.vstack([place, place + (0.05 if way in ROUND else 3.0) * np.eye(len(place))])
    options = {"initial_simplex": first, "maxfev": FINELY, "xatol": 1e-3, "fatol": 1e-7}
    bounds = [(-FARTHEST, FARTHEST)] * 2 if way in ROUND else None
    found = optimize.minimize(off, place, method="Nelder-Mead", bounds=bounds, options=options)
    return float(found.fun), found.x


def _foretold(lines: _Lines, source: Unit, target: Unit) -> float:
    """The mean square error in parts of lines that no fit has seen."""
    parts = _parts(lines.blank.way, lines.blank.coordinates(*grid(*target.shape[:2]))[1])
    halves = [bent(source, lines.half(odd).warp()) for odd in (False, True)]
    made = np.where((parts == 1)[..., None], *halves)
    return float(np.square(made - target).mean())


def _tried(source: Unit, target: Unit) -> Iterator[tuple[float, str, Values]]:
    """The least error of every way at every angle or point; lines that slide are the same that moved, read once."""
    points = [np.array(point) for point in itertools.product(POINTS, POINTS)]
    places = {"slides": [np.array([angle]) for angle in ANGLES], "twirl": points, "rays": [np.zeros(2)]}
    for way, each in places.items():
        for place in each:
            lines = _Lines.of(source, target, way, place, min(target.shape[:2]))
            yield lines.least(), way, place
            if way in ACROSS:
                yield lines.along_of_across().least(), "lines" if way == "slides" else "rings", place


def _least(source: Unit, target: Unit, way: str, place: Values) -> float:
    """The mean square error where every line shows what is likest to it."""
    return _Lines.of(source, target, way, place, min(target.shape[:2])).least()


@dataclass(frozen=True)
class _Lines:
    """A pair line by line: S lines of the target at T places each, and what they may show.

    blank: the warp that leaves them as they are. along: (T,). target: (S, T, 3). weights: (S, T), pixels that each
    stands for. source: (S', T', 3), lines in finer steps, or places that go on at both ends, by `more`, in finer steps.
    """

    blank: Warp
    along: Values
    target: Values
    weights: Values
    source: Values
    more: int
    finer: int
    side: int

    @classmethod
    def of(
        cls, source: Unit, target: Unit, way: str, place: Values, side: int, finer: int = 1, beyond: str = "mirror"
    ) -> _Lines:
        """side: lines of a short side."""
        height, width = target.shape[:2]
        x, y = (float(one) for one in place) if way in ROUND else (0.0, 0.0)
        angle = 0.0 if way in ROUND else float(place[0])
        line, along = _axes(way, (width, height), (x, y), angle, side, finer if way in ACROSS else 1)
        step, apart = line[1] - line[0], along[1] - along[0]
        blank = Warp(way, float(line[0]), float(step), (STILL,) * len(line), angle, x, y, beyond)
        weights = np.full((len(line), len(along)), step * apart * side * side)
        if way in ROUND:
            weights *= along[None] if way == "rays" else line[:, None]
        places = blank.place(*np.meshgrid(line, along, indexing="ij"))
        short = min(height, width)
        weights *= (np.abs(places[0]) < width / 2 / short) & (np.abs(places[1]) < height / 2 / short)
        more = round(FAR / apart) if way == "slides" else 0
        lines, ends = line, np.arange(-more, len(along) + more) * apart + along[0]
        if way in ALONG:
            lines = line[0] + np.arange(len(line) * finer) * (step / finer)
        shown = seen_at(source, *blank.place(*np.meshgrid(lines, ends, indexing="ij")), beyond)
        return cls(blank, along, seen_at(target, *places), weights.astype(np.float32), shown, more, finer, side)

    def along_of_across(self) -> _Lines:
        """What slid, as the straight lines or rings that it lies on, which may show another one; of one finer."""
        way = "lines" if self.blank.way == "slides" else "rings"
        ends = slice(self.more, self.source.shape[1] - self.more)
        return replace(self, blank=replace(self.blank, way=way), source=self.source[:, ends], more=0)

    def least(self) -> float:
        """The mean square error where every line shows what is likest to it, but for what is black or white.

        That may have come from beyond the rim.
        """
        seen = ((self.target > BLACK) & (self.target < WHITE)).any(axis=2)
        lines = replace(self, weights=self.weights * seen + 1e-9)
        return float(lines.costs.min(axis=1).sum() / lines.weights.sum() / self.target.shape[2])

    @cached_property
    def costs(self) -> Values:
        """(S, K): square errors of every line, as each line of the source or slid by each step, whatever its light."""
        return self._slid() if self.blank.way in ACROSS else self._others()

    def _others(self) -> Values:
        count, colours = len(self.target), self.target.shape[2]
        each = np.repeat(self.weights[..., None], colours, axis=2).reshape(count, -1)
        wanted, shown = self.target.reshape(count, -1), self.source.reshape(len(self.source), -1)
        light = self.light.reshape(len(self.light), -1)
        costs = (wanted * wanted * each).sum(axis=1)[:, None] - 2 * (wanted * each) @ shown.T + each @ (shown * shown).T
        powers = (each[:, None] * light) @ light.T
        powers += (LIGHT * each.sum(axis=1) + 1e-6)[:, None, None] * np.eye(len(light))
        off = ((wanted * each) @ light.T)[:, None] - np.stack([(each * one) @ shown.T for one in light], axis=-1)
        found: Values = costs - (off * (off @ np.linalg.inv(powers))).sum(axis=2)  # in the best light
        return found.clip(0)

    def _slid(self) -> Values:
        count = self.source.shape[1]
        one, other = (
            np.fft.rfft(each, n=count, axis=1) for each in (self.target * self.weights[..., None], self.source)
        )
        products = np.fft.irfft(one.conj() * other, n=count, axis=1).sum(axis=2)
        one, other = (np.fft.rfft(each, n=count, axis=1) for each in (self.weights, np.square(self.source).sum(axis=2)))
        powers = np.fft.irfft(one.conj() * other, n=count, axis=1)
        own = (np.square(self.target) * self.weights[..., None]).sum(axis=(1, 2))
        found = (own[:, None] - 2 * products + powers).clip(0)
        return found[:, : 2 * self.more + 1] if self.more else found

    @cached_property
    def light(self) -> Values:
        """(J, T, 3): what may be added to a line: to each colour; and to rings by their sides."""
        colours = self.target.shape[2]
        one = np.repeat(np.eye(colours, dtype=np.float32)[:, None], len(self.along), axis=1)
        if self.blank.way != "rings":
            return one
        sides = np.stack([np.cos(self.along), np.sin(self.along)]).astype(np.float32)
        return np.concatenate([one, np.repeat(sides[..., None], colours, axis=2)])

    def warp(self) -> Warp:
        """The likeliest."""
        chosen = _path(self.costs / (3 * self.side))
        if self.blank.way in ALONG:
            return self._of_lines(chosen)
        apart, count = float(self.along[1] - self.along[0]), self.source.shape[1]
        slid = chosen - self.more
        if self.blank.way == "twirl":
            slid = np.unwrap(np.where(slid > count // 2, slid - count, slid), period=count)
        return replace(self.blank, lines=tuple((round(move, 5), *STILL[1:]) for move in (slid * apart).tolist()))

    def still(self) -> Warp:
        """Nothing moves, each line in its best light."""
        return self._of_lines(np.arange(len(self.target)) * self.finer) if self.blank.way in ALONG else self.blank

    def _of_lines(self, chosen: Lines) -> Warp:
        """That shows some lines of the source, each in its best light."""
        moves = ((chosen / self.finer - np.arange(len(chosen))) * self.blank.step).tolist()
        lit = [self._lit(row, self.source[line]) for row, line in enumerate(chosen.tolist())]
        lines = [(round(move, 5), *light) for move, light in zip(moves, lit, strict=True)]
        return replace(self.blank, lines=tuple(lines))

    def keeps_light(self, warp: Warp) -> bool:
        """Whether hardly a line has become another one by its light."""
        changed = np.abs(np.array(warp.lines)[:, 1:] - STILL[1:])
        return float((changed > BRIGHT).any(axis=1).mean()) < ODD

    def _lit(self, row: int, shown: Values) -> tuple[float, ...]:
        """The gain of a line, and what is added to it."""
        each = np.repeat(self.weights[row][:, None], 3, axis=1).reshape(-1)
        if np.count_nonzero(each) < 3 * FEWEST:
            return STILL[1:]
        numbers = np.concatenate([shown.reshape(1, -1), self.light.reshape(len(self.light), -1)])
        powers = (numbers * each) @ numbers.T + LIGHT * each.sum() * np.eye(len(numbers))
        told = np.linalg.solve(powers, (numbers * each) @ (self.target[row] - shown).reshape(-1))
        found = np.array(STILL[1:])
        found[: len(told)] += told
        return tuple(found.round(5).tolist())

    def half(self, odd: bool) -> _Lines:
        """The same, told of every second part of the lines."""
        return replace(self, weights=self.weights * (_parts(self.blank.way, self.along) == odd))


def _parts(way: str, along: Values) -> Values:
    """0 and 1 in turn, of places on lines."""
    return np.floor(along / PART.get(way, STRAIGHT_PART)) % 2


def _path(costs: Values) -> Lines:
    """(S,): of every row the column with the least sum of costs, of steps from row to row, and of tears."""
    count, places = costs.shape
    each = np.arange(places)
    total, before = np.zeros(places), np.empty((count, places), np.int64)
    for row, cost in enumerate(costs):
        best = int(total.argmin())
        up, upwards = _from_below(total, each)
        down, downwards = _from_below(total[::-1], each)
        down, downwards = down[::-1], places - 1 - downwards[::-1]
        near, came = np.where(up <= down, up, down), np.where(up <= down, upwards, downwards)
        torn = total[best] + TEAR < near
        before[row] = np.where(torn, best, came)
        total = np.where(torn, total[best] + TEAR, near) + cost
    found = np.empty(count, np.int64)
    found[-1] = total.argmin()
    for row in range(count - 1, 0, -1):
        found[row - 1] = before[row, found[row]]
    return found


def _from_below(total: Values, each: Lines) -> tuple[Values, Lines]:
    """The least total for every place of those before it, steps paid, and which that is."""
    level = total - SLOPE * each
    came = np.maximum.accumulate(np.where(level <= np.minimum.accumulate(level), each, 0))
    return total[came] + SLOPE * (each - came), came


def _axes(
    way: str, size: tuple[int, int], point: tuple[float, float], angle: float, side: int, finer: int
) -> tuple[Values, Values]:
    """Where lines lie, and places on them, so that they reach every corner. finer: of places."""
    half_x, half_y = size[0] / 2 / min(size), size[1] / 2 / min(size)
    step = 1 / side
    if way not in ROUND:
        right, down = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
        reach, length = half_x * right + half_y * down, half_x * down + half_y * right
        return np.arange(-reach + step / 2, reach, step), np.arange(-length + step / 2, length, step / finer)
    far = np.arange(step / 2, math.hypot(half_x + abs(point[0]), half_y + abs(point[1])), step)
    count = finer * round(side * (ROUGHLY if side == SMALL and way != "rays" else ANGLES_A_SIDE))
    turns = np.arange(count) * (math.tau / count)
    return (turns, far) if way == "rays" else (far, turns)


def _shrunk(unit: Unit, side: int = SMALL) -> Unit:
    """(h, w, 1): the luma of a small picture."""
    image = from_unit(unit)
    width, height = (round(side * each / min(image.size)) for each in image.size)
    return to_unit(image.resize((width, height), Image.Resampling.BOX)) @ LUMA[:, None]
