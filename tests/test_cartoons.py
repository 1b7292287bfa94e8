"""A cartoon is told of a pair, done to another picture, and not found where a pair is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from samples import natural

from relation_adapter import RelationPipeline
from relation_adapter.cartoons import Cartoon, cartoon_of
from relation_adapter.correction import LUMA
from relation_adapter.exact.blurs import blurred
from relation_adapter.exact.effects import calmest
from relation_adapter.units import Unit, from_unit, to_unit

Edit = Callable[[Unit], Unit]


def photo(left: int, top: int, side: int = 96) -> Unit:
    unit = blurred(to_unit(natural(256).crop((left, top, left + side, top + side))), 0.6)
    return (0.5 + 1.6 * (unit - unit.mean())).clip(0, 1).astype(np.float32)


def off(first: Unit, second: Unit) -> float:
    return float(np.square(first - second).mean())


def in_steps(unit: Unit, steps: int = 4) -> Unit:
    luma = (unit @ LUMA)[..., None]
    return unit + (np.floor(luma * steps) + 0.5) / steps - luma


def inked(unit: Unit, of: Unit) -> Unit:
    """With dark lines where the luma of another picture is steep."""
    steep = np.hypot(*np.gradient(of @ LUMA))[..., None]
    return unit + (10 * steep - 1).clip(0, 1) * (np.float32(0.05) - unit)


def cartoon(unit: Unit) -> Unit:
    calm = calmest(unit, 3)
    return inked(in_steps(calm), calm).clip(0, 1).astype(np.float32)


def faintly(edit: Edit, unit: Unit) -> Unit:
    """What a small model makes of an edit."""
    return (0.4 * unit + 0.6 * blurred(edit(unit), 1.5)).astype(np.float32)


def told(edit: Edit, unit: Unit) -> Cartoon | None:
    return cartoon_of(unit, faintly(edit, unit), edit(unit))


def test_a_cartoon_is_told_and_drawn_of_another_picture() -> None:
    found, source = told(cartoon, photo(0, 0)), photo(128, 128)
    assert found is not None and found.reach == 3
    result, truth = faintly(cartoon, source), cartoon(source)
    assert off(result + found.missing(source, result), truth) < 0.3 * off(result, truth)


@pytest.mark.parametrize(
    "edit",
    [
        lambda unit: in_steps(unit).clip(0, 1).astype(np.float32),
        lambda unit: inked(unit, unit).clip(0, 1).astype(np.float32),
        lambda unit: blurred(unit, 3.0),
        lambda unit: np.roll(unit, 9, axis=1),
    ],
    ids=["steps alone", "contours alone", "a blur", "a slide"],
)
def test_what_is_not_flat_and_inked_is_none(edit: Edit) -> None:
    assert told(edit, photo(0, 0)) is None


def test_where_the_model_knows_the_edit_nothing_is_drawn() -> None:
    before = photo(0, 0)
    nearly = (0.97 * cartoon(before) + 0.03 * before).astype(np.float32)
    assert cartoon_of(before, nearly, cartoon(before)) is None


def test_mini_draws_a_photo_as_the_pair_shows_it_and_by_half_as_far() -> None:
    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    before, source = from_unit(photo(0, 0, 128)), from_unit(photo(128, 128, 128))
    relation = pipe.encode_relation([(before, from_unit(cartoon(to_unit(before))))])
    assert isinstance(relation.drawn[0], Cartoon)
    truth = cartoon(to_unit(source))
    error, without, half = (
        off(to_unit(pipe(image=source, relation=one, seed=0).images[0]), truth)
        for one in (relation, replace(relation, shown=None), [(relation, 0.5)])
    )
    assert error < 0.5 * without
    assert error < half
