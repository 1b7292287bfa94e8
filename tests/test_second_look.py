"""A pair is read again beside what the model made of its before, where a design says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from relation_adapter.config import MODELS
from relation_adapter.errors import UsageError
from relation_adapter.model.components import Components, build, tiny, tiny_design
from relation_adapter.model.second_look import read_pairs
from relation_adapter.model.weights import save_model
from relation_adapter.train.begin import begin
from relation_adapter.train.presets import PRESETS


def features(components: Components, count: int, pairs: int = 1) -> tuple[Tensor, Tensor]:
    design = components.design
    places = (design.exemplar_size // design.patch) ** 2
    drawn = torch.randn(2, count, pairs, places, design.feature_dim, generator=torch.Generator().manual_seed(0))
    return drawn[0], drawn[1]


def read(components: Components, before: Tensor, after: Tensor, every: int = 1) -> tuple[Tensor, Tensor]:
    tokens, vector = read_pairs(components.transformer, components.adapter, before, after, every)
    assert vector is not None
    return tokens, vector


@pytest.mark.parametrize("pairs", [1, 2])
def test_it_sees_what_the_first_reading_makes(pairs: int) -> None:
    components = tiny("mini")
    before, after = features(components, 3, pairs)
    with torch.no_grad():
        first = components.adapter.encode(before, after)
        second = read(components, before, after)
        assert all(
            one.shape == two.shape and not torch.allclose(one, two) for one, two in zip(first, second, strict=True)
        )
        torch.nn.init.zeros_(components.transformer.proj_out.weight)  # now it makes something else
        assert not torch.allclose(second[0], read(components, before, after)[0])


def test_every_item_is_read_for_itself_and_only_those_asked_for_twice() -> None:
    components = tiny("mini")
    before, after = features(components, 5)
    with torch.no_grad():
        once, _ = components.adapter.encode(before, after)
        twice, some = read(components, before, after)[0], read(components, before, after, every=2)[0]
        alone = read(components, before[2:3], after[2:3])[0]
    assert torch.allclose(some[::2], twice[::2], atol=1e-5) and torch.allclose(some[1::2], once[1::2], atol=1e-5)
    assert torch.allclose(twice[2:3], alone, atol=1e-5)


def test_fresh_weights_read_a_pair_twice_as_once_and_learn_from_there() -> None:
    components = build(replace(tiny_design("mini"), transformer=tiny_design("mini").transformer), seed=0)
    before, after = features(components, 2)
    once, _ = components.adapter.encode(before, after)
    tokens, _ = read(components, before, after)
    assert torch.equal(tokens, once)
    tokens.square().sum().backward()
    missed = components.adapter.projector.missed
    assert missed.weight.grad is not None and missed.weight.grad.abs().sum() > 0


def test_weights_of_before_it_are_trained_on(tmp_path: Path) -> None:
    design = replace(PRESETS["debug"].model, second_look=False)
    save_model(tmp_path / "first.safetensors", build(design, seed=0))
    config = replace(PRESETS["debug"], init=str(tmp_path / "first.safetensors"))
    assert config.model.second_look
    components, _ = begin(config)
    assert not components.adapter.projector.missed.weight.any()


def test_it_needs_a_flow_that_starts_at_the_source() -> None:
    with pytest.raises(UsageError, match="second_look=true needs start=source"):
        replace(MODELS["directed"], second_look=True)
