"""Agreement: a number in [-1, 1] that is larger for a result that shows the change of the pairs; best of n seeds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter, ImageOps
from pipelines import DESIGNS, largest, pair, pipeline, relation, shared, source
from samples import natural

from relation_adapter import Relation, RelationPipeline
from relation_adapter.editor import EditRequest
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.pipeline import RelationEditor
from relation_adapter.pipeline.agreement import best_of


def warmer(image: Image.Image) -> Image.Image:
    values = np.asarray(image, dtype=float) + np.array([60, 10, -60])
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(4))


@pytest.mark.parametrize("name", DESIGNS)
def test_the_pairs_own_change_agrees_fully_and_its_reverse_not_at_all(name: str) -> None:
    pipe, (before, after) = shared(name), pair()
    shown = pipe.encode_relation([(before, after)])
    assert shown.change is not None and shown.change.shape == (1, pipe.design.feature_dim)
    assert pipe.agreement(shown, before, after) == pytest.approx(1, abs=1e-5)
    assert pipe.agreement(shown, after, before) == pytest.approx(-1, abs=1e-5)
    assert pipe.agreement(shown, before, before) == 0


def test_mini_tells_the_edit_of_the_pair_from_another_one() -> None:
    pipe, photo, other = RelationPipeline.from_pretrained("mini"), natural(96), ImageOps.mirror(natural(128))
    shown = pipe.encode_relation([(photo, warmer(photo))])
    right, wrong = (pipe.agreement(shown, other, change(other)) for change in (warmer, ImageOps.invert))
    assert right > 0.9 > 0.5 > wrong


def test_the_change_of_several_pairs_is_their_mean() -> None:
    pipe = shared("directed")
    one, two, both = (pipe.encode_relation(pairs).change for pairs in ([pair(1)], [pair(2)], [pair(1), pair(2)]))
    assert one is not None and two is not None
    assert largest(both, (one + two) / 2) <= 1e-6


def test_several_relations_add_up_each_at_its_strength() -> None:
    pipe, (before, after) = shared("published"), pair(1)
    one, two = relation("published", 1), relation("published", 2)
    assert pipe.agreement([(one, 1.0), (two, 0.0)], before, after) == pytest.approx(1, abs=1e-5)
    assert pipe.agreement((one, -2.0), before, after) == pytest.approx(-1, abs=1e-5)
    mixed = [pipe.agreement([(one, 1.0), (two, weight)], before, after) for weight in (0.5, 1.0, 2.0)]
    assert 1 > mixed[0] > mixed[1] > mixed[2]
    per_block = [2.0] + [0.0] * (pipe.design.transformer.num_blocks - 1)
    assert pipe.agreement([(one, per_block), (two, 0.0)], before, after) == pytest.approx(1, abs=1e-5)


def test_a_relation_that_cannot_score_is_told() -> None:
    pipe, made = shared("published"), relation("published")
    with pytest.raises(UsageError, match="was saved without its change; encode the pair again"):
        pipe.agreement(replace(made, change=None), source(), source(1))
    with pytest.raises(WeightsError, match=r"its change is \(1, 3\), tiny-published needs \(1, 24\)"):
        pipe.agreement(replace(made, change=torch.ones(1, 3)), source(), source(1))
    with pytest.raises(UsageError, match="relation is missing"):
        pipe.agreement(None, source(), source(1))


def call(**options: Any) -> dict[str, Any]:
    return {
        "image": source(),
        "relation": relation("published"),
        "instruction": "hat",
        "num_inference_steps": 2,
    } | options


def test_the_best_of_three_seeds_is_the_picture_of_its_seed() -> None:
    pipe = shared("published")
    image, details = best_of(pipe, 3, **call(seed=5))
    alone = [pipe(**call(seed=5 + attempt)).images[0] for attempt in range(3)]
    scores = [pipe.agreement(relation("published"), source(), one) for one in alone]
    assert len(set(scores)) == 3
    assert details["agreements"] == pytest.approx(scores, abs=1e-4)
    assert details["seed"] == 5 + int(np.argmax(scores))
    assert largest(image, alone[int(np.argmax(scores))]) == 0


def test_one_attempt_is_not_scored_and_none_is_refused() -> None:
    pipe = shared("published")
    old = replace(relation("published"), change=None)
    image, details = best_of(pipe, 1, **call(seed=5, relation=old))
    assert details == {} and largest(image, pipe(**call(seed=5)).images[0]) == 0
    with pytest.raises(UsageError, match="best of 0; give a whole number of at least 1"):
        best_of(pipe, 0, **call(seed=5))


def test_without_a_seed_the_one_that_was_drawn_is_told() -> None:
    pipe = shared("published")
    image, details = best_of(pipe, 2, **call())
    assert largest(image, pipe(**call(seed=details["seed"])).images[0]) == 0


def test_what_cannot_be_chosen_from_is_refused_before_any_edit(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = pipeline("published")
    monkeypatch.setattr(type(pipe), "__call__", None)
    with pytest.raises(UsageError, match="without its change"):
        best_of(pipe, 2, **call(relation=replace(relation("published"), change=None)))
    with pytest.raises(UsageError, match="makes the same of every seed; leave best of 2 out"):
        best_of(shared("mini"), 2, image=source(), relation=relation("mini"))


def test_the_editor_keeps_the_best_and_says_which() -> None:
    request = EditRequest([pair()], source(), "hat", seed=5)
    result = RelationEditor(shared("published"), best_of=3, num_inference_steps=2).edit(request)
    image, details = best_of(shared("published"), 3, **call(seed=5))
    assert largest(result.image, image) == 0
    assert {key: result.details[key] for key in details} == details
    assert "agreements" not in RelationEditor(shared("published"), num_inference_steps=2).edit(request).details


def test_a_saved_relation_scores_as_the_fresh_one(tmp_path: Any) -> None:
    made = relation("directed")
    made.save(tmp_path / "a.safetensors")
    pipe, pictures = shared("directed"), (source(), source(1))
    assert pipe.agreement(Relation.load(tmp_path / "a.safetensors"), *pictures) == pipe.agreement(made, *pictures)
