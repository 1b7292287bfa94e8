"""Tiny random twins of the baselines' models on disk, in the published layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FluxTransformer2DModel,
    QwenImageTransformer2DModel,
)
from safetensors.torch import save_file
from torch import nn
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen2VLImageProcessorPil,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from relation_adapter.model.components import randomise
from relation_adapter.model.lora import TARGETS
from relation_adapter.model.twins import lora_shapes, twin, write_twins

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
SPECIAL += ["<|image_pad|>", "<|video_pad|>", "<think>", "</think>"]
CHAT = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"


def write_flux(folder: Path, kind: str = "FluxPipeline", in_channels: int = 64) -> Path:
    """A base of FLUX.1's layout: FLUX.1-dev, Kontext (with two parts that are left open), VisualCloze."""
    made = twin()
    if in_channels != 64:
        shape = dict(made.transformer.config) | {"in_channels": in_channels, "out_channels": 64}
        made.transformer = random(FluxTransformer2DModel.from_config(shape))
    base = write_twins(folder, components=made)["base"]
    change(base / "model_index.json", _class_name=kind)
    if kind == "FluxKontextPipeline":
        change(base / "model_index.json", image_encoder=[None, None], feature_extractor=[None, None])
    change(base / "transformer" / "config.json", in_channels=in_channels, out_channels=64)
    return base


def write_lora(path: Path, transformer: Any = None) -> Path:
    """As ai-toolkit writes one, by default of FLUX.1's twin: names of diffusers."""
    generator = torch.Generator().manual_seed(0)
    shapes = lora_shapes(transformer or twin().transformer, 2, TARGETS)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: torch.randn(shape, generator=generator) * 0.3 for key, shape in shapes.items()}, path)
    return path


def write_klein(folder: Path) -> Path:
    """The folder of black-forest-labs/FLUX.2-klein-4B."""
    config = Qwen3Config(
        vocab_size=300, hidden_size=16, intermediate_size=16, num_hidden_layers=28, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=1024,
    )  # fmt: skip
    transformer = Flux2Transformer2DModel(
        in_channels=128, num_layers=1, num_single_layers=1, attention_head_dim=32, num_attention_heads=2,
        joint_attention_dim=48, axes_dims_rope=(8, 8, 8, 8), guidance_embeds=False,
    )  # fmt: skip
    vae = AutoencoderKLFlux2(
        block_out_channels=(4, 4, 8, 8), layers_per_block=1, norm_num_groups=2, latent_channels=32, sample_size=64
    )
    pipe = Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=random(vae),
        text_encoder=random(Qwen3ForCausalLM(config)),
        tokenizer=tokenizer(),
        transformer=random(transformer),
        is_distilled=True,
    )
    pipe.to(torch.bfloat16).save_pretrained(folder / "FLUX.2-klein-4B")
    return folder / "FLUX.2-klein-4B"


def write_qwen_edit(folder: Path) -> Path:
    """The folder of Qwen/Qwen-Image-Edit-2511, part by part: its processor wants torchvision to be built whole."""
    base, words = folder / "Qwen-Image-Edit-2511", tokenizer()
    ids = {f"{name}_token_id": words.convert_tokens_to_ids(f"<|{name}_pad|>") for name in ("image", "video")}
    vision = {
        "depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16,
        "fullatt_block_indexes": [0],
    }  # fmt: skip
    text = {
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "vocab_size": 300, "max_position_embeddings": 4096,
        "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2], "rope_type": "default"},
    }  # fmt: skip
    reader = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids))
    transformer = QwenImageTransformer2DModel(
        in_channels=64, out_channels=16, num_layers=2, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, axes_dims_rope=(4, 6, 6), zero_cond_t=True,
    )  # fmt: skip
    vae = AutoencoderKLQwenImage(base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    parts = {"text_encoder": reader, "transformer": transformer, "vae": vae}
    for name, part in parts.items():
        random(part).to(torch.bfloat16).save_pretrained(base / name, max_shard_size="20KB")
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, base_image_seq_len=256, shift_terminal=0.02)
    scheduler.save_pretrained(base / "scheduler")
    words.save_pretrained(base / "tokenizer")
    words.save_pretrained(base / "processor")
    Qwen2VLImageProcessorPil(min_pixels=3136, max_pixels=12845056).save_pretrained(base / "processor")
    change(base / "processor" / "preprocessor_config.json", processor_class="Qwen2_5_VLProcessor")
    index = {"_class_name": "QwenImageEditPlusPipeline", "_diffusers_version": "0.36.0"}
    index |= {"processor": ["transformers", "Qwen2VLProcessor"], "tokenizer": ["transformers", "Qwen2Tokenizer"]}
    index |= {"scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"]}
    kinds = {name: [type(part).__module__.partition(".")[0], type(part).__name__] for name, part in parts.items()}
    (base / "model_index.json").write_text(json.dumps(index | kinds))
    return base


def random(module: Any) -> Any:
    """In place of what the class starts with, which is zero in places."""
    assert isinstance(module, nn.Module)
    return randomise(module.eval(), torch.Generator().manual_seed(0)) or module


def tokenizer() -> Qwen2Tokenizer:
    """One token a byte."""
    letters = sorted(_byte_letters())
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    made = Qwen2Tokenizer(vocab=vocabulary, merges=[], chat_template=CHAT, model_max_length=4096)
    made.add_special_tokens({"additional_special_tokens": SPECIAL})
    return made


def _byte_letters() -> list[str]:
    """What byte pairs stand for the 256 bytes with."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(byte) for byte in plain] + [chr(256 + number) for number in range(256 - len(plain))]


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values, indent=2))
