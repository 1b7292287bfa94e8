"""LoRA: the paper's layers, fused and not, loaded strictly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_edits import DESIGNS, conditions, largest, lora_state, predict, relation, weights
from torch import Tensor

from relation_adapter.config import MODELS, TransformerConfig
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.model.components import Components, build_transformer, tiny
from relation_adapter.model.lora import add_lora, load_lora, lora_names


def lora_file(path: Path, model: Components, rank: int = 3, seed: int = 0, **changes: Tensor | None) -> Path:
    """A LoRA file for the model in diffusers' form, with random weights; changes by key, None leaves out."""
    state = {**lora_state(model, rank, seed), **changes}
    save_file({key: value for key, value in state.items() if value is not None}, path)
    return path


def test_the_layers_are_the_papers() -> None:
    """358,612,992 weights at rank 128 on FLUX.1-dev (the paper's 1,569.76 M less the projector's)."""
    flux = MODELS["published"].transformer
    counts = []
    for doubles, singles in ((1, 1), (2, 1), (1, 2)):
        values = vars(flux) | {"num_layers": doubles, "num_single_layers": singles}
        with torch.device("meta"):
            transformer = build_transformer(TransformerConfig(**values))
            counts.append(sum(p.numel() for p in add_lora(transformer, rank=128)))
    per_double, per_single = counts[1] - counts[0], counts[2] - counts[0]
    assert counts[0] == per_double + per_single  # none outside the blocks
    assert flux.num_layers * per_double + flux.num_single_layers * per_single == 358_612_992


@torch.no_grad()
@pytest.mark.parametrize("name", DESIGNS)
def test_fused_equals_unfused(name: str, tmp_path: Path) -> None:
    model = tiny(name)
    base, outputs = predict(model, conditions(model, [relation(model)])), {}
    load_lora(model.transformer, lora_file(tmp_path / "lora.safetensors", model))
    model.transformer.set_adapters("editor", 0.8)
    for state, change in {"loaded": None, "fused": "fuse_lora", "unfused": "unfuse_lora"}.items():
        if change:
            getattr(model.transformer, change)()
        outputs[state] = predict(model, conditions(model, [relation(model)]))
    model.transformer.fuse_lora()
    model.transformer.unload_lora()
    outputs["fused, then unloaded"] = predict(model, conditions(model, [relation(model)]))
    for output in outputs.values():
        assert largest(output, outputs["loaded"]) <= 1e-5
        assert largest(output, base) > 0.01


@torch.no_grad()
def test_unloading_without_fusing_gives_the_base_back(tmp_path: Path) -> None:
    model = tiny("directed")
    before = weights(model.transformer)
    load_lora(model.transformer, lora_file(tmp_path / "lora.safetensors", model))
    model.transformer.unload_lora()
    model.transformer.unload_lora()  # nothing left: nothing happens
    after = weights(model.transformer)
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    assert lora_names(model.transformer) == []


@torch.no_grad()
def test_weights_of_several_loras(tmp_path: Path) -> None:
    model = tiny("directed")

    def output(**chosen: float) -> Tensor:
        model.transformer.set_adapters(list(chosen), list(chosen.values()))
        return predict(model, conditions(model, [relation(model)]))

    base = predict(model, conditions(model, [relation(model)]))
    for number, name in enumerate(("first", "second")):
        load_lora(model.transformer, lora_file(tmp_path / name, tiny("directed"), rank=2 + number, seed=number), name)
    assert lora_names(model.transformer) == ["first", "second"]
    assert largest(output(first=0.0), base) <= 1e-5
    assert largest(output(first=1.0), output(second=1.0)) > 0.01
    assert largest(output(first=1.0, second=0.0), output(first=1.0)) <= 1e-5
    with pytest.raises(UsageError, match="already has a LoRA called 'first'"):
        load_lora(model.transformer, tmp_path / "first", "first")


def test_a_fresh_lora_changes_nothing_and_trains_alone() -> None:
    model = tiny("directed")
    names = {name for name, _ in model.adapter.named_parameters()}
    base = predict(model, conditions(model, [relation(model)])).detach()
    parameters = add_lora(model.transformer, rank=2, seed=0)
    again = add_lora(tiny("directed").transformer, rank=2, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(parameters, again, strict=True))
    out = predict(model, conditions(model, [relation(model)]))
    assert largest(out.detach(), base) <= 1e-6
    assert {name for name, _ in model.adapter.named_parameters()} == names  # the adapter is no target
    trained = {id(p) for p in model.transformer.parameters() if p.requires_grad}
    assert trained == {id(p) for p in parameters}
    out.square().sum().backward()
    assert sum(p.grad is not None and bool(p.grad.abs().max() > 0) for p in parameters) >= len(parameters) // 3


@torch.no_grad()
def test_alphas_and_another_tools_names(tmp_path: Path) -> None:
    """kohya's names and an alpha of half the rank: half the change."""
    model, key = tiny("published"), "transformer.single_transformer_blocks.0.attn.to_q"
    state = load_file(lora_file(tmp_path / "all", model, rank=2))
    down, up = state[f"{key}.lora_A.weight"], state[f"{key}.lora_B.weight"]
    save_file(
        {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up, f"{key}.alpha": torch.tensor(1.0)}, tmp_path / "a"
    )
    before = model.transformer.single_transformer_blocks[0].attn.to_q.weight.clone()
    load_lora(model.transformer, tmp_path / "a")
    model.transformer.fuse_lora()
    model.transformer.unload_lora()
    after = model.transformer.single_transformer_blocks[0].attn.to_q.weight
    assert largest(after, before + 0.5 * up @ down) <= 1e-6


Q = "transformer.transformer_blocks.0.attn.to_q"
BAD: dict[str, tuple[Callable[[Path, Components], Any], str]] = {
    "missing": (lambda path, model: None, "no such file"),
    "text": (lambda path, model: path.write_text("no weights" * 99), "not a safetensors file, or cut short"),
    "not a LoRA": (lambda path, model: save_file({"a.weight": torch.zeros(2)}, path), "has no whole LoRA"),
    "nothing": (lambda path, model: save_file({}, path), "has no whole LoRA"),
    "one half": (lambda path, model: lora_file(path, model, **{f"{Q}.lora_A.weight": None}), "has no whole LoRA"),
    "another layer": (
        lambda path, model: save_file(
            {f"{Q}x.lora_A.weight": torch.zeros(2, 32), f"{Q}x.lora_B.weight": torch.zeros(32, 2)}, path
        ),
        "to_qx, which this model does not have",
    ),
    "another width": (
        lambda path, model: lora_file(path, model, **{f"{Q}.lora_B.weight": torch.zeros(31, 3)}),
        r"to_q is \(31, 3\) x \(3, 32\), the layer 32 x 32",
    ),
    "a text encoder's": (
        lambda path, model: lora_file(
            path, model, **{f"text_encoder.q.lora_{half}.weight": torch.zeros(2, 2) for half in "AB"}
        ),
        "text_encoder.text_model.q, which this model does not have",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_lora_is_refused_in_one_line_and_leaves_the_model(kind: str, tmp_path: Path) -> None:
    make, message = BAD[kind]
    model, path = tiny("published"), tmp_path / "lora.safetensors"
    make(path, model)
    with pytest.raises(WeightsError, match=message) as caught:
        load_lora(model.transformer, path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert lora_names(model.transformer) == []
