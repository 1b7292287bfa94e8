"""What a pair changes to one colour becomes that colour elsewhere, where the model faintly leads there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from samples import natural

from relation_adapter import Relation, RelationPipeline
from relation_adapter.correction import Known
from relation_adapter.errors import WeightsError
from relation_adapter.images import Unit, to_unit
from relation_adapter.one_colour import ROWS, fit_one_colour, one_colour_of

COLOUR = np.array([0.1, 0.7, 0.3], np.float32)
FAINT = np.array([0.25, 0.55, 0.35], np.float32)  # what the model of these tests takes it for


def crop(left: int, top: int, side: int = 96) -> Unit:
    return to_unit(natural(192).crop((left, top, left + side, top + side)))


def disc(x: float, y: float, reach: float, soft: float) -> Unit:
    """(96, 96, 1): 1 inside, 0 outside, with a ramp of soft px."""
    down, across = np.mgrid[:96, :96]
    return ((reach - np.hypot(across - x, down - y)) / soft + 0.5).clip(0, 1)[..., None].astype(np.float32)


def faintly(source: Unit, x: float, y: float) -> Known:
    """A disc painted, and a model that paints it pale, with a wide rim."""
    sharp, soft = disc(x, y, 25, 1), 0.8 * disc(x, y, 25, 12)
    return Known(source + soft * (FAINT - source), source, source + sharp * (COLOUR - source))


def off(first: Unit, second: Unit) -> float:
    return float(np.square(first - second).mean())


def test_what_the_model_paints_faintly_becomes_the_pairs_own_colour_on_another_picture() -> None:
    fitted = fit_one_colour([faintly(crop(0, 0), 40, 40)])
    assert fitted is not None
    numbers, left = fitted
    assert numbers.shape == (ROWS,) and np.allclose(numbers[:3], COLOUR, atol=0.02) and left < 0.5
    other = faintly(crop(96, 96), 60, 50)
    made = one_colour_of(other.result, other.source, numbers)
    assert 0 <= made.min() and made.max() <= 1
    assert off(made, other.target) < 0.5 * off(other.result, other.target)
    assert np.abs(made[50, 60] - COLOUR).max() < 0.05
    untouched = disc(60, 50, 40, 1)[..., 0] == 0
    assert np.array_equal(made[untouched], other.result[untouched])


def test_half_a_strength_is_half_of_it() -> None:
    fitted = fit_one_colour([faintly(crop(0, 0), 40, 40)])
    assert fitted is not None
    other = faintly(crop(96, 96), 60, 50)
    whole = one_colour_of(other.result, other.source, fitted[0])
    half = one_colour_of((other.source + other.result) / 2, other.source, fitted[0], 0.5)
    assert np.abs(half - (other.source + whole) / 2).max() < 1e-4


def test_another_change_than_the_pairs_stays_as_the_model_made_it() -> None:
    """Hair that grows has the source's colour, not that of the pair's hair."""
    fitted = fit_one_colour([faintly(crop(0, 0), 40, 40)])
    assert fitted is not None
    source = np.full((96, 96, 3), 0.5, np.float32)
    reddish = source + 0.8 * disc(60, 50, 25, 12) * (np.float32([0.9, 0.2, 0.6]) - source)
    assert np.allclose(one_colour_of(reddish, source, fitted[0]), reddish, atol=1e-3)


def test_edits_to_many_colours_and_tiny_ones_are_left_alone() -> None:
    source = crop(0, 0)
    negative = Known(1 - 0.9 * source, source, 1 - source)
    dot = replace(faintly(source, 40, 40), target=source + disc(40, 40, 2, 1) * (COLOUR - source))
    surely = replace(faintly(source, 40, 40), result=faintly(source, 40, 40).target)
    for known in (negative, dot, Known(source, source, source), surely):
        assert fit_one_colour([known]) is None


def test_a_relation_keeps_it_and_one_of_another_form_is_refused(tmp_path: Path) -> None:
    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    picture = natural(192).crop((0, 0, 96, 96))
    read = pipe.encode_relation([(picture, ImageOps.posterize(picture, 3))])
    numbers = fit_one_colour([faintly(crop(0, 0), 40, 40)])
    assert numbers is not None and read.one_colour is None
    painted = replace(read, linear=None, curves=None, one_colour=read.tokens.new_tensor(numbers[0])[None])
    painted.save(tmp_path / "painted.safetensors")
    loaded = Relation.load(tmp_path / "painted.safetensors")
    first, second = (pipe(image=picture, relation=one, seed=0).images[0] for one in (painted, loaded))
    assert first == second
    assert isinstance(first, Image.Image)
    assert painted.one_colour is not None
    with pytest.raises(WeightsError, match="its one_colour is"):
        pipe(image=picture, relation=replace(painted, one_colour=painted.one_colour[:, 1:]))
