"""Gradients that reach everything, and the isolated source that runs once per edit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from tiny_edits import DESIGNS, conditions, features, figure, in_float64, largest, noisy, predict, relation
from torch import Tensor

from relation_adapter.model.adapter import with_strength
from relation_adapter.model.components import Components, tiny
from relation_adapter.model.keys_values import RelationKeysValues
from relation_adapter.model.velocity import Conditions

ISOLATED = ("directed", "mini")


@pytest.fixture
def calls() -> Iterator[list[int]]:
    """Grows by one with every forward of any transformer."""
    counted: list[int] = []
    forward = torch.nn.modules.module.register_module_forward_pre_hook(
        lambda module, _: counted.append(1) if type(module).__name__ == "FluxTransformer2DModel" else None
    )
    yield counted
    forward.remove()


# Gradients, and saving memory


@pytest.mark.parametrize("name", DESIGNS)
def test_gradient_checkpointing_changes_no_gradient(name: str, calls: list[int]) -> None:
    model, blocks = tiny(name), []
    for block in [*model.transformer.transformer_blocks, *model.transformer.single_transformer_blocks]:
        block.attn.register_forward_hook(lambda *_: blocks.append(1))
    plain, plain_blocks = gradients(model), len(blocks)
    blocks.clear()
    model.transformer.enable_gradient_checkpointing()
    saving = gradients(model)
    assert len(blocks) > plain_blocks  # the backward pass did run blocks again
    assert plain.keys() == saving.keys()
    worst = max(largest(plain[key], saving[key]) for key in plain)
    assert figure(f"{name}: gradients with and without checkpointing", worst) <= 1e-6


def gradients(model: Components) -> dict[str, Tensor]:
    """Of two steps, so that a cached source is read twice and its graph is shared."""
    model.transformer.zero_grad()
    model.adapter.zero_grad()
    given = conditions(model, [relation(model, batch=2, pairs=2)], batch=2)
    loss = sum(predict(model, given, noisy(model, 2, seed), t).square().mean() for seed, t in ((0, 0.9), (1, 0.3)))
    loss.backward()
    parameters = [*model.adapter.named_parameters(), *model.transformer.named_parameters("transformer")]
    found = {key: p.grad.clone() for key, p in parameters if p.grad is not None}
    silent = {key for key, _ in model.adapter.named_parameters() if key not in found}
    assert silent <= {"null_text", "null_pooled", "projector.missed.weight", "projector.missed.bias"}  # a second look's
    assert all(value.abs().max() > 0 for key, value in found.items() if not key.startswith("transformer"))
    return found


def test_an_item_without_a_relation_gives_finite_gradients() -> None:
    model = tiny("directed")
    before, after = features(model, batch=2, pairs=1)
    present = torch.tensor([[True], [False]])
    tokens, vector = model.adapter.encode(before.requires_grad_(), after, present)
    kv = model.adapter.keys_values(tokens, vector, model.adapter.token_mask(present, tokens.shape[1]))
    predict(model, conditions(model, [kv], batch=2)).square().sum().backward()
    assert before.grad is not None and before.grad.isfinite().all()
    assert before.grad[0].abs().max() > 0 and before.grad[1].abs().max() == 0


# The isolated source


@torch.no_grad()
@pytest.mark.parametrize("name", ISOLATED)
def test_a_reused_source_equals_recomputing(name: str, calls: list[int]) -> None:
    """An edit of five steps whose relation comes, weakens and goes; in float64."""
    model = in_float64(name)
    read = relation_of_doubles(model)
    steps = [(0.9, []), (0.6, [read]), (0.4, [with_strength(read, 1.0)]), (0.3, [with_strength(read, 0.5)])]
    steps.append((0.2, []))
    reusing = double_conditions(model)
    x = noisy(model, 2).double()
    kept, fresh = x, x
    for t, relations in steps:
        reusing = replace(reusing, relations=relations)
        kept = kept - 0.2 * predict(model, reusing, kept, t)
    assert len(calls) == 5 + 4  # the source anew only where the relation changed
    for t, relations in steps:
        again = replace(double_conditions(model), relations=relations)
        fresh = fresh - 0.2 * predict(model, again, fresh, t)
    assert figure(f"{name}: source reused against recomputed, float64", largest(kept, fresh)) <= 1e-10
    assert largest(kept, x) > 0.01


def relation_of_doubles(model: Components) -> RelationKeysValues:
    before, after = (x.double() for x in features(model))
    return model.adapter.keys_values(*model.adapter.encode(before, after))


def double_conditions(model: Components) -> Conditions:
    given = conditions(model, [], batch=2)
    return replace(given, source=given.source.double(), text=given.text.double(), pooled=given.pooled.double())


@torch.no_grad()
@pytest.mark.parametrize("name", ISOLATED)
def test_the_source_runs_once_per_edit(name: str, calls: list[int]) -> None:
    model = tiny(name)
    given = conditions(model, [relation(model)])
    for t in (0.9, 0.6, 0.3):
        predict(model, given, t=t)
    assert len(calls) == 3 + 1
    predict(model, replace(given, source=given.source + 1))
    assert len(calls) == 3 + 1 + 2  # another source is not taken for this one


@torch.no_grad()
def test_the_source_runs_every_step_where_it_shares_the_time(calls: list[int]) -> None:
    model = tiny("directed")
    shared = replace(model.design, source_time="shared")
    model.adapter.design = shared
    given = conditions(model, [relation(model)])
    for t in (0.9, 0.3):
        predict(model, given, t=t)
    assert len(calls) == 4


@torch.no_grad()
def test_an_isolated_source_does_not_see_the_noisy_tokens() -> None:
    model = tiny("directed")
    given = conditions(model, [relation(model)])
    first = predict(model, given)
    cached = given.source_cache
    assert cached is not None
    predict(model, given, noisy(model, seed=9), t=0.1)
    assert given.source_cache is cached
    assert largest(predict(model, replace(given, source=given.source + 1)), first) > 0.01
