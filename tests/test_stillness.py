"""Small changes count as none where a pair shows that most of a picture stays as it is."""

from __future__ import annotations

import numpy as np

from relation_adapter.stillness import THRESHOLDS, stilled, threshold_of

RNG = np.random.default_rng(0)
BEFORE = RNG.random((64, 64, 3)).astype(np.float32)
NOISE = RNG.normal(0, 0.03, BEFORE.shape).astype(np.float32)


def test_what_a_model_changes_where_nothing_does_is_taken_back() -> None:
    after = BEFORE.copy()
    after[20:40, 20:40] = 1 - after[20:40, 20:40]
    made = after + NOISE
    threshold = threshold_of([(BEFORE, made, after)])
    assert threshold in THRESHOLDS
    other = np.roll(BEFORE, 10, axis=0)
    result = other + NOISE
    result[:10] = 1 - other[:10]
    found = stilled(other, result, threshold)
    assert np.abs(found[20:] - other[20:]).mean() < 0.2 * np.abs(NOISE[20:]).mean()
    assert np.abs(found[:8] - result[:8]).mean() < 0.02


def test_where_all_changes_every_change_counts() -> None:
    after = 0.9 * BEFORE
    assert threshold_of([(BEFORE, after + NOISE, after)]) == 0
    assert stilled(BEFORE, after, 0.0) is after
