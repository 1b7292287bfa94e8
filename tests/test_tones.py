"""What is missed of tones is added by a source's own tones, or by the pair's levels, as the model's results say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import natural

from relation_adapter import Relation, RelationPipeline
from relation_adapter.correction import LUMA
from relation_adapter.exact.blurs import blurred
from relation_adapter.tones import Tones, tones_of
from relation_adapter.units import Unit, from_unit, to_unit

Edit = Callable[[Unit], Unit]
INKS = np.float32([[0.1, 0.2, 0.5], [0.9, 0.9, 0.7], [0.2, 0.6, 0.3], [0.95, 0.5, 0.2], [0.6, 0.1, 0.3]])
GAIN, LIFT = 0.7, 0.02  # of a darker photo than the pair's


def photo(left: int, top: int, side: int = 96) -> Unit:
    """With darks and lights."""
    unit = blurred(to_unit(natural(256).crop((left, top, left + side, top + side))), 1.0)
    return (0.5 + 2.5 * (unit - unit.mean())).clip(0, 1).astype(np.float32)


def off(first: Unit, second: Unit) -> float:
    return float(np.square(first - second).mean())


def soft(unit: Unit) -> Unit:
    return blurred((unit @ LUMA)[..., None], 2.4)[..., 0]


def banded(levels: Unit) -> Unit:
    return INKS[(levels.clip(0, 0.999) * len(INKS)).astype(int)]


def by_levels_of(other: Unit) -> Edit:
    """A map of five inks, from the darkest places of some picture to its lightest."""
    dark, light = np.percentile(soft(other), (3, 97))
    return lambda unit: banded((soft(unit) - dark) / (light - dark))


def of_own_tones(unit: Unit) -> Unit:
    return by_levels_of(unit)(unit)


def of_luma(unit: Unit) -> Unit:
    return banded(soft(unit))


def grainy(unit: Unit) -> Unit:
    return (unit + np.random.default_rng(0).normal(0, 0.12, unit.shape)).clip(0, 1).astype(np.float32)


def faintly(edit: Edit, unit: Unit) -> Unit:
    """What a small model makes of an edit."""
    return (0.25 + 0.5 * blurred(edit(unit), 2.0)).astype(np.float32)


def told(edit: Edit, unit: Unit) -> Tones | None:
    return tones_of(unit, faintly(edit, unit), edit(unit))


@pytest.mark.parametrize("edit", [of_own_tones, of_luma])
def test_levels_are_those_that_the_models_own_results_follow(edit: Edit) -> None:
    tones, source = told(edit, photo(0, 0)), (GAIN * photo(96, 96) + LIFT).astype(np.float32)
    assert tones is not None
    result, truth = faintly(edit, source), edit(source)
    assert off(result + tones.missing(source, result), truth) < 0.5 * off(result, truth)


def test_a_result_that_follows_neither_much_more_than_the_other_is_left_alone() -> None:
    tones, source = told(of_own_tones, photo(0, 0)), (GAIN * photo(96, 96) + LIFT).astype(np.float32)
    assert tones is not None
    own, shared = faintly(of_own_tones, source), faintly(by_levels_of(photo(0, 0)), source)
    between = (own + share * (shared - own) for share in np.linspace(0.4, 0.7, 31, dtype=np.float32))
    assert not all(tones.missing(source, result).any() for result in between)
    assert tones.missing(source, own).any() and tones.missing(source, shared).any()


def test_what_is_told_by_fine_luma_or_by_no_luma_is_not_told_by_tones() -> None:
    before = photo(0, 0)
    sharp = banded(before @ LUMA)
    assert tones_of(before, (0.5 * before + 0.5 * sharp).astype(np.float32), sharp) is None
    placed = before + 0.3 * (np.indices(before.shape[:2]).sum(axis=0) // 6 % 2)[..., None]
    assert tones_of(before, before, placed.astype(np.float32)) is None


def test_mini_maps_a_photo_by_its_own_tones_and_the_file_keeps_it(tmp_path: Path) -> None:
    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    before, source = from_unit(photo(0, 0, 128)), from_unit(photo(128, 128, 128))
    after = grainy(of_own_tones(to_unit(before)))  # without grain the pair would say it exactly
    relation = pipe.encode_relation([(before, from_unit(after))])
    assert isinstance(relation.drawn[0], Tones)
    truth = of_own_tones(to_unit(source))
    edited = to_unit(pipe(image=source, relation=relation, seed=0).images[0])
    without = to_unit(pipe(image=source, relation=replace(relation, shown=None), seed=0).images[0])
    assert off(edited, truth) < 0.9 * off(without, truth)
    relation.save(tmp_path / "map.safetensors")
    again = pipe(image=source, relation=Relation.load(tmp_path / "map.safetensors"), seed=0).images[0]
    np.testing.assert_array_equal(to_unit(again), edited)
