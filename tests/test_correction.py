"""What a model gets wrong on the pair is taken off its other results, as far as it can be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pipelines import pair, pipeline, relation, shared, source
from samples import natural

from relation_adapter import Relation, RelationPipeline
from relation_adapter.config import MODELS
from relation_adapter.correction import FEATURES, ROWS, Known, correction_of, fit_correction
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.units import Unit, to_unit


def crop(left: int, top: int, side: int = 96) -> Unit:
    return to_unit(natural(192).crop((left, top, left + side, top + side)))


def error(first: Unit, second: Unit) -> float:
    return float(np.square(first - second).mean())


def darker(values: Unit) -> Unit:
    return (0.7 * values**1.3).astype(np.float32)


def test_a_mistake_of_colour_is_taken_off_another_picture() -> None:
    seen, other = crop(0, 0), crop(96, 96)
    wrong = [(darker(one) * np.float32(0.8) + np.float32([0.05, 0, 0.1])) for one in (seen, other)]
    coefficients, share = fit_correction([Known(wrong[0], seen, darker(seen))])
    assert coefficients.shape == (ROWS, 3) and share > 0.8
    mended = wrong[1] + correction_of(wrong[1], other, coefficients)
    assert error(mended, darker(other)) < 0.2 * error(wrong[1], darker(other))


def posterized(values: Unit) -> Unit:
    return (np.rint(values * 3) / 3).astype(np.float32)


def inverted_lights(values: Unit) -> Unit:
    return np.where(values > 0.6, 1 - values, values).astype(np.float32)


@pytest.mark.parametrize("look", [posterized, inverted_lights])
def test_a_curve_that_no_smooth_one_follows_is_learned(look: Callable[[Unit], Unit]) -> None:
    seen, other = crop(0, 0), crop(96, 96)
    coefficients, share = fit_correction([Known(seen, seen, look(seen))])
    assert share > 0.7
    assert error(other + correction_of(other, other, coefficients), look(other)) < 0.2 * error(other, look(other))


def test_where_curves_tell_little_there_are_none() -> None:
    rng, seen = np.random.default_rng(0), crop(0, 0)
    noisy = (seen + 0.1 * rng.standard_normal(seen.shape)).clip(0, 1).astype(np.float32)
    assert not fit_correction([Known(seen, seen, noisy)])[0][FEATURES:].any()


def test_a_mistake_that_no_pixel_tells_changes_little() -> None:
    seen, other = crop(0, 0), crop(96, 96)
    coefficients, share = fit_correction([Known(seen, seen, seen[:, ::-1])])
    assert share < 0.6
    assert error(other + correction_of(other, other, coefficients), other[:, ::-1]) < 1.1 * error(other, other[:, ::-1])


def test_without_a_mistake_nothing_is_changed() -> None:
    coefficients, _ = fit_correction([Known(darker(crop(0, 0)), crop(0, 0), darker(crop(0, 0)))])
    assert np.abs(correction_of(crop(96, 0), crop(96, 0), coefficients)).max() < 1e-6


def test_several_pairs_are_told_together() -> None:
    parts = [crop(0, 0, 48), crop(96, 48, 32)]
    known = [Known(one, one, darker(one)) for one in parts]
    assert fit_correction(known)[1] > 0.9
    assert not np.array_equal(fit_correction(known)[0], fit_correction(known[:1])[0])


def test_mini_edits_other_photos_better_for_it() -> None:
    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    image = lambda values: Image.fromarray(np.rint(values * 255).astype(np.uint8))  # noqa: E731
    example = image(crop(0, 0))
    read = pipe.encode_relation([(example, image(darker(to_unit(example))))])
    assert read.correction is not None and 0 < read.provenance["corrected"] <= 1
    read = replace(read, linear=None, curves=None)  # what is exact is exact without it

    def off(relation: Relation) -> float:
        photos = [image(crop(96, 0)), image(crop(0, 96))]
        made = pipe(image=photos, relation=relation, seed=0, output_type="np").images
        return sum(error(one, darker(to_unit(photo))) for one, photo in zip(made, photos, strict=True))

    assert off(read) < 0.9 * off(replace(read, correction=None))


def test_strength_weighs_it_and_two_relations_add_theirs() -> None:
    pipe, made = shared("mini"), relation("mini")
    known = torch.zeros(1, ROWS, 3)
    known[0, 0] = 0.1  # a tenth brighter everywhere
    zero, one = replace(made, correction=torch.zeros_like(known)), replace(made, correction=known)

    def brightness(*relations: Relation, strength: float = 1.0) -> np.ndarray:
        weighted = [(each, strength) for each in relations]
        found: np.ndarray = pipe(image=source(), relation=weighted, seed=0, output_type="np").images[0]
        return found

    for more, relations, strength in ((0.1, [one], 1.0), (0.05, [one], 0.5), (0.0, [one], 0.0), (0.2, [one, one], 1.0)):
        plain = brightness(*[zero] * len(relations), strength=strength)
        assert np.allclose(brightness(*relations, strength=strength), (plain + more).clip(0, 1), atol=1e-5)


def test_it_is_saved_and_one_of_another_form_refused(tmp_path: Path) -> None:
    made = shared("mini").encode_relation([pair()])
    made.save(tmp_path / "look.safetensors")
    loaded = Relation.load(tmp_path / "look.safetensors")
    assert made.correction is not None and loaded.correction is not None
    assert torch.equal(loaded.correction, made.correction)
    other = replace(made, correction=made.correction[:, 1:])
    with pytest.raises(WeightsError, match="encode the pair again"):
        shared("mini")(image=source(), relation=other)
    assert shared("mini")(image=source(), relation=replace(made, correction=None), seed=0).images


def test_only_a_flow_that_starts_at_the_source_has_one() -> None:
    assert pipeline("directed").encode_relation([pair()]).correction is None
    with pytest.raises(UsageError, match="start=source"):
        replace(MODELS["directed"], correction=True)
