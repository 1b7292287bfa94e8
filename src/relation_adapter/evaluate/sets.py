"""Scores of a whole set of outputs against its targets: FID and KID, into `sets.json`.

What Inception sees of a picture is kept in the folder `features`, so that a stopped run goes on, and another grouping
costs nothing; the folder may be removed.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from relation_adapter import stores
from relation_adapter.data.spread import Spread, serially
from relation_adapter.errors import InputError, MissingExtraError, PictureError
from relation_adapter.evaluate.networks import Networks, device
from relation_adapter.evaluate.rows import Row, absolute_rows
from relation_adapter.files import locked_folder, reason, remove_parts, seen, write_whole
from relation_adapter.images import open_picture

if TYPE_CHECKING:
    from relation_adapter.evaluate.inception import Inception

SETS_NAME, FEATURES_NAME = "sets.json", "features"
HOW = "Inception's 2048 features of outputs and targets, each at its own size"
GROUPED = ("split", "category")
LEAST = 2  # pictures: fewer have no spread
KID_SUBSET, KID_SUBSETS = 1000, 100
Features = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]


def fid(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    """The Frechet distance of the normal distributions of two sets of features, (N, F) and (M, F), at least 2 each.

    The trace of the covariances' root is the sum of the singular values of the product of the centred sets: as exact
    where N is below F, where the root itself is ill-conditioned.
    """
    one, other = (x.astype(np.float64) for x in (first, second))
    apart = float(np.sum((one.mean(axis=0) - other.mean(axis=0)) ** 2))
    roots = [_spread(x) for x in (one, other)]
    shared = float(np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum())
    return max(0.0, apart + sum(float(np.sum(root**2)) for root in roots) - 2 * shared)


def _spread(features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A root of the covariance, with at most as many rows as columns."""
    centred = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    if len(centred) <= centred.shape[1]:
        return centred
    return np.asarray(np.linalg.qr(centred, mode="r"))


def kid(first: npt.NDArray[Any], second: npt.NDArray[Any], seed: int = 0) -> float:
    """The kernel distance of two sets of features, (N, F) and (M, F), through torchmetrics: unbiased, may be below 0.

    Of whole sets, or, above KID_SUBSET, the mean of KID_SUBSETS drawn parts. Raises MissingExtraError.
    """
    import torch

    try:
        from torchmetrics.image.kid import KernelInceptionDistance
    except ImportError as error:
        raise MissingExtraError("torchmetrics is not installed; pip install 'relation-adapter[evaluate]'") from error
    size = min(len(first), len(second))
    whole = size <= KID_SUBSET and len(first) == len(second)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # it warns that it keeps all features
        torch.manual_seed(seed)
        distance = KernelInceptionDistance(
            torch.nn.Identity(), subsets=1 if whole else KID_SUBSETS, subset_size=min(size, KID_SUBSET)
        )
        distance.update(torch.from_numpy(first.astype(np.float64)), real=True)
        distance.update(torch.from_numpy(second.astype(np.float64)), real=False)
        return float(distance.compute()[0])


SET_METRICS: Mapping[str, Callable[[Features, Features], float]] = {"fid": fid, "kid": kid}


def score_sets(
    folder: Path,
    names: Sequence[str],
    progress: Progress | None = None,
    networks: Networks | None = None,
    spread: Spread = serially,
) -> dict[str, Any]:
    """Score all outputs that have a target, and those of each split and category, into `folder/sets.json`.

    Returns what is there, {"fid": {"how": ..., "all": {"value": ..., "pictures": N}, "split=seen": ...}, ...}; a group
    with fewer than LEAST pictures has no value. progress(number, count) is called after every row. spread: who looks at
    the pictures.

    Raises:
        InputError: there is no batch in the folder, or the disk refuses; PictureError: a picture that cannot be read.
        UsageError: another process works in the folder.
        WeightsError, MissingExtraError: Inception, or torchmetrics, that is not there.
    """
    networks = networks or Networks()
    how = f"{HOW}; {networks.told('inception')}"
    absolute_rows(folder)  # a wrong name is told before locking makes a folder of it
    with locked_folder(folder):
        remove_parts(folder)
        rows = [row for row in absolute_rows(folder) if row.get("output") and row.get("target")]
        seen = _features(folder, rows, partial(_Seeing, folder / FEATURES_NAME, how, networks), spread, progress)
        found = read_sets(folder)
        for name in names:
            found[name] = {"how": how} | {
                group: {"value": SET_METRICS[name](*pair), "pictures": len(pair[0])}
                for group, places in _groups(rows)
                if len(places) >= LEAST
                for pair in [tuple(np.stack([seen[place][side] for place in places]) for side in (0, 1))]
            }
        _write(folder / SETS_NAME, json.dumps(found, indent=1, ensure_ascii=False).encode() + b"\n")
    return found


def read_sets(folder: Path) -> dict[str, Any]:
    """What `score_sets` wrote, {} where it wrote nothing. Raises InputError on a damaged file."""
    path = folder / SETS_NAME
    try:
        return dict(json.loads(stores.read(path))) if stores.is_file(path) else {}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}); remove it to score anew") from error


def _groups(rows: Sequence[Row]) -> Iterable[tuple[str, list[int]]]:
    """(name, places of its rows): all, then each split and category."""
    yield "all", list(range(len(rows)))
    for field in GROUPED:
        for value in dict.fromkeys(row[field] for row in rows if row.get(field)):
            yield f"{field}={value}", [place for place, row in enumerate(rows) if row.get(field) == value]


def _features(
    folder: Path, rows: Sequence[Row], make: Callable[[], _Seeing], spread: Spread, progress: Progress | None
) -> list[tuple[Features, Features]]:
    """What Inception sees of the output and of the target of every row."""
    if seen(folder / FEATURES_NAME):
        remove_parts(folder / FEATURES_NAME)
    found = []
    pairs = ((Path(row["output"]), Path(row["target"])) for row in rows)
    for number, both in enumerate(spread(partial(_Both, make), pairs, _lost, True), start=1):
        found.append(both)
        if progress is not None:
            progress(number, len(rows))
    return found


def _lost(pair: tuple[Path, Path], why: str) -> tuple[Features, Features]:
    raise PictureError(f"{pair[0]}: {why}")


class _Both:
    """What a worker does: from the output and the target of a row to what is seen of them."""

    def __init__(self, make: Callable[[], _Seeing]) -> None:
        self._see = make()

    def __call__(self, pair: tuple[Path, Path]) -> tuple[Features, Features]:
        return self._see(pair[0]), self._see(pair[1])


class _Seeing:
    """From a picture's file to its features, kept in a folder under what they depend on: content and weights."""

    def __init__(self, folder: Path, how: str, networks: Networks) -> None:
        self._folder, self._how, self._networks = folder, how, networks

    def __call__(self, picture: Path) -> Features:
        try:
            content = stores.read(picture)
        except OSError as error:
            raise PictureError(f"{picture}: cannot be read ({reason(error)}); make the batch again") from error
        kept = self._folder / f"{hashlib.sha256(self._how.encode() + content).hexdigest()[:32]}.npy"
        if stores.is_file(kept):
            return np.asarray(np.load(io.BytesIO(stores.read(kept))), dtype=np.float32)
        found, buffer = self._see(picture), io.BytesIO()
        np.save(buffer, found)
        _write(kept, buffer.getvalue())
        return found

    def _see(self, picture: Path) -> Features:
        from relation_adapter.evaluate.inception import features

        return features(self._model, open_picture(picture))

    @cached_property
    def _model(self) -> Inception:
        from relation_adapter.evaluate.inception import open_inception

        return open_inception(self._networks.file("inception"), device())


def _write(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({reason(error)}); free some space and run the same again"
        ) from error
