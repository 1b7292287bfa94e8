"""From where a pair sees the picture as a plane, told from coarse to fine by Gauss-Newton (Lucas and Kanade, 1981)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from relation_adapter.correction import LUMA, Known, Mask, Values
from relation_adapter.exact.curves import BLACK, WHITE
from relation_adapter.exact.planes import STRAIGHT, Plane, seen_from
from relation_adapter.exact.warps import BEYOND
from relation_adapter.units import Unit, from_unit, to_unit

Numbers = npt.NDArray[np.float64]  # (8,), of a `Plane`

SIDES = (32, 64)  # px, of small pictures, before the pair as it is
SOFT = 1.0  # px, of the blur of those
FIRST, ROUNDS = 4, 12  # of Gauss-Newton: of every start, and of the best
BEST = 3  # starts that are gone on with
KEYSTONES = (-0.25, -0.1, 0.1, 0.25)
SHEARS = (-0.25, 0.25)
TILTS = (-18.0, -9.0, 9.0, 18.0)  # degrees
LIKELY, LIKE = 0.7, 0.95  # correlation of luma, of small pictures and of the pair, that is taken for a plane
LEAST = 0.2  # of the picture, that is still to be seen
STEEPEST = 0.75  # of the depth in the middle, that the rim may be nearer or farther
STILL = 0.5  # px; what moves by less at the corners does not move
PARALLEL = 0.004  # depths of less are none
SETTLED = 1e-5  # half sides, by which a round hardly changes anything


@dataclass(frozen=True)
class _Pair:
    """Luma (H, W) of a source and a target, and which pixels of that count."""

    source: Values
    target: Values
    counts: Mask


def plane_of(known: Known) -> Plane | None:
    """The plane that the source is seen as in the target, whatever became of its colours; None: as none, or still."""
    pair = _Pair(known.source @ LUMA, known.target @ LUMA, _of_the_picture(known.target))
    if min(pair.source.std(), pair.target.std()) < 1 / 255:
        return None
    height, width = pair.source.shape
    ratio = width / height
    small = [_shrunk(pair, side) for side in SIDES]
    tried = sorted((_refined(small[0], start, FIRST) for start in _starts(ratio)), key=lambda one: -one[0])
    tried = sorted((_refined(small[0], one, ROUNDS) for _, one in tried[:BEST]), key=lambda one: -one[0])
    if tried[0][0] < LIKELY:
        return None
    like, numbers = _refined(small[1], tried[0][1], ROUNDS)
    if like < LIKELY:
        return None
    like, numbers = _refined(pair, numbers, ROUNDS)
    x, y = np.array([[-1.0, 1.0, -1.0, 1.0], [-1.0, -1.0, 1.0, 1.0]])  # the corners
    if max(abs(numbers[6:])) < PARALLEL:
        numbers[6:] = 0
    plane = Plane(tuple(numbers.round(6).tolist()), ratio)
    u, v = plane.places(x, y, ratio)
    away = max(np.abs(u - x).max() * width, np.abs(v - y).max() * height) / 2
    if like < LIKE or away < STILL:
        return None
    planes = [Plane(plane.numbers, ratio, beyond) for beyond in BEYOND]
    return min(planes, key=lambda one: _off(known, one))


def _off(known: Known, plane: Plane) -> float:
    """How unlike the target is beyond the rim, in colours as they are."""
    outside = ~_seen(known.source[..., 0], np.array(plane.numbers))[1]
    if not outside.any():
        return 0.0
    made = to_unit(seen_from(from_unit(known.source), plane))
    return float(np.square(made - known.target)[outside].mean())


def _of_the_picture(target: Unit) -> Mask:
    """(H, W): what is neither black nor white, as a rim is; all of a picture that is little else."""
    found = ((target > BLACK) & (target < WHITE)).any(axis=2)
    return np.asarray(found if found.mean() > LEAST else np.ones_like(found))


def _shrunk(pair: _Pair, side: int) -> _Pair:
    scale = side / min(pair.source.shape)
    size = round(scale * pair.source.shape[1]), round(scale * pair.source.shape[0])
    images = (Image.fromarray(each.astype(np.float32)) for each in (pair.source, pair.target, pair.counts))
    one, other, counts = (np.asarray(each.resize(size, Image.Resampling.BOX), np.float64) for each in images)
    seen = ndimage.minimum_filter(counts, 3) > 0.99
    one, other = (ndimage.gaussian_filter(each, SOFT) for each in (one, other))
    return _Pair(one, other, seen if seen.mean() > LEAST else np.ones_like(seen))


def _starts(ratio: float) -> Iterator[Numbers]:
    """Where looking for a plane begins: as it is, a keystone to either side, sheared, tilted."""
    yield np.array(STRAIGHT)
    for deep in KEYSTONES:
        yield np.array([1 + abs(deep), 0, 0, 0, 1, deep, 0, deep])
        yield np.array([1, 0, deep, 0, 1 + abs(deep), 0, deep, 0])
    for slant in SHEARS:
        yield np.array([1, slant / ratio, 0, 0, 1, 0, 0, 0])
        yield np.array([1, 0, 0, slant * ratio, 1, 0, 0, 0])
    for tilt in TILTS:
        cos, sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
        yield np.array([cos, sin / ratio, 0, -sin * ratio, cos, 0, 0, 0])


def _refined(pair: _Pair, numbers: Numbers, rounds: int) -> tuple[float, Numbers]:
    """How alike luma is after some rounds, -1 where nothing is to be seen; and the numbers then."""
    source, slopes = pair.source, list(np.gradient(pair.source))
    for _ in range(rounds):
        last, numbers = numbers, _nearer(pair, slopes, numbers)
        if np.abs(numbers[6:]).sum() > STEEPEST or np.abs(numbers).max() > 5:
            return -1.0, last
        if np.abs(numbers - last).max() < SETTLED:
            break
    places, inside = _seen(source, numbers)
    inside &= pair.counts
    if inside.mean() < LEAST / 2:
        return -1.0, numbers
    shown, wanted = ndimage.map_coordinates(source, places, order=1, mode="nearest")[inside], pair.target[inside]
    like = np.corrcoef(shown, wanted)[0, 1] if min(shown.std(), wanted.std()) > 1e-4 else 0.0
    return abs(float(like)), numbers


def _nearer(pair: _Pair, slopes: list[Values], numbers: Numbers) -> Numbers:
    """One step, with the gain and offset of luma."""
    height, width = pair.source.shape
    places, inside = _seen(pair.source, numbers)
    inside &= pair.counts
    if np.count_nonzero(inside) < 50:
        return numbers
    x, y = (each[inside] for each in _grid(height, width))
    at = places[:, inside]
    shown, down, right = (ndimage.map_coordinates(each, at, order=1, mode="nearest") for each in (pair.source, *slopes))
    wanted = pair.target[inside]
    varied = shown - shown.mean()
    gain = float(varied @ wanted) / (float(varied @ varied) + 1e-9)
    offset = float(wanted.mean()) - gain * float(shown.mean())
    right, down = gain * right * width / 2, gain * down * height / 2
    u, v = (2 * at[1] + 1) / width - 1, (2 * at[0] + 1) / height - 1
    deep = numbers[6] * x + numbers[7] * y + 1
    steep = (right * u + down * v) / deep
    right, down = right / deep, down / deep
    ones = np.ones_like(shown)
    parts = np.stack(
        [right * x, right * y, right, down * x, down * y, down, -steep * x, -steep * y, shown, ones], axis=1
    )
    wrong = parts.T @ (wanted - gain * shown - offset)
    squares = parts.T @ parts
    step = np.linalg.solve(squares + np.diag(1e-6 * np.diag(squares) + 1e-9), wrong)
    return numbers + step[:8]


def _grid(height: int, width: int) -> tuple[Values, Values]:
    """(H, W): x and y, in half sides from the middle."""
    y, x = np.mgrid[:height, :width] + 0.5
    return 2 * x / width - 1, 2 * y / height - 1


def _seen(source: Values, numbers: Numbers) -> tuple[Values, Mask]:
    """(2, H, W): rows and columns that pixels come from; and (H, W): whether that is inside the source."""
    height, width = source.shape
    a, b, c, d, e, f, g, h = numbers
    x, y = _grid(height, width)
    deep = g * x + h * y + 1
    u, v = (a * x + b * y + c) / deep, (d * x + e * y + f) / deep
    places = np.stack([(v + 1) * height / 2 - 0.5, (u + 1) * width / 2 - 0.5])
    inside = (places[0] > 0) & (places[0] < height - 1) & (places[1] > 0) & (places[1] < width - 1)
    return places, inside
