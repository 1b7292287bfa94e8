"""What the pipeline's encoders make of exemplars and instructions."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.utils import scale_lora_layers, unscale_lora_layers
from PIL import Image
from torch import Tensor

from relation_adapter.alignment import Shift, cropped, shift_of
from relation_adapter.config import ModelConfig
from relation_adapter.editor import Pair
from relation_adapter.errors import UsageError
from relation_adapter.images import pad_to_ratio, resize, to_rgb
from relation_adapter.model.features import latent_features
from relation_adapter.pipeline.pictures import to_tensor

logger = logging.getLogger(__name__)

CLIP_LENGTH = 77
LONGEST_TEXT = 512  # tokens that FLUX was trained with


def aligned_pairs(design: ModelConfig, pairs: Sequence[Pair]) -> tuple[list[Pair], list[Shift]]:
    """Pairs as a design should see them, and how many pixels each `after` lay off to the right and down.

    Only what reads before and after patch by patch takes a shift for a part of the edit.
    """
    if design.image_features != "latents":
        return list(pairs), []
    shifts = [shift_of(*pair) for pair in pairs]
    return [cropped(*pair, shift) if any(shift) else pair for pair, shift in zip(pairs, shifts, strict=True)], shifts


def pair_features(
    pipe: Any, pairs: Sequence[Pair], device: torch.device, preparation: str | None = None
) -> tuple[Tensor, Tensor]:
    """Features (1, K, N, F) of the K pictures before and of those after, as the pipeline's design reads them.

    preparation: `published` or `square`, see `encode_relation`; None: the design's.
    """
    before, after = zip(*pairs, strict=True)
    return picture_features(pipe, before, device, preparation), picture_features(pipe, after, device, preparation)


def picture_features(
    pipe: Any, pictures: Sequence[Image.Image], device: torch.device, preparation: str | None = None
) -> Tensor:
    """Features (1, K, N, F) of K pictures, as `pair_features`."""
    design: ModelConfig = pipe.adapter.design
    features = _siglip if design.image_features.startswith("siglip") else _latents
    return features(pipe, [_prepared(picture, design, preparation) for picture in pictures], device)


def _prepared(image: Image.Image, design: ModelConfig, preparation: str | None) -> Image.Image:
    image, square = to_rgb(image), (design.exemplar_size, design.exemplar_size)
    if (preparation or design.exemplar_preparation) == "square":
        return resize(image, square)
    padded = pad_to_ratio(image)  # SigLIP's own processor makes the square of it
    return padded if design.image_features.startswith("siglip") else resize(padded, square)


def _latents(pipe: Any, pictures: Sequence[Image.Image], device: torch.device) -> Tensor:
    tensors = torch.cat([to_tensor(picture) for picture in pictures])[None].to(device)
    return latent_features(pipe.vae, pipe.adapter.design, tensors)


def _siglip(pipe: Any, pictures: Sequence[Image.Image], device: torch.device) -> Tensor:
    """The pooled vector or the patches of every picture, each encoded alone: batches round differently."""
    if pipe.image_encoder is None or pipe.image_processor is None:
        raise UsageError(
            "This pipeline has no image_encoder or no image_processor; give a saved relation instead of pairs"
        )
    pooled = pipe.adapter.design.image_features == "siglip_pooled"
    features = []
    for picture in pictures:
        pixels = pipe.image_processor(images=picture, return_tensors="pt").pixel_values
        seen = pipe.image_encoder(pixels.to(device, pipe.image_encoder.dtype))
        features.append(seen.pooler_output[:, None] if pooled else seen.last_hidden_state)
    return torch.stack(features, dim=1)


def encode_texts(
    pipe: Any,
    texts: Sequence[str | None],
    device: torch.device,
    length: int | None = None,
    lora_scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Instructions to text tokens (N, T, J) and pooled text (N, P); every different text is encoded once.

    Absent text is the learned null where the design has one, else the empty instruction. A design without text sees the
    null whatever the instruction. length: T, tokens of an instruction; None: the design's. lora_scale: of LoRAs on the
    text encoders.

    Raises:
        UsageError: no text encoders, or instructions and nulls of different lengths.
    """
    keys = [_text_key(text, pipe.adapter) for text in texts]
    with _scaled(pipe.text_encoder, lora_scale):
        encoded = {key: _encode_text(pipe, key, device, length or text_length(pipe)) for key in dict.fromkeys(keys)}
    tokens, pooled = zip(*(encoded[key] for key in keys), strict=True)
    if len({one.shape[1] for one in tokens}) > 1:
        raise UsageError(
            f"max_sequence_length={length} needs an instruction for every image; give one, or leave it out"
        )
    return torch.cat(tokens), torch.cat(pooled)


def text_length(pipe: Any) -> int:
    """Tokens of an instruction: the design's, or what the tokenizer was saved with where no design is at hand."""
    if pipe.adapter is not None:
        return int(pipe.adapter.design.text_length)
    return min(LONGEST_TEXT, getattr(pipe.tokenizer_2, "model_max_length", LONGEST_TEXT))


@contextmanager
def _scaled(encoder: Any, lora_scale: float | None) -> Iterator[None]:
    """LoRAs on a text encoder at this scale for a while."""
    if encoder is None or lora_scale is None:
        yield
        return
    scale_lora_layers(encoder, lora_scale)
    try:
        yield
    finally:
        unscale_lora_layers(encoder, lora_scale)


def _text_key(text: str | None, adapter: Any) -> str | None:
    """The text to encode; None stands for the learned null."""
    if adapter is None:
        return text or ""
    if adapter.design.text == "none":
        return None
    return text if adapter.design.has_null_text else text or ""


def _encode_text(pipe: Any, text: str | None, device: torch.device, length: int) -> tuple[Tensor, Tensor]:
    if text is None:
        tokens, pooled = pipe.adapter.null_condition(1)
        return tokens.to(device), pooled.to(device)
    if None in (pipe.text_encoder, pipe.tokenizer, pipe.text_encoder_2, pipe.tokenizer_2):
        raise UsageError("This pipeline has no text encoders; give prompt_embeds and pooled_prompt_embeds")
    ids = _token_ids(pipe.tokenizer, text, CLIP_LENGTH).to(device)
    pooled = pipe.text_encoder(ids).pooler_output
    ids = _token_ids(pipe.tokenizer_2, text, length, warn=True).to(device)
    return pipe.text_encoder_2(ids)[0], pooled


def _token_ids(tokenizer: Any, text: str, length: int, warn: bool = False) -> Tensor:
    if warn and len(tokenizer(text, verbose=False).input_ids) > length:
        logger.warning("The instruction is longer than %d tokens; the end is not read: %r", length, text[-60:])
    ids: Tensor = tokenizer(
        text, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids
    return ids


def given_embeds(
    design: ModelConfig, tokens: Tensor | None, pooled: Tensor | None, instruction: Any, count: int
) -> tuple[Tensor, Tensor] | None:
    """Prompt embeddings that the caller made, for `count` images; None where there are none.

    Raises:
        UsageError: only one of the two, an instruction beside them, or a wrong shape.
    """
    if tokens is None and pooled is None:
        return None
    if tokens is None or pooled is None:
        raise UsageError("prompt_embeds and pooled_prompt_embeds belong together; give both or neither")
    if instruction is not None:
        raise UsageError("instruction and prompt_embeds are both given; give one of them")
    shape = design.transformer
    checks = (
        ("prompt_embeds", tokens, 3, shape.joint_attention_dim),
        ("pooled_prompt_embeds", pooled, 2, shape.pooled_projection_dim),
    )
    for name, value, ndim, width in checks:
        if value.ndim != ndim or value.shape[0] not in (1, count) or value.shape[-1] != width:
            needs = f"({count} or 1, tokens, {width})" if ndim == 3 else f"({count} or 1, {width})"
            raise UsageError(f"{name} is {tuple(value.shape)}; give {needs}")
    return tokens.expand(count, -1, -1), pooled.expand(count, -1)
