"""The published model from its published files: FLUX.1-dev, SigLIP, the adapter and its LoRA."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from relation_adapter.config import MODELS, ModelConfig, TransformerConfig, to_dict
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.header import read_header
from relation_adapter.hub import FLUX_DEV, Places, find
from relation_adapter.loading import silent, unusable
from relation_adapter.model.adapter import RelationAdapter, shape_of
from relation_adapter.model.components import Components
from relation_adapter.model.lora import load_lora
from relation_adapter.model.published import load_adapter, published_design
from relation_adapter.model.weights import compare_shapes, is_own
from relation_adapter.pipeline import memory

NAME = "flux-dev"
LORA_NAME = "editor"
_PLACES = {"weights": "folder", "cache_dir": "cache", "offline": "offline", "token": "token"}
_PARTS = ("base", "image_encoder", "adapter", "lora")
_OF_BASE = ("transformer", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")
_SHAPE = "transformer/config.json"
_OPTIONS = (*_PARTS, *_PLACES, "torch_dtype", "dtype", "quantization", "memory", *_OF_BASE)


def from_options(make: Callable[[Components], Any], options: Mapping[str, Any]) -> Any:
    """The pipeline that `make` builds of the parts that the options of `from_pretrained("flux-dev", ...)` choose.

    They are those of `load_flux_dev`; `weights`, a folder that the parts lie in, `cache_dir`, `offline` and `token`
    (`hub.Places`); `memory`, GiB of the GPU to stay within (`memory.PLANS`); and parts of the base by their name
    (`vae=...`) to take in place of its own, or None to leave them out.

    Raises:
        UsageError: an option that there is not.
        WeightsError: see `load_flux_dev`.
    """
    unknown = [name for name in options if name not in _OPTIONS]
    if unknown:
        near = difflib.get_close_matches(unknown[0], _OPTIONS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(_OPTIONS)}"
        raise UsageError(f"{unknown[0]} is no option of {NAME}; {hint}")
    parts = {name: value for name, value in options.items() if name in _OF_BASE}
    given = {name: value for name, value in options.items() if name not in parts and value is not None}
    plan = memory.plan_for(given.pop("memory"), given.get("quantization")) if "memory" in given else None
    if plan:
        given["quantization"] = plan.quantization
    where: dict[str, Any] = {field: given.pop(name) for name, field in _PLACES.items() if name in given}
    where |= {name: Path(where[name]) for name in ("folder", "cache") if name in where}
    pipe = make(load_flux_dev(Places(**where), **given, parts=parts))
    if plan:
        memory.place(pipe, plan)
    return pipe


def load_flux_dev(
    places: Places,
    base: str | None = None,
    image_encoder: str | None = None,
    adapter: str | None = None,
    lora: str | bool | None = None,
    torch_dtype: torch.dtype | Mapping[str, torch.dtype] = torch.bfloat16,
    quantization: str | None = None,
    parts: Mapping[str, Any] | None = None,
) -> Components:
    """The parts of the published model, the LoRA attached to the transformer under the name "editor", not fused.

    Each is a path, a place on the hub, or None for the published one (`hub.find`); lora: False or "none" for none.
    base: a folder that diffusers' FLUX pipelines wrote. adapter: the published `.bin`, InstantX's, or a file of ours,
    whose own design then holds. torch_dtype: of all, or by name, with a `default`. quantization: of the transformer,
    "int8" or "nf4". parts: of the base, in place of its own; None leaves one out, and without a transformer the LoRA.

    Raises:
        WeightsError: a part that is nowhere, not whole, or does not fit the others.
        UsageError, MissingExtraError: a quantisation that there is not, or its package; a dtype that is none.
    """
    own = dict(parts or {})
    dtypes = dtype_by_part(torch_dtype)
    quantized = memory.quantization_config(quantization, dtypes("transformer"))
    editor = lora not in (False, "none") and own.get("transformer", True) is not None
    # All are found before any is loaded, so that what is missing is told at once.
    folder = _find_base(places, _text(base), own)
    seeing = find(FLUX_DEV["image_encoder"], places, _text(image_encoder))
    reading = find(FLUX_DEV["adapter"], places, _text(adapter))
    editing = find(FLUX_DEV["lora"], places, _text(lora)) if editor else None
    encoder, processor = _image_encoder(seeing, dtypes("image_encoder"))
    loaded = own | _base(folder, dtypes, quantized, own)
    shape = shape_of(loaded["transformer"] or _empty_transformer(folder / "transformer"))
    reader = _adapter(reading, shape, seeing, encoder, dtypes("adapter"))
    if loaded["transformer"] is not None:
        reader.attach(loaded["transformer"])
        if editing:
            load_lora(loaded["transformer"], editing, LORA_NAME)
    return Components(adapter=reader, image_encoder=encoder, image_processor=processor, **loaded)


def load_base(
    places: Places,
    design: ModelConfig,
    base: str | None = None,
    image_encoder: str | None = None,
    torch_dtype: torch.dtype = torch.bfloat16,
    quantization: str | None = None,
    parts: Mapping[str, Any] | None = None,
) -> Components:
    """FLUX.1-dev and the image encoder for a design. The adapter has no weights, only the design, fitted to what is
    found; it is attached to nothing.

    parts: as in `load_flux_dev`; `image_encoder` may be None as well, the design then tells what was seen. Raises
    WeightsError as `load_flux_dev`.
    """
    own = dict(parts or {})
    quantized = memory.quantization_config(quantization, torch_dtype)
    folder = find(FLUX_DEV["base"], places, base)
    fitted = replace(design, transformer=shape_of(_empty_transformer(folder / "transformer")))
    seen: dict[str, Any] = {}
    if not design.image_features.startswith("siglip"):
        width = fitted.transformer.in_channels
        fitted = replace(fitted, feature_dim=width, token_dim=width)
    elif own.pop("image_encoder", True) is not None:
        encoder, processor = _image_encoder(find(FLUX_DEV["image_encoder"], places, image_encoder), torch_dtype)
        seen = {"image_encoder": encoder, "image_processor": processor}
        sees: Any = encoder.config
        fitted = replace(fitted, feature_dim=sees.hidden_size, exemplar_size=sees.image_size)
    with torch.device("meta"):
        adapter = RelationAdapter(to_dict(fitted))
    loaded = own | _base(folder, lambda _: torch_dtype, quantized, own)
    return Components(adapter=adapter, **seen, **loaded)


def load_in_context(
    places: Places,
    base: str | None = None,
    torch_dtype: torch.dtype = torch.bfloat16,
    quantization: str | None = None,
) -> Components:
    """The paper's ablation beside FLUX.1-dev: no adapter and no SigLIP, the pair is tokens in context; no LoRA yet.

    Raises as `load_flux_dev`.
    """
    quantized = memory.quantization_config(quantization, torch_dtype)
    loaded = _base(find(FLUX_DEV["base"], places, base), lambda _: torch_dtype, quantized, {})
    shape = shape_of(loaded["transformer"])
    width = shape.in_channels
    adapter = RelationAdapter(
        to_dict(replace(MODELS["in_context"], transformer=shape, feature_dim=width, token_dim=width))
    )
    adapter.attach(loaded["transformer"])
    return Components(adapter=adapter, **loaded)


def _text(place: Any) -> str | None:
    return None if place is None or place is True else str(place)


def dtype_by_part(given: Any) -> Callable[[str], torch.dtype]:
    """A part's name to its dtype; given: one for all, or a dict of them, with a `default`."""
    by_name = dict(given) if isinstance(given, Mapping) else {"default": given}
    wrong = [value for value in by_name.values() if not isinstance(value, torch.dtype)]
    if wrong:
        raise UsageError(f"torch_dtype={wrong[0]!r} is no dtype; give torch.bfloat16, or a dict of these by part")
    return lambda name: by_name.get(name, by_name.get("default", torch.float32))


def _find_base(places: Places, base: str | None, own: dict[str, Any]) -> Path:
    """The folder of the base; of one that is not needed but for the transformer's shape, its config alone."""
    part = FLUX_DEV["base"]
    unused = own.get("transformer", True) is None and all(name in own for name in _OF_BASE if name != "scheduler")
    if not unused:
        return find(part, places, base)
    own.setdefault("scheduler", None)
    lies = tuple(f"{place}/{_SHAPE}" for place in part.local)
    config = replace(part, patterns=(_SHAPE,), file=_SHAPE, size=0, local=lies)
    given = base and (f"{base}/{_SHAPE}" if Path(base).expanduser().is_dir() else f"{base}:{_SHAPE}")
    return find(config, places, given).parent.parent


def _base(folder: Path, dtypes: Callable[[str], torch.dtype], quantized: Any, own: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a folder that diffusers' FLUX pipelines wrote, but for those of `own`; the largest comes last."""
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
    from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5TokenizerFast

    plain = {"scheduler": FlowMatchEulerDiscreteScheduler, "tokenizer": CLIPTokenizer, "tokenizer_2": T5TokenizerFast}
    heavy = {
        "vae": AutoencoderKL,
        "text_encoder": CLIPTextModel,
        "text_encoder_2": T5EncoderModel,
        "transformer": FluxTransformer2DModel,
    }
    made = {name: _plain(kind, folder / name) for name, kind in plain.items() if name not in own}
    if "transformer" not in own:
        _check_shards(folder / "transformer")
    for name, kind in heavy.items():
        if name not in own:
            more = {"quantization_config": quantized} if quantized and name == "transformer" else {}
            made[name] = _weights(kind, folder / name, dtypes(name), **more)
    return made


def _check_shards(folder: Path) -> None:
    """Whether the files hold the weights that the config asks for, and no others; by their headers.

    Of a sharded model diffusers tells neither: it leaves what is missing without memory, and drops what is unknown.
    """
    empty = _empty_transformer(folder)
    if "quantization_config" in empty.config:
        return  # names of its library's own
    files = (read_header(path) for path in sorted(folder.glob("*.safetensors")))
    found = {key: shape for file in files for key, (_, shape) in file.tensors.items()}
    compare_shapes(folder, {key: tuple(value.shape) for key, value in empty.state_dict().items()}, found)


def _empty_transformer(folder: Path) -> Any:
    """A transformer without memory for its weights: what its config says."""
    from diffusers import FluxTransformer2DModel

    with unusable(folder), torch.device("meta"):
        return FluxTransformer2DModel.from_config(FluxTransformer2DModel.load_config(folder, local_files_only=True))


def _image_encoder(folder: Path, dtype: torch.dtype) -> tuple[nn.Module, Any]:
    """The vision half of a SigLIP checkpoint, and what prepares its pictures."""
    # The Pil processor: the plain name warns and falls back to it where torchvision is absent.
    from transformers import SiglipImageProcessorPil, SiglipVisionModel

    other_half = ("text_model.", "logit_scale", "logit_bias")
    with silent():  # transformers reports the half that is left out
        encoder = _weights(SiglipVisionModel, folder, dtype, unused=other_half)
    return encoder, _plain(SiglipImageProcessorPil, folder)


def _adapter(path: Path, shape: TransformerConfig, seeing: Path, encoder: Any, dtype: torch.dtype) -> RelationAdapter:
    """The adapter for a base of this shape and this image encoder."""
    sees = encoder.config
    adapter = load_adapter(path, None if is_own(path) else published_design(path, shape, sees.image_size), dtype)
    if adapter.design.feature_dim != sees.hidden_size:
        raise WeightsError(
            f"{path}: reads features of width {adapter.design.feature_dim}, the image encoder {seeing} has "
            f"{sees.hidden_size}; give the two that belong together"
        )
    return adapter


def _plain(kind: Any, folder: Path) -> Any:
    """A part without weights."""
    with unusable(folder):
        return kind.from_pretrained(folder, local_files_only=True)


def _weights(kind: Any, folder: Path, dtype: torch.dtype, unused: tuple[str, ...] = (), **options: Any) -> Any:
    """A part with weights: every weight of the part in the files, and nothing in the files but `unused` left over."""
    with unusable(folder):
        part, info = kind.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, torch_dtype=dtype, **options
        )
    missing = sorted(info["missing_keys"])
    left = sorted(key for key in info["unexpected_keys"] if not key.startswith(unused))
    if missing or left:
        what = f"lacks {missing[0]}" if missing else f"has unknown {left[0]}"
        raise WeightsError(f"{folder}: {what}; it is of another model, or damaged: download it again")
    return part.eval()
