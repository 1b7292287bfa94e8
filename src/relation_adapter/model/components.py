"""From a config to a model's parts, and complete tiny random twins of every design."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from torch import nn

from relation_adapter.config import MODELS, ModelConfig, TransformerConfig, preset, to_dict
from relation_adapter.model import pixel_head
from relation_adapter.model.adapter import RelationAdapter
from relation_adapter.model.codec import PixelCodec

# Beside a pretrained base a relation starts small, so that training begins near the base's own pictures.
GENTLE_VALUE_SCALE = 0.1


@dataclass
class Components:
    """The parts of one model. What a design does not need is None; the adapter is attached to the transformer.

    vae: an `AutoencoderKL` or a `PixelCodec`. text_encoder and tokenizer: CLIP; text_encoder_2 and tokenizer_2: T5.
    image_encoder, image_processor: SigLIP. The names are those of diffusers' FLUX pipelines.
    """

    transformer: FluxTransformer2DModel
    adapter: RelationAdapter
    scheduler: FlowMatchEulerDiscreteScheduler
    vae: Any = None
    text_encoder: Any = None
    tokenizer: Any = None
    text_encoder_2: Any = None
    tokenizer_2: Any = None
    image_encoder: Any = None
    image_processor: Any = None

    @property
    def design(self) -> ModelConfig:
        return self.adapter.design


def build(design: ModelConfig, seed: int | None = None) -> Components:
    """Transformer, adapter and scheduler with fresh float32 weights, and the `PixelCodec` where the design has one.

    With a seed the weights are always the same and torch's global generator is left as it was; without, they come
    from the global generator. A VAE, text encoders and an image encoder are pretrained: they are loaded, not built.
    """
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        transformer = build_transformer(design.transformer)
        adapter = _build_adapter(design)
        if design.base is None:
            _start_at_rest(transformer, design)
    return assemble(transformer, adapter)


def build_adapter(design: ModelConfig, seed: int) -> RelationAdapter:
    """A fresh float32 adapter for a transformer that is there, always the same for a seed; attached to nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _build_adapter(design)


def assemble(transformer: FluxTransformer2DModel, adapter: RelationAdapter) -> Components:
    """Attach the adapter and add what a config alone determines."""
    adapter.attach(transformer)
    design = adapter.design
    vae = PixelCodec(design.pixel_factor) if design.pixel_factor else None
    return Components(transformer, adapter, build_scheduler(design), vae=vae)


def build_transformer(shape: TransformerConfig) -> FluxTransformer2DModel:
    """The stock transformer of this shape, with diffusers' own fresh weights."""
    return FluxTransformer2DModel(patch_size=1, **to_dict(shape) | {"axes_dims_rope": shape.axes_dims_rope})


def build_scheduler(design: ModelConfig) -> FlowMatchEulerDiscreteScheduler:
    """Euler steps with FLUX's published settings, or without a time shift where the design has none."""
    if design.shift_tokens == "none":
        return FlowMatchEulerDiscreteScheduler(shift=1.0)
    return FlowMatchEulerDiscreteScheduler(
        shift=3.0,
        use_dynamic_shifting=True,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096,
    )


def _build_adapter(design: ModelConfig) -> RelationAdapter:
    """From torch's global generator; beside a base the first edits are near the base's own pictures."""
    adapter = RelationAdapter(to_dict(design))
    with torch.no_grad():
        for weight in adapter.to_v.parameters() if design.base is not None else ():
            weight.mul_(GENTLE_VALUE_SCALE)
    return adapter


def _start_at_rest(transformer: FluxTransformer2DModel, design: ModelConfig) -> None:
    """From scratch the first velocity is zero: the start of the flow is left as it is, and the gradient reaches
    proj_out first.
    """
    nn.init.zeros_(transformer.proj_out.weight)
    nn.init.zeros_(transformer.proj_out.bias)
    if design.pixel_hidden:
        pixel_head.initialise(transformer.proj_out, design.pixel_hidden)


# Tiny random twins: every part of a design, complete and fast, with all weights random (none zero).

_TINY_TRANSFORMER = TransformerConfig(
    in_channels=16,
    out_channels=16,
    num_layers=1,
    num_single_layers=2,
    attention_head_dim=16,
    num_attention_heads=2,
    joint_attention_dim=24,
    pooled_projection_dim=20,
    guidance_embeds=True,
    axes_dims_rope=(4, 6, 6),
)
_TINY_FLUX = {
    "transformer": _TINY_TRANSFORMER,
    "feature_dim": 24,
    "token_dim": 24,
    "text_length": 8,
    "exemplar_size": 28,
    "native_area": 64 * 64,
    "steps": 2,
}
_TINY_CHANGES: dict[str, dict[str, Any]] = {
    "published": {**_TINY_FLUX, "num_tokens": 3},
    "in_context": {**_TINY_FLUX, "feature_dim": 16, "token_dim": 16, "exemplar_size": 32},
    "directed": {**_TINY_FLUX, "num_tokens": 5, "resampler_layers": 1, "resampler_heads": 2},
    "mini": {
        "transformer": replace(
            _TINY_TRANSFORMER, in_channels=48 + 16, out_channels=48, joint_attention_dim=8, guidance_embeds=False
        ),
        "pixel_factor": 2,
        "pixel_hidden": 0,  # nets with random weights would magnify every rounding
        "feature_dim": 48 + 16,
        "token_dim": 16,
        "resampler_layers": 1,
        "resampler_heads": 2,
        "exemplar_size": 16,
        "native_area": 32 * 32,
    },
}


def tiny_design(name: str) -> ModelConfig:
    """The named preset at a size for tests; same choices, small numbers.

    Raises:
        UsageError: no such preset.
    """
    design = preset(MODELS, name)
    return replace(design, name=f"tiny-{name}", **_TINY_CHANGES[name])


def tiny(name: str, seed: int = 0) -> Components:
    """A complete random model of a preset's design that runs in milliseconds.

    Raises:
        UsageError: no such preset.
    """
    components = build(tiny_design(name), seed)
    design = components.design
    with torch.random.fork_rng(devices=[]):  # `randomise` adds to the biases that the classes start with
        torch.manual_seed(seed)
        if not design.pixel_factor:
            components.vae = _tiny_vae(design)
        if design.text != "none":
            _add_tiny_text(components)
        if design.image_features.startswith("siglip"):
            _add_tiny_image_encoder(components)
    generator = torch.Generator().manual_seed(seed)
    for part in vars(components).values():
        if isinstance(part, nn.Module):
            randomise(part.eval(), generator)
    return components


@torch.no_grad()
def randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Give every parameter random values of a size that keeps activations near 1; no zeros, so nothing hides."""
    for parameter in module.parameters():
        noise = torch.randn(parameter.shape, generator=generator).to(parameter)
        if parameter.ndim > 1:
            parameter.copy_(noise / math.sqrt(parameter[0].numel()))
        else:
            parameter.add_(0.1 * noise)


def _tiny_vae(design: ModelConfig) -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 8, 8),
        layers_per_block=1,
        latent_channels=design.transformer.in_channels // 4,
        norm_num_groups=2,
        sample_size=64,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.1159,
        scaling_factor=0.3611,
    )


def _add_tiny_text(components: Components) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5TokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    components.tokenizer = CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77
    )
    clip = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=components.design.transformer.pooled_projection_dim,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    components.text_encoder = CLIPTextModel(clip)
    pieces = [(piece, -float(number)) for number, piece in enumerate(["<pad>", "</s>", "<unk>", "▁", *letters])]
    components.tokenizer_2 = T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=components.design.text_length)
    t5 = T5Config(
        vocab_size=len(pieces),
        d_model=components.design.transformer.joint_attention_dim,
        d_ff=32,
        d_kv=8,
        num_heads=2,
        num_layers=1,
        feed_forward_proj="gated-gelu",
    )
    components.text_encoder_2 = T5EncoderModel(t5)


def _add_tiny_image_encoder(components: Components) -> None:
    # The Pil processor: the plain name warns and falls back to it where torchvision is absent.
    from transformers import SiglipImageProcessorPil, SiglipVisionConfig, SiglipVisionModel

    design = components.design
    config = SiglipVisionConfig(
        hidden_size=design.feature_dim,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=design.exemplar_size,
        patch_size=14,
    )
    components.image_encoder = SiglipVisionModel(config)
    components.image_processor = SiglipImageProcessorPil(
        size={"height": design.exemplar_size, "width": design.exemplar_size}
    )
