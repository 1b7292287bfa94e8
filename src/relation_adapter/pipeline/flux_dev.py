"""The published model from its published files: FLUX.1-dev, SigLIP, the adapter and its LoRA."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from relation_adapter.config import ModelConfig
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.files import reason
from relation_adapter.hub import FLUX_DEV, Places, find
from relation_adapter.model.adapter import shape_of
from relation_adapter.model.components import Components
from relation_adapter.model.lora import load_lora
from relation_adapter.model.published import load_adapter, published_design
from relation_adapter.pipeline import memory

NAME = "flux-dev"
LORA_NAME = "editor"
_PLACES = {"weights": "folder", "cache_dir": "cache", "offline": "offline", "token": "token"}
_PARTS = ("base", "image_encoder", "adapter", "lora")
_OPTIONS = (*_PARTS, *_PLACES, "torch_dtype", "quantization", "memory")


def from_options(make: Callable[[Components], Any], options: dict[str, Any]) -> Any:
    """The pipeline that `make` builds of the parts that the options of `from_pretrained("flux-dev", ...)` choose.

    Raises:
        UsageError: an option that there is not.
        WeightsError: see `load_flux_dev`.
    """
    unknown = [name for name in options if name not in _OPTIONS]
    if unknown:
        near = difflib.get_close_matches(unknown[0], _OPTIONS, n=1)
        raise UsageError(f"{unknown[0]} is no option of {NAME}; {f'did you mean {near[0]}?' if near else _known()}")
    given = {name: value for name, value in options.items() if value is not None}
    plan = memory.plan_for(given.pop("memory"), given.get("quantization")) if "memory" in given else None
    if plan:
        given["quantization"] = plan.quantization
    where: dict[str, Any] = {field: given.pop(name) for name, field in _PLACES.items() if name in given}
    where |= {name: Path(where[name]) for name in ("folder", "cache") if name in where}
    pipe = make(load_flux_dev(Places(**where), **given))
    if plan:
        memory.place(pipe, plan, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    return pipe


def _known() -> str:
    return f"there are: {', '.join(_OPTIONS)}"


def load_flux_dev(
    places: Places,
    base: str | None = None,
    image_encoder: str | None = None,
    adapter: str | None = None,
    lora: str | bool | None = None,
    torch_dtype: torch.dtype = torch.bfloat16,
    quantization: str | None = None,
) -> Components:
    """The parts of the published model, the LoRA attached to the transformer under the name "editor", not fused.

    Every part is a path, a place on the hub, or None for the published one (`hub.find`); lora: False or "none": none.
    base: a folder that diffusers' FLUX pipelines wrote. adapter: the published `.bin`, InstantX's, or a file of ours,
    whose own design then holds. torch_dtype: of all parts. quantization: of the base, "int8" or "nf4".

    Raises:
        WeightsError: a part that is nowhere, not whole, or does not fit the others.
        UsageError, MissingExtraError: a quantisation that there is not, or its package.
    """
    config = memory.quantization_config(quantization)
    given: dict[str, Any] = {"base": base, "image_encoder": image_encoder, "adapter": adapter, "lora": lora}
    # All are found before any is loaded, so that what is missing is told at once.
    paths = {
        name: find(FLUX_DEV[name], places, None if value is True else value)
        for name, value in given.items()
        if not (name == "lora" and value in (False, "none"))
    }
    encoder, processor = _image_encoder(paths["image_encoder"], torch_dtype)
    parts = _base(paths["base"], torch_dtype, config)
    transformer = parts["transformer"]
    reader = load_adapter(paths["adapter"], _design(paths["adapter"], transformer, encoder), torch_dtype)
    reader.attach(transformer)
    if "lora" in paths:
        load_lora(transformer, paths["lora"], LORA_NAME)
    return Components(adapter=reader, image_encoder=encoder, image_processor=processor, **parts)


def _base(folder: Path, dtype: torch.dtype, quantization: Any) -> dict[str, Any]:
    """The parts of a folder that diffusers' FLUX pipelines wrote."""
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
    from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5TokenizerFast

    more = {"quantization_config": quantization} if quantization else {}
    return {
        "scheduler": _plain(FlowMatchEulerDiscreteScheduler, folder / "scheduler"),
        "tokenizer": _plain(CLIPTokenizer, folder / "tokenizer"),
        "tokenizer_2": _plain(T5TokenizerFast, folder / "tokenizer_2"),
        "vae": _weights(AutoencoderKL, folder / "vae", torch_dtype=dtype),
        "text_encoder": _weights(CLIPTextModel, folder / "text_encoder", dtype=dtype),
        "text_encoder_2": _weights(T5EncoderModel, folder / "text_encoder_2", dtype=dtype),
        "transformer": _weights(FluxTransformer2DModel, folder / "transformer", torch_dtype=dtype, **more),
    }


def _image_encoder(folder: Path, dtype: torch.dtype) -> tuple[nn.Module, Any]:
    """The vision half of a SigLIP checkpoint, and what prepares its pictures."""
    # The Pil processor: the plain name warns and falls back to it where torchvision is absent.
    from transformers import SiglipImageProcessorPil, SiglipVisionModel

    other_half = ("text_model.", "logit_scale", "logit_bias")
    encoder = _weights(SiglipVisionModel, folder, unused=other_half, dtype=dtype)
    return encoder, _plain(SiglipImageProcessorPil, folder)


def _design(path: Path, transformer: Any, encoder: Any) -> ModelConfig | None:
    """Of a published file; ours holds its own."""
    from relation_adapter.model.weights import is_own

    seen = encoder.config
    return None if is_own(path) else published_design(path, shape_of(transformer), seen.hidden_size, seen.image_size)


def _plain(kind: Any, folder: Path) -> Any:
    """A part without weights."""
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise WeightsError(f"{folder}: cannot be loaded ({reason(error)}); download it again") from error


def _weights(kind: Any, folder: Path, unused: tuple[str, ...] = (), **options: Any) -> Any:
    """A part with weights: every weight of the part in the files, and nothing in the files but `unused` left over."""
    try:
        part, info = kind.from_pretrained(folder, local_files_only=True, output_loading_info=True, **options)
    except Exception as error:
        raise WeightsError(f"{folder}: cannot be loaded ({reason(error)}); download it again") from error
    missing = sorted(info["missing_keys"])
    left = sorted(key for key in info["unexpected_keys"] if not key.startswith(unused) or not unused)
    if missing or left:
        what = f"lacks {missing[0]}" if missing else f"has unknown {left[0]}"
        raise WeightsError(f"{folder}: {what}; it is of another model, or damaged: download it again")
    return part.eval()
