"""LoRA on the base transformer: which layers, adding, loading strictly, weighing.

The adapter is a module of its own, so a LoRA never catches its weights, and needs no care about the order.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from diffusers.loaders import FluxLoraLoaderMixin
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY as SETTINGS
from peft import LoraConfig, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.utils.other import get_pattern_key
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.files import reason, writing_whole
from relation_adapter.model.weights import opened

# All attention and feed-forward layers of the double blocks, query, key and value of the single ones: at rank 128 on
# FLUX.1-dev these are the paper's 358.6 M weights.
TARGETS = (
    "attn.to_q",
    "attn.to_k",
    "attn.to_v",
    "attn.to_out.0",
    "attn.add_q_proj",
    "attn.add_k_proj",
    "attn.add_v_proj",
    "attn.to_add_out",
    "ff.net.0.proj",
    "ff.net.2",
    "ff_context.net.0.proj",
    "ff_context.net.2",
)
TRANSFORMER, TEXT_ENCODER = "transformer", "text_encoder"
CLIP_PREFIX = "text_model."
# What diffusers makes of kohya's names of CLIP: `.to_q_lora.down.weight`, `.fc1.lora_linear_layer.up.weight`.
OLD_HALF = r"\.(?:to_(?P<attention>q|k|v|out)_lora|(?P<other>\w+)\.lora_linear_layer)\.(?P<half>down|up)\.weight$"
DOWN, UP = ".lora_A.weight", ".lora_B.weight"


def add_lora(
    transformer: FluxTransformer2DModel,
    rank: int,
    targets: tuple[str, ...] = TARGETS,
    name: str = "editor",
    seed: int | None = None,
) -> list[nn.Parameter]:
    """Add a fresh LoRA (alpha = rank, Gaussian A, zero B: at first it changes nothing) and return its parameters.

    With a seed they are always the same and torch's global generator is left as it was.

    Raises:
        UsageError: the name is taken.
    """
    if name in lora_names(transformer):
        raise UsageError(f"The transformer already has a LoRA called {name!r}; choose another name or unload it.")
    config = LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=list(targets))
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        transformer.add_adapter(config, name)
    return [p for key, p in transformer.named_parameters() if ".lora_" in key and f".{name}." in key]


def load_lora(transformer: FluxTransformer2DModel, path: str | os.PathLike[str], name: str = "editor") -> None:
    """Load a LoRA file in the form of diffusers, or in one that diffusers converts (kohya, XLabs), strictly.

    At weight 1; it joins those that are active already.

    Raises:
        UsageError: the name is taken.
        WeightsError: not such a file, or with a layer or a shape that this transformer does not have.
    """
    if name in lora_names(transformer):
        raise UsageError(f"The transformer already has a LoRA called {name!r}; choose another name or unload it.")
    state = read_lora(path)
    check_lora(path, state, {TRANSFORMER: transformer})
    add_to_transformer(transformer, state, name)


def save_lora(
    transformer: FluxTransformer2DModel,
    path: str | os.PathLike[str],
    name: str = "editor",
    dtype: torch.dtype | None = None,
) -> None:
    """Write one LoRA of the transformer in the form of diffusers, whole or not at all; `load_lora` reads it.

    Only for those of alpha = rank, as `add_lora` makes them. dtype: of the file, else that of the weights. Raises
    WeightsError where the disk refuses.
    """
    layers = get_peft_model_state_dict(transformer, adapter_name=name)
    state = {f"{TRANSFORMER}.{key}": value.to("cpu", dtype).contiguous() for key, value in layers.items()}
    try:
        with writing_whole(Path(path)) as part:
            save_file(state, part, {"format": "pt"})
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be written ({reason(error)}); free some space") from error


def add_to_transformer(
    transformer: FluxTransformer2DModel, state: dict[str, Tensor], name: str, pipe: Any = None
) -> None:
    """Add the LoRA of a checked state at weight 1, beside those that are active; `pipe` knows how it is offloaded."""
    active = active_loras(transformer)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # several are meant to be there
        transformer.load_lora_adapter(state, prefix=TRANSFORMER, adapter_name=name, _pipeline=pipe)
    transformer.set_adapter([*active, name])  # loading leaves the new one alone active


def weigh_layer(layer: Any, name: str, weight: float) -> None:
    """Weigh one LoRA in one of `lora_layers`; every file is read so that 1 is the weight it was trained for.

    Made ready for hot-swapping, weights are tensors that change in place: compiled code goes on reading them.
    """
    if name in layer.scaling:
        old = layer.scaling[name]
        layer.scaling[name] = old.fill_(weight) if isinstance(old, Tensor) else float(weight)


def lora_names(part: nn.Module | None) -> list[str]:
    """The LoRAs that the transformer, or another part, has, active or not."""
    return list(getattr(part, "peft_config", None) or {})


def active_loras(part: nn.Module | None) -> list[str]:
    """Those that are in use, in the order in which they were activated."""
    return next((list(layer.active_adapters) for layer in lora_layers(part)), [])


def fused_loras(part: nn.Module | None) -> list[str]:
    """Those that are in the base weights and can still be taken out of them."""
    return sorted({name for layer in lora_layers(part) for name in layer.merged_adapters})


def lora_layers(part: nn.Module | None) -> list[Any]:
    """The layers that peft put around those of the base."""
    return [] if part is None else [layer for layer in part.modules() if isinstance(layer, LoraLayer)]


def read_lora(source: str | os.PathLike[str] | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by diffusers' names (`transformer.*`, `text_encoder.*`), scaled so that weight 1 is as they were trained.

    source: a safetensors file of diffusers, peft, kohya or XLabs, or what is in one.

    Raises:
        WeightsError: not a safetensors file, or no LoRA that can be read.
    """
    label, metadata = lora_label(source), dict[str, str]()
    if isinstance(source, Mapping):
        content = dict(source)
    else:
        with opened(source) as file:
            content = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    if any("dora_scale" in key or "lora_magnitude_vector" in key for key in content):
        raise WeightsError(f"{label}: is a DoRA, which this program does not know; give a plain LoRA")
    try:
        state, alphas = FluxLoraLoaderMixin.lora_state_dict(content, return_alphas=True)
        settings = json.loads(metadata.get(SETTINGS, "null"))
        return _scaled(_plain_names(state), alphas or {}, settings or {})
    except Exception as error:  # The converters trust what they read, and raise anything.
        raise WeightsError(
            f"{label}: not a LoRA that diffusers can read ({reason(error)[:200]}); give a LoRA for FLUX"
        ) from error


def lora_label(source: str | os.PathLike[str] | Mapping[str, Tensor]) -> str:
    """What a message calls a LoRA."""
    return "the LoRA's tensors" if isinstance(source, Mapping) else str(source)


def _plain_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The two halves named `lora_A` and `lora_B` everywhere, and the transformer's layers by their prefix."""
    texts = {key: value for key, value in state.items() if key.startswith(f"{TEXT_ENCODER}.")}
    others = {key: value for key, value in state.items() if key not in texts}
    texts = {re.sub(OLD_HALF, _new_half, _with_clip_prefix(key)): value for key, value in texts.items()}
    prefixed = {key if key.startswith(f"{TRANSFORMER}.") else f"{TRANSFORMER}.{key}": others[key] for key in others}
    return prefixed | texts


def _with_clip_prefix(key: str) -> str:
    """CLIP's layers as LoRA files have always called them; newer transformers dropped the prefix."""
    part, _, name = key.partition(".")
    return key if name.startswith(CLIP_PREFIX) else f"{part}.{CLIP_PREFIX}{name}"


def _new_half(found: re.Match[str]) -> str:
    layer = f"{found['attention']}_proj" if found["attention"] else found["other"]
    return f".{layer}{DOWN if found['half'] == 'down' else UP}"


def _scaled(state: dict[str, Tensor], alphas: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """The up half of every layer times alpha / rank, from the file's tensors or, as diffusers keeps it, its metadata.

    diffusers keeps alphas beside the weights; a swapped LoRA would then go on with the last one's.
    """
    scaled = dict(state)
    for key in (key for key in state if key.endswith(UP) and state[key].ndim == 2):
        layer, rank = key.removesuffix(UP), state[key].shape[1]
        alpha, root = alphas.get(f"{layer}.alpha"), False
        part, _, name = layer.partition(".")
        if f"{part}.lora_alpha" in settings:
            patterns = settings.get(f"{part}.alpha_pattern") or {}
            alpha = patterns.get(get_pattern_key(patterns.keys(), name), settings[f"{part}.lora_alpha"])
            root = bool(settings.get(f"{part}.use_rslora"))
        if alpha is not None and float(alpha) != rank:
            scaled[key] = state[key] * (float(alpha) / (rank**0.5 if root else rank))
    return scaled


def check_lora(
    source: str | os.PathLike[str] | Mapping[str, Tensor], state: Mapping[str, Tensor], parts: Mapping[str, Any]
) -> None:
    """Every weight belongs to a layer of one of the parts, `{"transformer": ...}`, and both halves are there and fit.

    Raises:
        WeightsError: one line that names the file and the layer.
    """
    label, layers = lora_label(source), {key.removesuffix(DOWN).removesuffix(UP) for key in state}
    expected = {f"{layer}{half}" for layer in layers for half in (DOWN, UP)}
    if not state or expected != state.keys():
        odd = sorted(expected.symmetric_difference(state))
        raise WeightsError(f"{label}: has no whole LoRA ({(odd or ['empty'])[0]}); give a LoRA for FLUX")
    linears = {f"{part}.{name}": layer for part, module in parts.items() for name, layer in _linears(module)}
    for layer in sorted(layers):
        if layer not in linears:
            raise WeightsError(f"{label}: changes {layer}, which this model does not have; give a LoRA for this model")
        module, down, up = linears[layer], state[layer + DOWN], state[layer + UP]
        fits = down.ndim == up.ndim == 2 and down.shape[0] == up.shape[1]
        if not fits or (up.shape[0], down.shape[1]) != (module.out_features, module.in_features):
            raise WeightsError(
                f"{label}: {layer} is {tuple(up.shape)} x {tuple(down.shape)}, the layer {module.out_features} x "
                f"{module.in_features}; give a LoRA for this model"
            )
        if not (down.isfinite().all() and up.isfinite().all()):
            raise WeightsError(f"{label}: {layer} holds numbers that are not finite; copy or download it again")


def _linears(module: nn.Module | None) -> Iterator[tuple[str, Any]]:
    """The layers that can have a LoRA, by name; CLIP's with the prefix that LoRA files give them."""
    prefix = CLIP_PREFIX if hasattr(module, "embeddings") else ""
    for name, layer in module.named_modules() if module is not None else ():
        # By its attributes: a layer that already has a LoRA is peft's wrapper and not nn.Linear.
        if hasattr(layer, "in_features") and hasattr(layer, "out_features"):
            yield prefix + name, layer
