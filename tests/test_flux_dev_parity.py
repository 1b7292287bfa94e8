"""The recorded numbers of the published pipeline, with its weights on disk in the published layout."""

from __future__ import annotations

import shutil
from pathlib import Path

import goldens
import pytest
import torch
from goldens import FOLDER, arrays, assert_same, needs_goldens, tokens_of
from PIL import Image
from torch import Tensor

from relation_adapter import RelationPipeline
from relation_adapter.model.twins import PLACES, write_twins
from relation_adapter.pipeline.flux_dev import LORA_NAME

pytestmark = needs_goldens


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set's own adapter and LoRA files, and its other weights as the published repositories hold them."""
    folder = tmp_path_factory.mktemp("goldens")
    write_twins(folder, components=goldens.components(), dtype=torch.float32)
    for name, file in (("adapter", "ip_adapter.bin"), ("lora", "pytorch_lora_weights.safetensors")):
        shutil.copy(FOLDER / file, folder / PLACES["flat"][name])
    return folder


def flux_dev(weights: Path, run: str, fused: bool) -> RelationPipeline:
    lora = None if run == "lora_adapter" else False
    pipe = RelationPipeline.from_pretrained("flux-dev", weights=weights, lora=lora, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    if fused:
        pipe.transformer.fuse_lora()
        pipe.transformer.unload_lora()
    return pipe


def run_again(pipe: RelationPipeline, run: str, output_type: str) -> Tensor:
    recorded, pictures = arrays("pipeline"), arrays("inputs_uint8")
    before, after, source = (Image.fromarray(pictures[name].numpy()) for name in ("exemplar_0", "exemplar_1", "source"))
    images = pipe(
        source,
        pairs=[(before, after)],
        strength=goldens.config()["scales"][1] if run == "adapter_scaled" else 1.0,
        num_inference_steps=goldens.config()["steps"],
        guidance_scale=goldens.config()["guidance"],
        prompt_embeds=recorded["prompt_embeds"],
        pooled_prompt_embeds=recorded["pooled_prompt_embeds"],
        generator=torch.Generator().manual_seed(goldens.config()["gen_seed"]),
        size=tuple(recorded[f"{run}.image"].shape[2:0:-1]),
        output_type=output_type,
    ).images
    return torch.as_tensor(images)


@pytest.mark.parametrize("run", ["adapter", "adapter_scaled", "lora_adapter"])
def test_the_published_pipelines_latents_and_picture(run: str, weights: Path) -> None:
    recorded, pipe = arrays("pipeline"), flux_dev(weights, run, fused=False)
    latents = run_again(pipe, run, "latent")
    assert_same(f"{run}.latents_final", latents, recorded[f"{run}.latents_final"][:, : latents.shape[1]])
    assert_same(f"{run}.image", run_again(pipe, run, "np"), recorded[f"{run}.image"])


def test_the_fused_lora_as_published(weights: Path) -> None:
    pipe = flux_dev(weights, "lora_adapter", fused=True)
    latents = run_again(pipe, "lora_adapter", "latent")
    expected = arrays("pipeline")["lora_adapter.latents_final"][:, : latents.shape[1]]
    assert_same("lora_adapter, fused", latents, expected)


def test_the_recorded_relation_and_design(weights: Path) -> None:
    pipe = flux_dev(weights, "lora_adapter", fused=False)
    assert list(pipe.transformer.peft_config) == [LORA_NAME]
    pictures = arrays("inputs_uint8")
    pair = tuple(Image.fromarray(pictures[f"exemplar_{number}"].numpy()) for number in (0, 1))
    assert_same("relation tokens", pipe.encode_relation([pair]).tokens, tokens_of(arrays("pipeline")["image_emb"]))
    expected, found = goldens.design(), pipe.adapter.design
    for name in ("transformer", "num_tokens", "token_dim", "feature_dim", "exemplar_size"):
        assert getattr(found, name) == getattr(expected, name), name


def test_the_recorded_text_encodings(weights: Path) -> None:
    """Ids as recorded: the set has no vocabulary."""
    pipe, recorded, ids = flux_dev(weights, "adapter", fused=False), arrays("pipeline"), arrays("inputs_uint8")
    with torch.no_grad():
        pooled = pipe.text_encoder(ids["clip_input_ids"].long()).pooler_output
        text = pipe.text_encoder_2(ids["t5_input_ids"].long())[0]
    assert_same("pooled_prompt_embeds", pooled, recorded["pooled_prompt_embeds"])
    assert_same("prompt_embeds", text, recorded["prompt_embeds"])
