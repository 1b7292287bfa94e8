"""How far judges agree: Cohen's kappa against its definition, and over tables of judges."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relation_adapter.cli import main
from relation_adapter.errors import InputError, UsageError
from relation_adapter.evaluate.agreement import between_judges, between_orders, kappa, place_bias
from relation_adapter.evaluate.judged import Head, claim, write_judged

Scores = list[list[int]]


def by_definition(one: Sequence[int], other: Sequence[int], power: int) -> float:
    """From the two lists themselves: the mean disagreement seen, and that of all pairs drawn from both."""

    def apart(a: int, b: int) -> float:
        return float(a != b) if power == 0 else float(abs(a - b) ** power)

    seen = np.mean([apart(a, b) for a, b in zip(one, other, strict=True)])
    return float(1 - seen / np.mean([apart(a, b) for a, b in itertools.product(one, other)]))


def counts(one: Sequence[int], other: Sequence[int], classes: int = 5) -> Any:
    table = np.zeros((classes, classes))
    np.add.at(table, (np.asarray(one), np.asarray(other)), 1)
    return table


def test_kappa_is_what_cohen_defined() -> None:
    assert kappa(np.array([[20.0, 5.0], [10.0, 15.0]])) == pytest.approx(0.4)  # seen 0.7, by chance 0.5
    assert kappa(np.diag([3.0, 4.0, 5.0])) == 1
    assert kappa(np.array([[0.0, 5.0], [5.0, 0.0]])) == -1
    assert np.isnan(kappa(np.array([[7.0, 0.0], [0.0, 0.0]])))
    rng = np.random.default_rng(0)
    for power in (0, 1, 2):
        one = rng.integers(0, 5, 60)
        other = np.clip(one + rng.integers(-1, 2, 60), 0, 4)
        assert kappa(counts(one, other), power) == pytest.approx(by_definition(one, other, power), abs=1e-12)
        both = np.stack([counts(one, other), counts(other, one)])
        assert kappa(both, power)[1] == pytest.approx(float(kappa(counts(one, other), power)))


def write_table(folder: Path, answers: Sequence[Sequence[tuple[tuple[int, ...], Scores]]], **head: Any) -> Path:
    """A table as a judge leaves it: of every quad (order, scores) of each answer."""
    mode = "paired" if len(answers[0][0][1]) == 2 else "single"
    places = ("first_", "second_") if mode == "paired" else ("",)
    rows = [
        {
            **{name: str(folder.parent / f"{name}.png") for name in ("before", "after", "source")},
            **{f"{place}output": str(folder.parent / f"{place}{number}.png") for place in places},
            "answers": [{"order": order, "scores": scores} for order, scores in given],
        }
        for number, given in enumerate(answers)
    ]
    folder.mkdir()
    claim(folder, Head(mode, "m", "p", "0", 8, ("../a",), **{"both_orders": mode == "paired", "seed": 0} | head))
    write_judged(folder, rows, mode)
    return folder


def test_two_judges_of_single_scores(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    one = rng.integers(1, 6, (40, 2))
    other = np.clip(one + rng.integers(-1, 2, (40, 2)), 1, 5)
    tables = [
        write_table(tmp_path / name, [[((0,), [scores.tolist()])] for scores in given])
        for name, given in (("one", one), ("other", other[:30]))
    ]
    found = between_judges(*tables)
    assert list(found) == ["consistency", "accuracy"]
    for column, agreement in enumerate(found.values()):
        first, second = one[:30, column] - 1, other[:30, column] - 1
        assert (agreement.quads, agreement.ratings) == (30, 30)
        assert agreement.same == np.mean(first == second)
        for got, power in ((agreement.plain, 0), (agreement.weighted, 2)):
            assert got.value == pytest.approx(by_definition(first, second, power))
            assert got.low is not None and got.high is not None and got.low < got.value < got.high
    assert between_judges(*tables) == found
    assert between_judges(tables[0], tables[0])["accuracy"].plain.low == 1


def test_a_judge_with_itself_when_two_results_change_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # What is shown first gets one more: the editors' own scores are 3 and 3, and 2 and 4.
    even = [((0, 1), [[4, 4], [3, 3]]), ((1, 0), [[3, 3], [4, 4]])]
    clear = [((1, 0), [[2, 2], [5, 5]]), ((0, 1), [[3, 3], [4, 4]])]
    table = write_table(tmp_path / "table", [even, clear, [((0, 1), [[1, 1], [1, 1]])]])
    found = between_orders(table)
    assert {name: (one.quads, one.ratings, one.same) for name, one in found.items()} == {
        "consistency": (2, 4, 0),
        "accuracy": (2, 4, 0),
        "preference": (2, 2, 0.5),
    }
    assert place_bias(table) == pytest.approx(1)
    assert main(["evaluate", "agreement", str(table)]) == 0
    assert "preference: kappa 0.000" in capsys.readouterr().out


def test_answers_of_another_order_are_not_compared(tmp_path: Path) -> None:
    one = write_table(tmp_path / "one", [[((0, 1), [[4, 4], [3, 3]])]], both_orders=False)
    other = write_table(tmp_path / "other", [[((1, 0), [[4, 4], [3, 3]])]], both_orders=False)
    with pytest.raises(InputError, match="no result was scored in both"):
        between_judges(one, other)
    with pytest.raises(UsageError, match="was not judged in both orders"):
        between_orders(one)


def test_one_score_throughout_has_no_kappa(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = [write_table(tmp_path / name, [[((0,), [[3, 3]])]] * 3) for name in ("one", "other")]
    assert between_judges(*tables)["accuracy"].plain.value is None
    assert main(["evaluate", "agreement", *map(str, tables)]) == 0
    assert "kappa not defined (one score throughout)" in capsys.readouterr().out


def test_a_folder_without_a_table_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "agreement", str(tmp_path)]) == 2
    (tmp_path / "judged.json").write_text(json.dumps({"mode": "single"}))
    assert main(["evaluate", "agreement", str(tmp_path)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "nothing was judged into this folder" in first and "not the head of a table" in second
