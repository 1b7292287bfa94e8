"""The encoders of a model, as `data cache` needs them: pictures and instructions to what the loss reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from relation_adapter.config import ModelConfig, to_dict
from relation_adapter.data.buckets import Buckets
from relation_adapter.data.cache_plan import Encoders, Kind, Shapes
from relation_adapter.images import Size
from relation_adapter.model.features import latent_moments
from relation_adapter.pipeline.encoders import encode_texts, picture_features
from relation_adapter.pipeline.pictures import to_tensor
from relation_adapter.relation import weights_mark

# What of a design decides what its features are; the same fields say whether a cache fits a model.
FEATURES = ("image_features", "feature_dim", "exemplar_preparation", "exemplar_size", "position_features")
LATENTS = ("source_latents", "pixel_factor")
TEXT = ("text", "text_length")
PARTS: dict[Kind, tuple[str, ...]] = {"latents": ("vae",), "text": ("text_encoder", "text_encoder_2")}


def told(design: ModelConfig) -> dict[str, Any]:
    """The choices of a design that a cache depends on, as plain values."""
    values = to_dict(design)
    channels = design.token_channels // 4
    return {name: values[name] for name in (*FEATURES, *LATENTS, *TEXT)} | {"latent_channels": channels}


def encoders(pipe: Any, device: torch.device, dtype: torch.dtype | None = None, area: int | None = None) -> Encoders:
    """What turns pictures and instructions into what this pipeline's model is trained on.

    pipe: a `RelationPipeline`; of its adapter the design alone is asked, its transformer may be None. dtype: on disk;
    None: that of the encoders. area: px, of source and target; None: the design's.
    """
    design: ModelConfig = pipe.design
    move_encoders(pipe, device)
    dtype = dtype or pipe.vae.dtype
    encode = encode_with(pipe, device)
    return Encoders(
        encode=encode,
        marks={kind: _mark(kind, pipe, dtype) for kind in encode},
        shapes=_Shapes(design, _patches(pipe), pipe.multiple // 2),
        told=told(design),
        buckets=buckets(design, area),
        dtype=dtype,
        empty_text=empty_text(design),
    )


def encode_with(pipe: Any, device: torch.device) -> dict[Kind, Callable[[Any], dict[str, Tensor]]]:
    """How one picture or text becomes named tensors, without gradients, by what a pipeline or `Components` has."""
    encode: dict[Kind, Callable[[Any], dict[str, Tensor]]] = {
        "features": torch.no_grad()(lambda picture: {"features": picture_features(pipe, [picture], device)[0, 0]}),
        "latents": torch.no_grad()(lambda picture: {"latents": _latents(pipe, picture, device)}),
    }
    if pipe.design.text != "none":
        encode["text"] = torch.no_grad()(lambda text: _text(pipe, text, device))
    return encode


def move_encoders(pipe: Any, device: torch.device) -> None:
    """Bring all that sees pictures and reads texts to a device, for use alone."""
    for name in ("vae", "image_encoder", "text_encoder", "text_encoder_2"):
        part = getattr(pipe, name)
        if part is not None:
            part.to(device).eval().requires_grad_(False)


def buckets(design: ModelConfig, area: int | None = None) -> Buckets:
    """The sizes that source and target come to. area: px; None or 0: the design's."""
    return Buckets(area or design.native_area, design.patch)


def empty_text(design: ModelConfig) -> str | None:
    """What a quad without an instruction is given; None where the learned null stands in."""
    return "" if design.text == "instruction" else None


def _latents(pipe: Any, picture: Image.Image, device: torch.device) -> Tensor:
    return latent_moments(pipe.vae, to_tensor(picture).to(device), pipe.design.source_latents)[0]


def _text(pipe: Any, text: str, device: torch.device) -> dict[str, Tensor]:
    tokens, pooled = encode_texts(pipe, [text], device)
    return {"text": tokens[0], "pooled": pooled[0]}


@dataclass(frozen=True)
class _Shapes:
    """Of the tensors of one picture or text, known before any is encoded. patches: features of one exemplar."""

    design: ModelConfig
    patches: int
    factor: int

    def __call__(self, kind: Kind, size: Size | None) -> Shapes:
        if kind == "text":
            shape = self.design.transformer
            length = self.design.text_length
            return {"text": (length, shape.joint_attention_dim), "pooled": (shape.pooled_projection_dim,)}
        if kind == "features":
            return {"features": (self.patches, self.design.feature_dim)}
        assert size is not None
        moments = 1 if self.design.source_latents == "mode" else 2
        sides = (size[1] // self.factor, size[0] // self.factor)
        return {"latents": (moments, self.design.token_channels // 4, *sides)}


def _patches(pipe: Any) -> int:
    """Features of one exemplar."""
    if pipe.design.image_features in ("siglip_pooled", "latents_pooled"):
        return 1
    if pipe.design.image_features == "latents":
        return int(pipe.design.exemplar_size // pipe.multiple) ** 2
    sees = pipe.image_encoder.config
    return int(sees.image_size // sees.patch_size) ** 2


def _mark(kind: Kind, pipe: Any, dtype: torch.dtype) -> str:
    """Stands for all that the tensors of a kind depend on: the encoder's weights, the preparation, the form."""
    values = to_dict(pipe.design)
    seen_by_vae = pipe.design.image_features.startswith("latents")
    names = PARTS.get(kind, ("vae",) if seen_by_vae else ("image_encoder",))
    fields = {"features": FEATURES, "latents": LATENTS, "text": TEXT}[kind]
    parts = [getattr(pipe, name) for name in names]
    plain: dict[str, Any] = {name: values[name] for name in fields} | {"dtype": str(dtype)}
    plain["encoders"] = [str(part.dtype) for part in parts]
    if "vae" in names:
        plain["scale"] = [pipe.vae.config.scaling_factor, pipe.vae.config.shift_factor]
    if "image_encoder" in names:
        plain["processor"] = _plain(pipe.image_processor.to_dict())
    if kind == "text":
        plain["words"] = [_words(pipe.tokenizer), _words(pipe.tokenizer_2)]
    return weights_mark(plain, *parts)


def _words(tokenizer: Any) -> str:
    words: Mapping[str, int] = tokenizer.get_vocab()
    return hashlib.sha256(json.dumps(sorted(words.items())).encode()).hexdigest()


def _plain(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(values[name]) for name in sorted(values)}
