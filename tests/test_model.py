"""The model's promises: batches, strengths, attaching, memory saving, reuse, direction."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from tiny_edits import (
    DESIGNS,
    conditions,
    features,
    in_float64,
    item,
    largest,
    noisy,
    predict,
    random,
    relation,
    weights,
)
from torch import Tensor

from relation_adapter.config import MODELS, override
from relation_adapter.errors import UsageError
from relation_adapter.model.adapter import pad_tokens, with_strength
from relation_adapter.model.components import Components, build, build_transformer, tiny, tiny_design
from relation_adapter.model.velocity import Conditions

ISOLATED = ("directed", "mini")


def figure(label: str, value: float) -> float:
    """Log a figure (pytest --log-cli-level=INFO shows it)."""
    logging.getLogger("figures").info("%-60s %.1e", label, value)
    return value


@pytest.fixture
def calls() -> Iterator[list[int]]:
    """Grows by the token count of every forward of any transformer."""
    counted: list[int] = []
    forward = torch.nn.modules.module.register_module_forward_pre_hook(
        lambda module, _: counted.append(1) if type(module).__name__ == "FluxTransformer2DModel" else None
    )
    yield counted
    forward.remove()


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
    for silent in (with_strength(read, 0.0), with_strength(read, [0.0] * blocks)):
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
    assert silent <= {"null_text", "null_pooled"}
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
    """An edit of four steps whose relation acts on the middle two; in float64."""
    model = in_float64(name)
    read = relation_of_doubles(model)
    steps = [(0.9, []), (0.6, [read]), (0.4, [with_strength(read, 1.0)]), (0.2, [])]
    reusing = double_conditions(model)
    x = noisy(model, 2).double()
    kept, fresh = x, x
    for t, relations in steps:
        reusing = replace(reusing, relations=relations)
        kept = kept - 0.2 * predict(model, reusing, kept, t)
    assert len(calls) == 4 + 3  # the source anew only where the relation came and went
    for t, relations in steps:
        again = replace(double_conditions(model), relations=relations)
        fresh = fresh - 0.2 * predict(model, again, fresh, t)
    assert figure(f"{name}: source reused against recomputed, float64", largest(kept, fresh)) <= 1e-10
    assert largest(kept, x) > 0.01


def relation_of_doubles(model: Components):
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


# Building


def test_a_seed_builds_the_same_model_and_leaves_the_global_generator() -> None:
    state = torch.get_rng_state()
    design = tiny_design("directed")
    first, second, third = build(design, 1), build(design, 1), build(design, 2)
    assert torch.equal(state, torch.get_rng_state())
    for part in ("transformer", "adapter"):
        a, b, c = (weights(getattr(model, part)) for model in (first, second, third))
        assert all(torch.equal(a[key], b[key]) for key in a)
        assert not all(torch.equal(a[key], c[key]) for key in a)


@torch.no_grad()
def test_a_fresh_model_from_scratch_predicts_no_change() -> None:
    model = build(tiny_design("mini"), 0)
    assert predict(model, conditions(model, [relation(model)])).abs().max() == 0


def test_a_fresh_adapter_beside_a_base_starts_gently_and_learns() -> None:
    """Beside random base weights, as a pretrained base cannot be had here."""
    model, fresh = tiny("directed"), build(tiny_design("directed"), 0)
    fresh.transformer.load_state_dict(model.transformer.state_dict())
    base = predict(fresh, conditions(fresh, []))
    with_relation = predict(fresh, conditions(fresh, [relation(fresh)]))
    assert 0 < largest(with_relation, base) < 0.1 * base.abs().max()
    with_relation.square().sum().backward()
    silent = {key for key, p in fresh.adapter.named_parameters() if p.grad is None or p.grad.abs().max() == 0}
    assert silent == {"null_text", "null_pooled"}


def test_every_preset_has_a_tiny_twin_of_the_same_choices() -> None:
    choices = ("image_features", "projector", "roles", "source_attention", "source_time", "start", "text", "base")
    for name, design in MODELS.items():
        model = tiny(name)
        assert all(getattr(model.design, choice) == getattr(design, choice) for choice in choices)
        assert not [key for key, p in model.adapter.named_parameters() if p.abs().max() == 0]


def test_null_text_only_where_the_design_has_it() -> None:
    text, pooled = tiny("directed").adapter.null_condition(2)
    shape = tiny_design("directed").transformer
    assert text.shape == (2, 8, shape.joint_attention_dim) and pooled.shape == (2, shape.pooled_projection_dim)
    with pytest.raises(UsageError, match="give an instruction"):
        tiny("published").adapter.null_condition(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("source_time=clean", "source_attention=isolated"),
        ("projector=resampler", "reads patches"),
        ("transformer.attention_head_dim=64", "sum up to attention_head_dim=64"),
        ("transformer.num_layers=0", "at least 1"),
        ("position_features=2", "make 72"),
        ("pixel_factor=2", "makes 48"),
        ("steps=many", "expected int"),
        ("text=sometimes", "choose one of instruction, optional, none"),
        ("transformer.num_layer=3", "Did you mean num_layers"),
        ("steps", "key=value"),
        ("steps.more=1", "has no fields"),
    ],
)
def test_choices_that_do_not_fit_are_refused(change: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        override(MODELS["published"], [change])


def test_overrides_reach_nested_fields() -> None:
    changed = override(MODELS["published"], ["transformer.num_layers=2", "guidance=2", "base=null", "text=optional"])
    assert (changed.transformer.num_layers, changed.guidance, changed.base, changed.text) == (2, 2.0, None, "optional")
    assert changed.transformer.axes_dims_rope == (16, 56, 56)
