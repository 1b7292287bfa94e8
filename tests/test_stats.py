"""Means over tasks, their intervals, and two editors compared on the same quads."""

from typing import Any

import numpy as np
import pytest

from relation_adapter.evaluate.stats import compare, mean, per_task, where


def rows_of(values: dict[str, list[float]], column: str = "mse") -> list[dict[str, Any]]:
    return [
        {"before": f"{task}{n}", "after": "", "source": f"{task}{n}", "task": task, "error": None, column: value}
        for task, numbers in values.items()
        for n, value in enumerate(numbers)
    ]


def test_a_task_counts_once_however_many_rows_it_has() -> None:
    rows = rows_of({"sepia": [0.2] * 98 + [0.4, 0.6], "flip": [1.0]})
    assert per_task(rows, "mse") == pytest.approx({"sepia": 0.206, "flip": 1.0})
    found = mean(rows, "mse")
    assert found is not None
    assert (found.value, found.tasks, found.rows) == (pytest.approx(0.603), 2, 101)


def test_failed_rows_and_rows_without_the_number_are_left_out() -> None:
    rows = rows_of({"sepia": [0.2, 0.4]})
    rows += [{"task": "sepia", "error": "no such file", "mse": 9.0}, {"task": "sepia", "error": None}]
    rows += [{"task": "flip", "error": None, "mse": float("nan")}]
    found = mean(rows, "mse")
    assert found is not None
    assert (found.value, found.rows) == (pytest.approx(0.3), 2)
    assert mean(rows, "ssim") is None


def test_the_interval_holds_the_true_mean_about_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(100):
        tasks = rng.normal(0.5, 0.1, 40)
        found = mean(rows_of({str(n): list(rng.normal(m, 0.2, 5)) for n, m in enumerate(tasks)}), "mse")
        assert found is not None
        inside += found.low <= 0.5 <= found.high
    assert 88 <= inside


def test_the_same_seed_gives_the_same_interval() -> None:
    rng = np.random.default_rng(0)
    rows = rows_of({str(task): list(rng.random(9)) for task in range(9)})
    assert mean(rows, "mse", seed=3) == mean(rows, "mse", seed=3)
    assert mean(rows, "mse", seed=3) != mean(rows, "mse", seed=4)


def test_editors_are_compared_on_the_quads_that_both_did() -> None:
    first, second = rows_of({"a": [0.1] * 10, "b": [0.2] * 10}), rows_of({"a": [0.3] * 10, "b": [0.4] * 9})
    found = compare(first, reversed(second), "mse")
    assert found is not None
    assert (found.difference, found.tasks, found.rows) == (pytest.approx(-0.2), 2, 19)
    assert found.p < 0.001
    assert compare(first, [], "mse") is None


def test_a_difference_by_chance_has_an_even_p() -> None:
    rng, found = np.random.default_rng(1), []
    for _ in range(40):
        first, second = (rows_of({"a": list(rng.normal(0, 1, 20))}) for _ in range(2))
        comparison = compare(first, second, "mse")
        assert comparison is not None
        found.append(comparison.p)
    assert 0.3 < np.mean(found) < 0.7


def test_rows_are_chosen_by_their_fields() -> None:
    rows = [{"split": "seen", "category": "style"}, {"split": "unseen", "category": "style"}]
    assert where(rows, split="seen", category="style") == rows[:1]
