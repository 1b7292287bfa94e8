"""Configs, and models built from them."""

from __future__ import annotations

import pytest
import torch
from tiny_edits import conditions, largest, predict, relation, weights

from relation_adapter.config import MODELS, override
from relation_adapter.errors import UsageError
from relation_adapter.model.components import build, tiny, tiny_design


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
        ("pixel_factor=2", "make 48"),
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
