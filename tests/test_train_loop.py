"""The loop's parts: gradients through checkpointed blocks, rates by part and by schedule, optimisers by name."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from training_processes import TINY, newest

from relation_adapter.data.cached import FeatureBatch
from relation_adapter.errors import InputError, MissingExtraError, UsageError
from relation_adapter.model.components import Components, build, tiny
from relation_adapter.train import loop
from relation_adapter.train.loop import train
from relation_adapter.train.loss import flow_errors, flow_misses
from relation_adapter.train.optimizers import build_optimizers, learning_rate, part_of, set_rates
from relation_adapter.train.state import trained_parameters


def features(name: str) -> FeatureBatch:
    """Two random quads as the tiny design of this name reads them; the second without text."""
    rng = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng)

    if name == "mini":
        return FeatureBatch(random(2, 1, 16, 64), random(2, 1, 16, 64), random(2, 1, 12, 8, 8), random(2, 1, 12, 8, 8))
    pair = [random(2, 1, 1 if name == "published" else 4, 24) for _ in range(2)]
    text = (random(2, 8, 24), random(2, 20), torch.tensor([True, name == "published"]))
    return FeatureBatch(*pair, random(2, 1, 4, 4, 4), random(2, 1, 4, 4, 4), *text)


def gradients(components: Components, batch: FeatureBatch) -> dict[str, Tensor]:
    parameters = trained_parameters(components)
    errors = flow_errors(components, batch, torch.tensor([0.3, 0.9]), torch.Generator().manual_seed(1))
    found = torch.autograd.grad(errors.mean(), list(parameters.values()), allow_unused=True)
    return {name: value for name, value in zip(parameters, found, strict=True) if value is not None}


@pytest.mark.parametrize("name", ["published", "directed", "mini"])
def test_gradients_reach_every_layer_of_the_adapter_with_checkpointing(name: str) -> None:
    """diffusers has once dropped attention arguments under checkpointing, without a word."""
    components, batch = tiny(name), features(name)
    plain = gradients(components, batch)
    components.transformer.enable_gradient_checkpointing()
    checkpointed = gradients(components, batch)
    assert plain.keys() == checkpointed.keys()
    assert all(torch.allclose(plain[key], checkpointed[key], atol=1e-6) for key in plain)
    for key, _ in components.adapter.named_parameters():
        assert checkpointed[f"adapter.{key}"].abs().max() > 0, key


def test_only_what_is_trained_changes_and_each_part_at_its_own_rate(tmp_path: Path) -> None:
    rates = {"transformer": 1e-2, "keys_values": 0.0}
    config = replace(TINY, steps=2, trains=("transformer", "keys_values"), rates=rates, weight_decay=0.0)
    train(config, tmp_path)
    made, fresh = newest(tmp_path), trained_parameters(build(config.model, config.seed))
    for name, value in fresh.items():
        assert (f"weights.{name}" in made) != (part_of(name) == "projector"), name
        if part_of(name) == "keys_values":
            assert torch.equal(made[f"weights.{name}"], value)
    assert not torch.equal(made["weights.transformer.proj_out.weight"], fresh["transformer.proj_out.weight"])


def test_the_rate_follows_a_schedule_by_name() -> None:
    config = replace(TINY, schedule="cosine", steps=100, warmup=10, learning_rate=1.0, rates={"keys_values": 0.5})
    assert [learning_rate(config, step) for step in (0, 5, 10, 55)] == pytest.approx([0, 0.5, 1, 0.5])
    optimizers = build_optimizers(trained_parameters(tiny("mini")), config)
    set_rates(optimizers, config, 55)
    assert {round(group["lr"], 6) for one in optimizers for group in one.param_groups} == {0.5, 0.25}
    with pytest.raises(UsageError, match=r"schedule=cosin: .*cosine_with_restarts"):
        build_optimizers({}, replace(config, schedule="cosin"))


def test_without_a_running_average_the_weights_themselves_are_saved(tmp_path: Path) -> None:
    (file,) = train(replace(TINY, steps=2, ema=0.0), tmp_path)
    made = newest(tmp_path)
    assert not any(name.startswith("ema.") for name in made)
    assert all(torch.equal(made[f"weights.{name}"].bfloat16(), value) for name, value in load_file(file).items())


def test_8_bit_moments_need_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtraError, match="bitsandbytes is not installed"):
        build_optimizers(trained_parameters(tiny("mini")), replace(TINY, optimizer="adamw8bit"))


def test_a_gradient_that_is_no_number_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss may still be a number then."""
    train(replace(TINY, steps=2), tmp_path)
    before = newest(tmp_path)

    def broken(*given: object, **more: object) -> tuple[Tensor, Tensor | None]:
        misses, others = flow_misses(*given, **more)  # type: ignore[arg-type]
        misses.register_hook(lambda gradient: gradient * torch.nan)
        return misses, others

    monkeypatch.setattr(loop, "flow_misses", broken)
    with pytest.raises(InputError, match=r"step 2: the gradient is nan; the last saved state is safe"):
        train(replace(TINY, steps=4), tmp_path)
    assert newest(tmp_path).keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in newest(tmp_path).items())
