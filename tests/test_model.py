"""The model's promises: batches, strengths, attaching, memory saving, reuse, direction."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_edits import (
    DESIGNS,
    conditions,
    features,
    figure,
    item,
    largest,
    noisy,
    predict,
    random,
    relation,
    weights,
)
from torch import Tensor

from relation_adapter.errors import UsageError
from relation_adapter.model.adapter import pad_tokens, with_strength
from relation_adapter.model.components import Components, build, build_transformer, tiny, tiny_design

# Batches


@torch.no_grad()
@pytest.mark.parametrize("name", DESIGNS)
def test_batch_of_different_relations_equals_single_runs(name: str) -> None:
    """Pairs, number of pairs, source, text, noise and time all differ from item to item."""
    model, times = tiny(name), [0.9, 0.4, 0.1]
    encoded = [model.adapter.encode(*features(model, pairs=pairs, seed=pairs)) for pairs in (1, 3, 2)]
    tokens, mask = pad_tokens([tokens for tokens, _ in encoded])
    vector = None if encoded[0][1] is None else torch.cat([v for _, v in encoded])
    given = conditions(model, [model.adapter.keys_values(tokens, vector, mask)], batch=3)
    x = noisy(model, 3)
    together = predict(model, given, x, times)
    for i, (own_tokens, own_vector) in enumerate(encoded):
        own = replace(given, **item(given, i), relations=[model.adapter.keys_values(own_tokens, own_vector)])
        own.source_cache = None
        alone = predict(model, own, x[i : i + 1], times[i])
        assert figure(f"{name}: item {i} of a batch against alone", largest(together[i : i + 1], alone)) <= 1e-5


@torch.no_grad()
@pytest.mark.parametrize("name", DESIGNS)
def test_a_batch_with_different_numbers_of_pairs_encodes_as_single_runs(name: str) -> None:
    """One call of the projector, as in training; the third item has no pair and so no relation."""
    model, counts = tiny(name), [2, 1, 0]
    before, after = features(model, batch=3, pairs=2)
    present = torch.tensor([[k < count for k in range(2)] for count in counts])
    tokens, vector = model.adapter.encode(before, after, present)
    mask = model.adapter.token_mask(present, tokens.shape[1])
    given = conditions(model, [model.adapter.keys_values(tokens, vector, mask)], batch=3)
    x = noisy(model, 3)
    together = predict(model, given, x)
    for i, count in enumerate(counts):
        own = replace(given, **item(given, i), relations=[], source_cache=None)
        if count:
            pair = (before[i : i + 1, :count], after[i : i + 1, :count])
            own.relations = [model.adapter.keys_values(*model.adapter.encode(*pair))]
        assert largest(together[i : i + 1], predict(model, own, x[i : i + 1])) <= 1e-5


@torch.no_grad()
@pytest.mark.parametrize("name", DESIGNS)
def test_one_relation_serves_a_batch(name: str) -> None:
    model = tiny(name)
    given = conditions(model, [relation(model)], batch=2)
    given.source = given.source[:1].expand(2, -1, -1)
    given.text, given.pooled = given.text[:1].expand(2, -1, -1), given.pooled[:1].expand(2, -1)
    both = predict(model, given, noisy(model)[:1].expand(2, -1, -1))
    assert largest(both[:1], both[1:]) <= 1e-6


@torch.no_grad()
@pytest.mark.parametrize("name", DESIGNS)
def test_the_order_of_pairs_does_not_matter(name: str) -> None:
    model = tiny(name)
    before, after = features(model, pairs=3)
    there = model.adapter.keys_values(*model.adapter.encode(before, after))
    back = model.adapter.keys_values(*model.adapter.encode(before.flip(1), after.flip(1)))
    outputs = [predict(model, conditions(model, [kv])) for kv in (there, back)]
    assert largest(*outputs) <= 1e-5


# Strength, and the base underneath


@torch.no_grad()
@pytest.mark.parametrize("name", DESIGNS)
def test_strength_0_is_the_base_bit_for_bit(name: str) -> None:
    model = tiny(name)
    read = relation(model)
    base = predict(model, conditions(model, []))
    blocks = model.design.transformer.num_blocks
    nothing = None if read.vector is None else read.vector * torch.nan
    broken = replace(read, blocks=[(k * torch.nan, v * torch.nan) for k, v in read.blocks], vector=nothing)
    for silent in (with_strength(read, 0.0), with_strength(read, [0.0] * blocks), with_strength(broken, 0.0)):
        assert torch.equal(predict(model, conditions(model, [silent])), base)
    assert largest(predict(model, conditions(model, [read])), base) > 0.01
    if model.design.source_attention == "joint":
        model.adapter.detach(model.transformer)
        with pytest.MonkeyPatch.context() as patch:  # the stock processors do not know these names, and say so
            patch.setattr("diffusers.models.transformers.transformer_flux.logger.warning", lambda *_: None)
            assert torch.equal(predict(model, conditions(model, [])), base)


@torch.no_grad()
def test_strength_is_per_block_and_linear_where_it_acts() -> None:
    model = tiny("published")
    read = relation(model)
    blocks = model.design.transformer.num_blocks
    outputs = {
        name: predict(model, conditions(model, [with_strength(read, strength)]))
        for name, strength in {"all": 0.7, "list": [0.7] * blocks, "last": [0.0] * (blocks - 1) + [0.7]}.items()
    }
    assert torch.equal(outputs["all"], outputs["list"])
    assert largest(outputs["all"], outputs["last"]) > 1e-3
    half = with_strength(read, 0.35)
    assert largest(predict(model, conditions(model, [half, half])), outputs["all"]) <= 1e-5
    with pytest.raises(UsageError, match="one per block"):
        with_strength(read, [1.0, 2.0])


@torch.no_grad()
@pytest.mark.parametrize("name", DESIGNS)
def test_attaching_and_detaching_leaves_the_base(name: str) -> None:
    model = tiny(name)
    before = weights(model.transformer)
    model.adapter.detach(model.transformer)
    inputs = stock_inputs(model)
    base = model.transformer(**inputs)[0]
    model.adapter.attach(model.transformer)
    predict(model, conditions(model, [relation(model)]))
    attached = model.transformer(**inputs)[0]
    model.adapter.detach(model.transformer)
    after = weights(model.transformer)
    assert torch.equal(base, attached) and torch.equal(base, model.transformer(**inputs)[0])
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    assert {type(p).__name__ for p in model.transformer.attn_processors.values()} == {"FluxAttnProcessor"}


def stock_inputs(model: Components) -> dict[str, Tensor | bool | None]:
    shape = model.design.transformer
    return {
        "hidden_states": random(1, 6, shape.in_channels),
        "encoder_hidden_states": random(1, 4, shape.joint_attention_dim),
        "pooled_projections": random(1, shape.pooled_projection_dim),
        "timestep": torch.tensor([0.5]),
        "guidance": torch.tensor([2.0]) if shape.guidance_embeds else None,
        "img_ids": torch.zeros(6, 3),
        "txt_ids": torch.zeros(4, 3),
        "return_dict": False,
    }


def test_attaching_keeps_the_chosen_attention_back_end() -> None:
    model = tiny("mini")
    model.transformer.set_attention_backend("native")
    chosen = {p._attention_backend for p in model.transformer.attn_processors.values()}
    model.adapter.detach(model.transformer)
    model.adapter.attach(model.transformer)
    assert {p._attention_backend for p in model.transformer.attn_processors.values()} == chosen != {None}


def test_another_base_is_refused() -> None:
    other = replace(tiny_design("published").transformer, num_single_layers=3, guidance_embeds=False)
    with pytest.raises(UsageError, match="num_single_layers 3 instead of 2, guidance_embeds False instead of True"):
        tiny("published").adapter.attach(build_transformer(other))


@torch.no_grad()
@pytest.mark.parametrize("name", DESIGNS)
def test_fused_projections_change_nothing(name: str) -> None:
    model = tiny(name)
    plain = predict(model, conditions(model, [relation(model)]))
    model.transformer.fuse_qkv_projections()
    assert largest(predict(model, conditions(model, [relation(model)])), plain) <= 1e-5


@torch.no_grad()
@pytest.mark.parametrize("name", DESIGNS)
def test_a_bfloat16_transformer_takes_a_float32_adapter(name: str) -> None:
    model = tiny(name)
    full = predict(model, conditions(model, [relation(model)]))
    model.transformer.to(torch.bfloat16)
    given = conditions(model, [relation(model)])
    given.source, given.text, given.pooled = (x.bfloat16() for x in (given.source, given.text, given.pooled))
    half = predict(model, given)  # t = 0.5 and guidance 2 are exact in bfloat16
    assert half.dtype == torch.bfloat16
    assert (half.float() - full).square().mean().sqrt() <= 0.05 * full.square().mean().sqrt()


# Direction


@torch.no_grad()
@pytest.mark.parametrize("name", DESIGNS)
def test_only_the_directed_designs_tell_before_from_after(name: str) -> None:
    model = tiny(name)
    before, after = features(model)
    there = model.adapter.keys_values(*model.adapter.encode(before, after))
    back = model.adapter.keys_values(*model.adapter.encode(after, before))
    outputs = [predict(model, conditions(model, [kv])) for kv in (there, back)]
    change = figure(f"{name}: before and after swapped", largest(*outputs))
    assert change <= 1e-5 if name == "published" else change > 0.01


@torch.no_grad()
def test_roles_are_a_way_up_from_the_published_design() -> None:
    plain = tiny("published")
    given = conditions(plain, [relation(plain)])
    roles = build(replace(plain.design, roles=True), seed=0)
    state = plain.adapter.state_dict() | {"projector.roles": torch.zeros(2, 1, plain.design.token_dim)}
    roles.adapter.load_state_dict(state, strict=True)
    roles.adapter.attach(plain.transformer)
    roles.transformer = plain.transformer
    assert torch.equal(predict(roles, conditions(roles, [relation(roles)])), predict(plain, given))
    torch.nn.init.normal_(roles.adapter.projector.roles)
    before, after = features(roles)
    both = [roles.adapter.keys_values(*roles.adapter.encode(*p)) for p in ((before, after), (after, before))]
    assert largest(*(predict(roles, conditions(roles, [kv])) for kv in both)) > 0.01
