"""How far two judges agree, or two runs of one, or one judge with itself when two results change places."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from relation_adapter.errors import InputError, UsageError
from relation_adapter.evaluate.judge import CRITERIA, SCALE
from relation_adapter.evaluate.judged import PLACES, Mode, read_head, read_judged
from relation_adapter.evaluate.rows import Row
from relation_adapter.evaluate.stats import DRAWS, LEVEL

PREFERENCE = "preference"  # which of two results has the higher sum of scores, or neither
CLASSES = {**dict.fromkeys(CRITERIA, len(SCALE)), PREFERENCE: 3}

Counts = npt.NDArray[np.float64]  # (..., K, K): how often one said the row's class and the other the column's
Rating = tuple[str, int, int]  # what is rated, and the class that each gave, from 0


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa, 1 for full agreement and 0 for that of chance, and its 95 % interval over redrawn quads.

    None where it is not defined: both gave one and the same score throughout.
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Agreement:
    """quads, ratings: how many both gave. same: the part of ratings that are equal, in [0, 1].

    plain: kappa where every difference weighs alike. weighted: where it weighs by its square, as fits a scale.
    """

    quads: int
    ratings: int
    same: float
    plain: Kappa
    weighted: Kappa


def between_judges(first: Path, second: Path, seed: int = 0) -> dict[str, Agreement]:
    """Of two tables about the same results, by criterion and, where they are paired, by preference.

    What stood first must be equal too: a paired answer is compared with the one given in the same order. Raises
    InputError on a folder without a table or without a result in common; UsageError where one is single, one paired.
    """
    modes = [read_head(folder).mode for folder in (first, second)]
    if modes[0] != modes[1]:
        raise UsageError(f"{first} is {modes[0]} and {second} is {modes[1]}; their scores are not comparable")
    ones, others = (_answers(read_judged(folder), modes[0]) for folder in (first, second))
    pairs = [
        [(answer, others[key][order]) for order, answer in answers.items() if order in others.get(key, {})]
        for key, answers in ones.items()
    ]
    found = _agreements(pairs, seed)
    if not found:
        raise InputError(f"{first} and {second}: no result was scored in both; judge the same batches with both")
    return found


def between_orders(folder: Path, seed: int = 0) -> dict[str, Agreement]:
    """Of the two orders in which a paired table asked about every quad.

    Raises InputError on a folder without a table; UsageError where it has not been asked in both orders.
    """
    if not read_head(folder).both_orders:
        raise UsageError(f"{folder} was not judged in both orders; give a second table to compare it with")
    answers = [list(orders.values()) for orders in _answers(read_judged(folder), "paired").values()]
    return _agreements([[(given[0], given[1])] for given in answers if len(given) == 2], seed)


def place_bias(folder: Path) -> float | None:
    """How much higher B1 is scored than B2, over both criteria and orders; 0 without bias, None without scores."""
    leads = [
        np.mean(scores[order[0]]) - np.mean(scores[order[1]])
        for orders in _answers(read_judged(folder), "paired").values()
        if len(orders) == 2
        for order, scores in orders.items()
    ]
    return float(np.mean(leads)) if leads else None


def kappa(counts: Counts, power: int = 0) -> Counts:
    """Cohen's kappa (...) of counts (..., K, K); nan where it is not defined.

    power: 0, every difference weighs alike (Cohen 1960); 1 or 2, by its size or its square (Cohen 1968).
    """
    classes = np.arange(counts.shape[-1])
    apart = np.abs(np.subtract.outer(classes, classes))
    weights = (apart > 0).astype(float) if power == 0 else apart.astype(float) ** power
    with np.errstate(invalid="ignore", divide="ignore"):
        share = counts / counts.sum((-2, -1), keepdims=True)
        chance = share.sum(-1)[..., :, None] * share.sum(-2)[..., None, :]
        result: Counts = 1 - (weights * share).sum((-2, -1)) / (weights * chance).sum((-2, -1))
    return np.where(np.isfinite(result), result, np.nan)


def _answers(rows: Iterable[Row], mode: Mode) -> dict[tuple[str, ...], dict[tuple[int, ...], Any]]:
    """By the results of a quad, by the order in which they were shown: [consistency, accuracy] of every editor."""
    return {
        tuple(row[f"{place}output"] for place in PLACES[mode]): {
            tuple(answer["order"]): answer["scores"] for answer in row["answers"]
        }
        for row in rows
    }


def _agreements(pairs: Iterable[Iterable[tuple[Any, Any]]], seed: int) -> dict[str, Agreement]:
    """pairs: of every quad what one and the other said."""
    counts: Mapping[str, list[Counts]] = defaultdict(list)
    for both in pairs:
        tables: dict[str, Counts] = {}
        for one, other in both:
            for name, first, second in _ratings(one, other):
                tables.setdefault(name, np.zeros((CLASSES[name], CLASSES[name])))[first, second] += 1
        for name, table in tables.items():
            counts[name].append(table)
    return {name: _agreement(np.stack(tables), seed) for name, tables in counts.items()}


def _ratings(one: Sequence[Sequence[int]], other: Sequence[Sequence[int]]) -> Iterator[Rating]:
    for scores in zip(one, other, strict=True):
        for name, first, second in zip(CRITERIA, *scores, strict=True):
            yield name, SCALE.index(first), SCALE.index(second)
    if len(one) == 2:
        yield PREFERENCE, _preferred(one), _preferred(other)


def _preferred(scores: Sequence[Sequence[int]]) -> int:
    """2 for the first editor, 0 for the second, 1 for neither."""
    return 1 + int(np.sign(sum(scores[0]) - sum(scores[1])))


def _agreement(counts: Counts, seed: int) -> Agreement:
    """counts: (quads, K, K)."""
    total = counts.sum(0)
    drawn = np.random.default_rng(seed).multinomial(len(counts), [1 / len(counts)] * len(counts), size=DRAWS)
    redrawn = np.tensordot(drawn.astype(float), counts, axes=1)
    plain, weighted = (_interval(kappa(total, power), kappa(redrawn, power)) for power in (0, 2))
    return Agreement(len(counts), int(total.sum()), float(np.trace(total) / total.sum()), plain, weighted)


def _interval(value: Counts, redrawn: Counts) -> Kappa:
    if not np.isfinite(value):
        return Kappa(None, None, None)
    low, high = np.nanquantile(redrawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Kappa(float(value), float(low), float(high))
