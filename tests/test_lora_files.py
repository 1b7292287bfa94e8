"""The forms that LoRA files for FLUX come in: each changes the weights by exactly up x down x alpha / rank."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pipelines import pipeline
from safetensors.torch import save_file
from tiny_edits import lora_state
from torch import Tensor

from relation_adapter import RelationPipeline
from relation_adapter.errors import WeightsError
from relation_adapter.model.lora import read_lora
from relation_adapter.pipeline import loras

DOUBLE, SINGLE = "transformer_blocks.0", "single_transformer_blocks.1"
Q, K, V = (f"{DOUBLE}.attn.to_{letter}" for letter in "qkv")
WIDTH, RANK = 32, 2  # of the tiny model


def halves(seed: int = 0, wide: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    down, up = torch.randn(RANK, WIDTH, generator=generator), torch.randn(wide * WIDTH, RANK, generator=generator)
    return down, up


def diffusers_form(down: Tensor, up: Tensor) -> dict[str, Tensor]:
    return {f"transformer.{Q}.lora_A.weight": down, f"transformer.{Q}.lora_B.weight": up}


def kohya_form(down: Tensor, up: Tensor, alpha: float = RANK) -> dict[str, Tensor]:
    name = "lora_unet_double_blocks_0_img_attn_qkv"
    return {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": torch.tensor(alpha)}


def xlabs_form(down: Tensor, up: Tensor) -> dict[str, Tensor]:
    name = "double_blocks.0.processor.qkv_lora1"
    return {f"{name}.down.weight": down, f"{name}.up.weight": up}


def changes(pipe: RelationPipeline, load: Callable[[RelationPipeline], Any]) -> dict[str, Tensor]:
    """What loading and fusing adds to each weight of the transformer, where it adds anything."""
    before = {key: value.clone() for key, value in pipe.transformer.state_dict().items()}
    load(pipe)
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    after = pipe.transformer.state_dict()
    return {key: after[key] - before[key] for key in before if not torch.equal(after[key], before[key])}


def check(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == {f"{layer}.weight" for layer in expected}
    for layer, change in expected.items():
        assert torch.allclose(found[f"{layer}.weight"], change, atol=1e-5), layer


@pytest.mark.parametrize("alpha", [RANK, 1.0, 3.0])
def test_kohyas_files_split_into_query_key_and_value(alpha: float, tmp_path: Path) -> None:
    down, up = halves(wide=3)
    save_file(kohya_form(down, up, alpha), tmp_path / "kohya.safetensors")
    found = changes(pipeline("published"), lambda pipe: pipe.load_lora_weights(tmp_path / "kohya.safetensors"))
    parts = up.split(WIDTH)
    check(found, {layer: alpha / RANK * part @ down for layer, part in zip((Q, K, V), parts, strict=True)})


def test_kohyas_layers_outside_of_the_blocks_are_not_lost() -> None:
    pipe = pipeline("published")
    layer = pipe.transformer.x_embedder
    down, up = torch.ones(RANK, layer.in_features), torch.ones(layer.out_features, RANK)
    state = {"lora_unet_img_in.lora_down.weight": down, "lora_unet_img_in.lora_up.weight": up}
    check(changes(pipe, lambda pipe: pipe.load_lora_weights(state)), {"x_embedder": up @ down})


def test_xlabs_files_split_too(tmp_path: Path) -> None:
    down, up = halves(wide=3)
    save_file(xlabs_form(down, up), tmp_path / "xlabs.safetensors")
    found = changes(pipeline("published"), lambda pipe: pipe.load_lora_weights(tmp_path / "xlabs.safetensors"))
    check(found, {layer: part @ down for layer, part in zip((Q, K, V), up.split(WIDTH), strict=True)})


def test_peft_files_without_a_prefix() -> None:
    down, up = halves()
    state = {key.removeprefix("transformer."): value for key, value in diffusers_form(down, up).items()}
    check(changes(pipeline("published"), lambda pipe: pipe.load_lora_weights(state)), {Q: up @ down})


@pytest.mark.parametrize(
    ("settings", "factor"),
    [
        ({"r": RANK, "lora_alpha": 8, "rank_pattern": {}, "alpha_pattern": {}}, 4.0),
        ({"r": RANK, "lora_alpha": 8, "alpha_pattern": {"attn.to_q": 1}}, 0.5),
        ({"r": RANK, "lora_alpha": 8, "use_rslora": True}, 8 / RANK**0.5),
        ({}, 1.0),
    ],
)
def test_the_alpha_that_diffusers_keeps_in_the_metadata(
    settings: dict[str, Any], factor: float, tmp_path: Path
) -> None:
    down, up = halves()
    metadata = {"lora_adapter_metadata": json.dumps({f"transformer.{key}": value for key, value in settings.items()})}
    save_file(diffusers_form(down, up), tmp_path / "a.safetensors", metadata)
    found = changes(pipeline("published"), lambda pipe: pipe.load_lora_weights(tmp_path / "a.safetensors"))
    check(found, {Q: factor * up @ down})


def test_ranks_that_differ_from_layer_to_layer() -> None:
    down, up = halves()
    wide = {f"transformer.{SINGLE}.attn.to_q.lora_A.weight": torch.ones(5, WIDTH)}
    wide |= {f"transformer.{SINGLE}.attn.to_q.lora_B.weight": torch.ones(WIDTH, 5)}
    found = changes(pipeline("published"), lambda pipe: pipe.load_lora_weights(diffusers_form(down, up) | wide))
    check(found, {Q: up @ down, f"{SINGLE}.attn.to_q": torch.full((WIDTH, WIDTH), 5.0)})


def test_what_diffusers_saves_comes_back(tmp_path: Path) -> None:
    state = lora_state(pipeline("published"))
    plain = {key.removeprefix("transformer."): value for key, value in state.items()}
    RelationPipeline.save_lora_weights(tmp_path, transformer_lora_layers=plain)
    read = read_lora(tmp_path / "pytorch_lora_weights.safetensors")
    assert read.keys() == state.keys() and all(torch.equal(read[key], state[key]) for key in state)
    pipe = pipeline("published")
    pipe.load_lora_weights(tmp_path)
    assert pipe.get_list_adapters() == {"transformer": ["lora_0"]}


def test_a_repository_of_the_hub_is_found_as_all_published_files_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save_file(diffusers_form(*halves()), tmp_path / "a.safetensors")
    asked: list[Any] = []
    monkeypatch.setattr(loras, "find", lambda *given: asked.append(given) or tmp_path / "a.safetensors")
    pipe = pipeline("published")
    pipe.load_lora_weights("someone/looks", weight_name="hat.safetensors", revision="abc", local_files_only=True)
    assert pipe.get_list_adapters() == {"transformer": ["lora_0"]}
    ((_, places, wanted),) = asked
    assert wanted == "someone/looks@abc:hat.safetensors" and places.offline


def clip_form(pipe: RelationPipeline) -> dict[str, Tensor]:
    """A LoRA of a query and a feed-forward layer of CLIP, in kohya's names."""
    state, layers = {}, dict(pipe.text_encoder.named_modules())
    for name in ("encoder.layers.0.self_attn.q_proj", "encoder.layers.0.mlp.fc1"):
        layer, key = layers[name], "lora_te1_text_model_" + name.replace(".", "_")
        state[f"{key}.lora_down.weight"] = torch.ones(RANK, layer.in_features)
        state[f"{key}.lora_up.weight"] = torch.ones(layer.out_features, RANK)
    return state


def test_a_lora_of_clip_changes_the_pooled_text_and_goes_again() -> None:
    pipe = pipeline("published")
    ids = pipe.tokenizer("hat", return_tensors="pt").input_ids
    pooled = pipe.text_encoder(ids).pooler_output
    pipe.load_lora_weights(clip_form(pipe) | kohya_form(*halves(wide=3)), adapter_name="mine")
    assert pipe.get_list_adapters() == {"transformer": ["mine"], "text_encoder": ["mine"]}
    assert (pipe.text_encoder(ids).pooler_output - pooled).abs().max() > 0.001
    layers = dict(pipe.text_encoder.named_modules())
    assert hasattr(layers["encoder.layers.0.self_attn.q_proj"], "lora_A")
    assert hasattr(layers["encoder.layers.0.mlp.fc1"], "lora_A")
    pipe.set_adapters("mine", 0.0)
    assert (pipe.text_encoder(ids).pooler_output - pooled).abs().max() <= 1e-6
    pipe.unload_lora_weights()
    assert torch.equal(pipe.text_encoder(ids).pooler_output, pooled)


def test_a_lora_of_clip_alone_is_weighed_and_fused_as_any_other() -> None:
    pipe = pipeline("published")
    ids = pipe.tokenizer("hat", return_tensors="pt").input_ids
    pooled = pipe.text_encoder(ids).pooler_output
    pipe.load_lora_weights(clip_form(pipe), adapter_name="mine")
    full = pipe.text_encoder(ids).pooler_output
    pipe.load_lora_weights(kohya_form(*halves(wide=3)), adapter_name="other")
    assert torch.equal(pipe.text_encoder(ids).pooler_output, full)
    pipe.set_adapters(["mine", "other"], [0.5, 1.0])
    half = pipe.text_encoder(ids).pooler_output
    assert min((half - one).abs().max() for one in (full, pooled)) > 0.001
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    assert torch.allclose(pipe.text_encoder(ids).pooler_output, half, atol=1e-5)


NONE = torch.zeros(1)
BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: None, "no such file"),
    "text": (lambda path: path.write_text("no weights" * 99), "not a safetensors file, or cut short"),
    "dora": (lambda path: save_file(kohya_form(*halves(wide=3)) | {"a.dora_scale": NONE}, path), "is a DoRA"),
    "kohya for SDXL": (
        lambda path: save_file({"lora_unet_down_blocks_0.lora_down.weight": NONE}, path),
        "not a LoRA that diffusers can read",
    ),
    "kohya of another width": (
        lambda path: save_file(kohya_form(torch.ones(RANK, 7), torch.ones(21, RANK)), path),
        r"is \(7, 2\) x \(2, 7\), the layer 32 x 32",
    ),
    "no numbers": (
        lambda path: save_file(diffusers_form(halves()[0] * torch.nan, halves()[1]), path),
        "holds numbers that are not finite",
    ),
    "metadata cut": (
        lambda path: save_file(diffusers_form(*halves()), path, {"lora_adapter_metadata": "{"}),
        "not a LoRA that diffusers can read",
    ),
    "a pickle": (lambda path: torch.save(diffusers_form(*halves()), path.with_suffix(".bin")), "is a pickle"),
    "a folder without": (lambda path: path.with_suffix("").mkdir(), "holds 0 .safetensors files"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_file_is_refused_in_a_line_and_leaves_the_pipeline(case: str, tmp_path: Path) -> None:
    make, message = BAD[case]
    path, pipe = tmp_path / "lora.safetensors", pipeline("published")
    make(path)
    given = next(iter(tmp_path.iterdir()), path)
    with pytest.raises(WeightsError, match=message) as caught:
        pipe.load_lora_weights(given)
    assert str(caught.value).startswith(f"{given}: ") and "\n" not in str(caught.value)
    assert pipe.get_list_adapters() == {}


def test_a_lora_of_clip_without_clip_is_refused() -> None:
    pipe = pipeline("published")
    state = clip_form(pipe)
    pipe.text_encoder = None
    with pytest.raises(WeightsError, match=r"changes text_encoder.*which this model does not have"):
        pipe.load_lora_weights(state)
