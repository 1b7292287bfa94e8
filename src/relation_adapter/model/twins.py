"""Tiny random twins of the published model on disk: the same files, names, shards and configs, only small.

Laid out as in the repositories black-forest-labs/FLUX.1-dev, google/siglip-so400m-patch14-384 and
handsomeWilliam/RelationAdapter; what goes through them goes the way of the real files.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import save_file
from torch import Tensor, nn

from relation_adapter.config import MODELS, TransformerConfig
from relation_adapter.model import twin_files
from relation_adapter.model.adapter import RelationAdapter
from relation_adapter.model.components import Components, build, randomise
from relation_adapter.model.lora import DOWN, TARGETS, UP
from relation_adapter.model.published import published_names

Layout = Literal["flat", "nested"]
PLACES: dict[Layout, dict[str, str]] = {
    "flat": {
        "base": "FLUX.1-dev",
        "image_encoder": "siglip-so400m-patch14-384",
        "adapter": "ip_adapter-100000.bin",
        "lora": "pytorch_lora_weights.safetensors",
    },
    "nested": {
        "base": "black-forest-labs/FLUX.1-dev",
        "image_encoder": "google/siglip-so400m-patch14-384",
        "adapter": "checkpoint-100000-ip-adapter/ip_adapter-100000.bin",
        "lora": "checkpoint-100000-lora/pytorch_lora_weights.safetensors",
    },
}
# Head width and channels as published: the published config leaves them to diffusers' defaults.
_SHAPE = TransformerConfig(
    num_layers=1, num_single_layers=2, num_attention_heads=2, joint_attention_dim=24, pooled_projection_dim=20
)
_SHARDS = {"transformer": 3, "text_encoder_2": 2}


def write_twins(
    folder: str | os.PathLike[str],
    layout: Layout = "flat",
    seed: int = 0,
    components: Components | None = None,
    dtype: torch.dtype = torch.bfloat16,
    rank: int = 4,
) -> dict[str, Path]:
    """Write base, image encoder, adapter and LoRA below a folder; returns where each lies, by part.

    components: a model to write in place of a random one; without its tokenizers, which are always the tiny ones.
    dtype: of all but the image encoder, which is float32 as published. rank: of the LoRA, all of whose weights are
    random.
    """
    made = components or twin(seed)
    places = {part: Path(folder) / place for part, place in PLACES[layout].items()}
    generator = torch.Generator().manual_seed(seed + 1)
    _write_base(places["base"], made, dtype)
    _write_image_encoder(places["image_encoder"], made.image_encoder)
    write_adapter(places["adapter"], made.adapter, dtype)
    lora = {
        key: (torch.randn(shape, generator=generator) / math.sqrt(shape[-1])).to(dtype)
        for key, shape in lora_shapes(made.transformer, rank).items()
    }
    _save(places["lora"], lora)
    return places


def twin(seed: int = 0) -> Components:
    """The model that is written, in memory and in float32, without tokenizers and image processor."""
    design = replace(
        MODELS["published"], transformer=_SHAPE, feature_dim=24, exemplar_size=28, num_tokens=3, token_dim=24
    )
    made = build(design, seed)
    with torch.random.fork_rng(devices=[]):  # `randomise` adds to the biases that the classes start with
        torch.manual_seed(seed)
        vars(made).update(encoders(twin_files.TINY))
    generator = torch.Generator().manual_seed(seed)
    for part in vars(made).values():
        if isinstance(part, nn.Module):
            randomise(part.eval(), generator)
    return made


def encoders(sizes: Mapping[str, Mapping[str, Any]]) -> dict[str, nn.Module]:
    """VAE, CLIP, T5 and SigLIP by their names in `Components`: the published configs with other sizes (as `TINY`)."""
    from diffusers import AutoencoderKL
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        SiglipVisionConfig,
        SiglipVisionModel,
        T5Config,
        T5EncoderModel,
    )

    def config(published: Mapping[str, Any], part: str) -> dict[str, Any]:
        return {**published, **sizes.get(part, {})}

    seen = config(twin_files.SIGLIP["vision_config"], "vision")
    return {
        "vae": AutoencoderKL.from_config(config(twin_files.VAE, "vae")),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**config(twin_files.CLIP, "text_encoder"))),
        "text_encoder_2": T5EncoderModel(T5Config(**config(twin_files.T5, "text_encoder_2"))),
        "image_encoder": SiglipVisionModel(SiglipVisionConfig(**seen)),
    }


def write_adapter(path: Path, adapter: RelationAdapter, dtype: torch.dtype | None = None) -> None:
    """Write an adapter of the published design as the published pickle."""
    names = {ours: theirs for theirs, ours in published_names(adapter.design).items()}
    groups: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for key, value in adapter.state_dict().items():
        group, _, name = names[key].partition(".")
        groups[group][name] = value.detach().to(dtype=dtype).clone()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(groups, path)


def lora_shapes(
    transformer: FluxTransformer2DModel, rank: int, targets: tuple[str, ...] = TARGETS
) -> dict[str, tuple[int, int]]:
    """Names, as in the published file, and shapes of a LoRA's weights."""
    shapes = {}
    for name, module in transformer.named_modules():
        if isinstance(module, nn.Linear) and name.endswith(tuple(f".{target}" for target in targets)):
            shapes[f"transformer.{name}{DOWN}"] = (rank, module.in_features)
            shapes[f"transformer.{name}{UP}"] = (module.out_features, rank)
    return shapes


def _write_base(folder: Path, made: Components, dtype: torch.dtype) -> None:
    """The folder of FLUX.1-dev."""
    _json(folder / "model_index.json", twin_files.MODEL_INDEX)
    _json(folder / "scheduler" / "scheduler_config.json", _config(twin_files.SCHEDULER, made.scheduler.config))
    configs = {
        "transformer": twin_files.TRANSFORMER,
        "vae": twin_files.VAE,
        "text_encoder": twin_files.CLIP,
        "text_encoder_2": twin_files.T5,
    }
    for name, published in configs.items():
        module = getattr(made, name)
        config = module.config if name in ("transformer", "vae") else module.config.to_dict()
        _json(folder / name / "config.json", _config(published, config))
        stem = "model" if name.startswith("text") else "diffusion_pytorch_model"
        tensors = {key: value.to(dtype) for key, value in _published_state(name, module).items()}
        _write_shards(folder / name, stem, tensors, _SHARDS.get(name, 1))
    twin_files.write_clip_tokenizer(folder / "tokenizer")
    twin_files.write_t5_tokenizer(folder / "tokenizer_2")
    # The root of the repository holds the same model again, as single files of another layout: never read.
    for name in ("flux1-dev.safetensors", "ae.safetensors"):
        _save(folder / name, {"img_in.weight": torch.zeros(2, 2)})


def _published_state(name: str, module: nn.Module) -> dict[str, Tensor]:
    """Weights by the names of the published files, which transformers 4 wrote."""
    state = module.state_dict()
    if name == "text_encoder":
        return {f"text_model.{key.removeprefix('text_model.')}": value for key, value in state.items()}
    # Tied to shared.weight, and stored once.
    return {key: value for key, value in state.items() if key != "encoder.embed_tokens.weight"}


def _write_image_encoder(folder: Path, vision: Any) -> None:
    """The folder of SigLIP: the whole checkpoint, of which the text half is never used."""
    from transformers import SiglipTextConfig, SiglipTextModel

    width, side = vision.config.hidden_size, vision.config.image_size
    seen = _config(twin_files.SIGLIP["vision_config"], vision.config.to_dict())
    read = twin_files.SIGLIP["text_config"] | twin_files.TINY["text"] | {"hidden_size": width}
    # Ids within the tiny vocabulary; the published config leaves them to defaults that transformers warns of.
    text = SiglipTextModel(SiglipTextConfig(**read, bos_token_id=0, eos_token_id=1, pad_token_id=1))
    tensors = {"logit_scale": torch.ones(1), "logit_bias": torch.zeros(1)}
    for prefix, half in (("text_model.", text), ("vision_model.", vision)):
        tensors |= {prefix + key.removeprefix(prefix): value.float() for key, value in half.state_dict().items()}
    _json(folder / "config.json", twin_files.SIGLIP | {"text_config": read, "vision_config": seen})
    _json(folder / "preprocessor_config.json", twin_files.SIGLIP_PROCESSOR | {"size": {"height": side, "width": side}})
    twin_files.write_t5_tokenizer(folder, kind="SiglipTokenizer")
    _save(folder / "model.safetensors", tensors)


def _config(published: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The published config, with the sizes of this model."""
    return {
        key: config[key] if key in config and not key.startswith("_") else value for key, value in published.items()
    }


def _write_shards(folder: Path, stem: str, tensors: dict[str, Tensor], count: int) -> None:
    """One file; or `count` of about equal size, in order, and the index that names them."""
    if count == 1:
        _save(folder / f"{stem}.safetensors", tensors)
        return
    total = sum(value.nbytes for value in tensors.values())
    shards: list[dict[str, Tensor]] = [{} for _ in range(count)]
    done = 0
    for key, value in tensors.items():
        shards[min(done * count // total, count - 1)][key] = value
        done += value.nbytes
    names = [f"{stem}-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]
    places = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
    for name, shard in zip(names, shards, strict=True):
        _save(folder / name, shard)
    _json(folder / f"{stem}.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": places})


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.detach().contiguous() for key, value in tensors.items()}, path, {"format": "pt"})


def _json(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")
