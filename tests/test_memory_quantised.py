"""A quantised base with the adapter, the published LoRA and one's own on top, loaded from files in the published form.

int8 is torchao's and runs on any CPU. nf4 is bitsandbytes': it runs on a CPU too, but diffusers loads it with a GPU
alone, so that the two places where it asks for one are answered here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from relation_adapter.errors import UsageError
from relation_adapter.model.twins import lora_shapes, twin, write_twins
from relation_adapter.pipeline import RelationPipeline
from relation_adapter.pipeline.memory import KEPT, place, plan_for, quantization_config

# How far the tokens of an edit may lie from those of the exact base, in their standard deviations.
KINDS = [("int8", "torchao", 0.05), ("nf4", "bitsandbytes", 0.25)]
PAIR = tuple(Image.effect_noise((40, 32), sigma).convert("RGB") for sigma in (30, 90))
SOURCE = Image.effect_noise((64, 64), 60).convert("RGB")
Load = Callable[..., RelationPipeline]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    write_twins(folder)
    return folder


@pytest.fixture
def load(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    from diffusers.quantizers.bitsandbytes.bnb_quantizer import BnB4BitDiffusersQuantizer as Quantizer

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(Quantizer, "validate_environment", lambda *_, **__: None)
    monkeypatch.setattr(Quantizer, "update_device_map", lambda *_: {"": "cpu"})

    def made(**options: Any) -> RelationPipeline:
        pipe = RelationPipeline.from_pretrained("flux-dev", weights=weights, **options)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return made


def edit(pipe: RelationPipeline, **options: Any) -> Tensor:
    given = {"pairs": [PAIR], "instruction": "turn it blue", "seed": 3, "num_inference_steps": 2, "size": (64, 64)}
    tokens: Tensor = pipe(SOURCE, output_type="latent", **given | options).images
    return tokens.float()


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).std() / b.std())


def own_lora(path: Path) -> Path:
    generator = torch.Generator().manual_seed(9)
    shapes = lora_shapes(twin().transformer, 2, ("attn.to_q", "ff.net.2"))
    save_file({key: 0.2 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}, path)
    return path


@pytest.mark.parametrize(("kind", "package", "tolerance"), KINDS)
def test_a_quantised_base_takes_adapter_lora_and_ones_own_lora_together(
    kind: str, package: str, tolerance: float, load: Load, tmp_path: Path
) -> None:
    pytest.importorskip(package)
    exact, pipe = load(), load(quantization=kind)
    for one in (exact, pipe):
        one.load_lora_weights(own_lora(tmp_path / "own.safetensors"), adapter_name="mine")
        one.set_adapters(["editor", "mine"], [1.0, 0.7])
    assert 0 < distance(edit(pipe), edit(exact)) < tolerance
    # Each of the three acts, about as much as on the exact base.
    for change in ({"strength": 0.0}, {"loras": ["editor"]}, {"loras": ["mine"]}):
        effect, expected = (distance(edit(one), _edit_with(one, **change)) for one in (pipe, exact))
        assert effect == pytest.approx(expected, rel=0.2)


def _edit_with(pipe: RelationPipeline, strength: float = 1.0, loras: list[str] | None = None) -> Tensor:
    pipe.set_adapters(loras or ["editor", "mine"], 1.0 if loras else [1.0, 0.7])
    out = edit(pipe, strength=strength)
    pipe.set_adapters(["editor", "mine"], [1.0, 0.7])
    return out


@pytest.mark.parametrize(("kind", "package", "_"), KINDS)
def test_only_the_base_is_quantised_and_not_its_first_and_last_layers(
    kind: str, package: str, _: float, load: Load
) -> None:
    pytest.importorskip(package)
    pipe = load(quantization=kind)
    exact = {name for name, module in pipe.transformer.named_modules() if _is_exact(module)}
    layers = {name for name, module in twin().transformer.named_modules() if isinstance(module, nn.Linear)}
    kept = {name for name in layers if any(part in name.split(".") for part in KEPT)}
    last = {"proj_out"} if kind == "int8" else set()
    assert {name for name in exact if ".lora_" not in name} == kept | last
    assert {parameter.dtype for name, parameter in pipe.transformer.named_parameters() if ".lora_" in name} == {
        torch.bfloat16
    }
    assert {parameter.dtype for parameter in pipe.adapter.parameters()} == {torch.bfloat16}


def _is_exact(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return type(module) is nn.Linear and type(weight.data) is Tensor and weight.dtype == torch.bfloat16


@pytest.mark.parametrize(("kind", "package", "_"), KINDS)
def test_a_quantised_base_moves_as_the_plan_says(kind: str, package: str, _: float, load: Load) -> None:
    pytest.importorskip(package)
    pipe = load(memory=12, quantization=kind)
    assert pipe._placed[0] == plan_for(12, kind)
    expected = edit(pipe)
    for gib in (80, 24, 16):
        place(pipe, plan_for(gib, kind))
        assert torch.equal(edit(pipe), expected), gib


def test_a_preset_chooses_the_quantisation(load: Load) -> None:
    pytest.importorskip("torchao")
    pipe = load(memory=16)
    assert pipe.transformer.config.quantization_config.quant_method.value == "torchao"
    assert pipe._placed[0] == plan_for(16)


def test_nf4_without_a_gpu_is_refused_before_anything_is_loaded(weights: Path) -> None:
    pytest.importorskip("bitsandbytes")
    with pytest.raises(UsageError, match="nf4 weights can only be loaded with a GPU, and there is none; use int8"):
        RelationPipeline.from_pretrained("flux-dev", weights=weights / "missing", memory=12)


def test_int8_is_by_weight_alone() -> None:
    pytest.importorskip("torchao")
    config = quantization_config("int8")
    assert type(config.quant_type).__name__ == "Int8WeightOnlyConfig"
