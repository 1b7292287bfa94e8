"""Strengths multiply, relations add up, blocks and steps choose, and all of it mixes in one batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pipelines import DESIGNS, edit, largest, pair, pipeline, relation, shared, source

from relation_adapter.errors import UsageError
from relation_adapter.pipeline.flow_loop import Phases


@pytest.mark.parametrize("name", DESIGNS)
def test_relations_add_up(name: str) -> None:
    pipe, one, two = shared(name), relation(name, 1), relation(name, 2)
    once, none = edit(pipe, relation=one), edit(pipe, relation=one, strength=0)
    assert largest(edit(pipe, relation=[(one, 0.25), (one, 0.75)]), once) <= 1e-5
    assert largest(edit(pipe, relation=[(one, 1.0), (two, 0.6), (one, -1.0), (two, -0.6)]), none) <= 1e-5
    both = edit(pipe, relation=[(one, 0.8), (two, 0.5)])
    assert largest(both, edit(pipe, relation=[(two, 0.5), (one, 0.8)])) <= 1e-5
    assert min(largest(both, other) for other in (once, none, edit(pipe, relation=two))) > 1e-3


@pytest.mark.parametrize("name", DESIGNS)
def test_strengths_multiply_block_by_block(name: str) -> None:
    pipe, one, two = shared(name), relation(name, 1), relation(name, 2)
    blocks = pipe.design.transformer.num_blocks
    own, overall = [0.5 + k for k in range(blocks)], [2.0 / (1 + k) for k in range(blocks)]
    product = [a * b for a, b in zip(own, overall, strict=True)]
    made = edit(pipe, relation=[(one, own), (two, -0.5)], strength=overall)
    assert largest(made, edit(pipe, relation=[(one, product), (two, [-0.5 * b for b in overall])])) <= 1e-5
    assert largest(made, edit(pipe, relation=[(one, own), (two, -0.5)])) > 1e-3


@pytest.mark.parametrize("name", ("published", "directed"))
def test_a_block_at_0_is_not_even_read(name: str) -> None:
    pipe, blocks = pipeline(name), shared(name).design.transformer.num_blocks
    given: dict[str, Any] = {"relation": relation(name), "strength": [1.0] * (blocks - 1) + [0.0]}
    made = edit(pipe, **given)
    pipe.adapter.to_k[blocks - 1].weight.data.fill_(torch.nan)
    assert (edit(pipe, **given) == made).all()


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("steps", [(0.0, 1.0), (0.0, 0.5), (0.3, 0.8)])
def test_relations_of_several_pairs_blocks_and_steps_mix_in_one_batch(name: str, steps: tuple[float, float]) -> None:
    pipe, blocks = shared(name), shared(name).design.transformer.num_blocks
    two_pairs = pipe.encode_relation([pair(3), pair(4)])
    lists: list[Any] = [
        [(two_pairs, 0.7)],
        [(relation(name, 1), 0.8), (two_pairs, -0.5)],
        [(relation(name, 2), [0.5] * (blocks - 1) + [0.0]), relation(name, 1)],
        [relation(name, 1), (relation(name, 2), 0.3), (two_pairs, 1.4)],
        [(two_pairs, 0.0)],
    ]
    given: dict[str, Any] = {"num_inference_steps": 3, "strength_steps": steps, "strength": 0.9}
    together = edit(pipe, image=[source(k) for k in range(5)], relation=lists, seed=[4] * 5, **given)
    for k, own in enumerate(lists):
        assert largest(together[k], edit(pipe, image=source(k), relation=own, seed=4, **given)[0]) <= 1e-5, k


@pytest.mark.parametrize(
    ("first", "last", "count", "acting"),
    [
        (0, 1, 4, [0, 1, 2, 3]),
        (0, 0, 4, []),
        (0.5, 0.5, 4, []),
        (0.25, 0.75, 5, [2, 3]),
        (0.2, 0.6, 5, [1, 2]),
        (0, 0.01, 24, [0]),
        (0.5, 1, 24, list(range(12, 24))),
        (0, 0.5, 1, [0]),
    ],
)
def test_step_i_of_n_stands_at_i_through_n(first: float, last: float, count: int, acting: list[int]) -> None:
    class Given:
        """In the place of conditions: with relations, or, once replaced, without."""

    with_them, without = Given(), Given()
    phases: Any = Phases(with_them, first, last, without)  # type: ignore[arg-type]
    assert [step for step in range(count) if phases.at(step, count) is with_them] == acting


def test_the_same_pair_twice_is_that_pair_for_the_published_design() -> None:
    pipe = shared("published")
    once, twice = (edit(pipe, pairs=[pair(1)] * count) for count in (1, 2))
    assert largest(once, twice) <= 1e-5


@pytest.mark.parametrize("name", DESIGNS)
def test_the_order_of_pairs_has_no_meaning(name: str) -> None:
    pipe = shared(name)
    made = [edit(pipe, pairs=list(pairs)) for pairs in ((pair(1), pair(2)), (pair(2), pair(1)))]
    assert largest(*made) <= 1e-5
    assert largest(made[0], edit(pipe, pairs=[pair(1)])) > 1e-3


def test_a_part_of_the_steps_that_holds_none_is_refused() -> None:
    pipe, one = shared("published"), relation("published")
    with pytest.raises(UsageError, match="holds none of the 5 steps"):
        edit(pipe, relation=one, strength_steps=(0.9, 1.0), num_inference_steps=5)
    edit(pipe, relation=one, strength_steps=(0.8, 1.0), num_inference_steps=5)
