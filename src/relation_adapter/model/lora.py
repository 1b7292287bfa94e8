"""LoRA on the base transformer: which layers, adding, loading strictly, weighting, fusing and taking away.

The adapter is a module of its own, so a LoRA never catches its weights, and needs no care about the order.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from diffusers.loaders import FluxLoraLoaderMixin
from peft import LoraConfig
from torch import Tensor, nn

from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.files import reason
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
PREFIX = "transformer."
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


def load_lora(
    transformer: FluxTransformer2DModel, path: str | os.PathLike[str], name: str = "editor", weight: float = 1.0
) -> None:
    """Load a LoRA file in the form of diffusers, or in one that diffusers converts (kohya, XLabs), strictly.

    Raises:
        UsageError: the name is taken.
        WeightsError: not such a file, or with a layer or a shape that this transformer does not have.
    """
    if name in lora_names(transformer):
        raise UsageError(f"The transformer already has a LoRA called {name!r}; choose another name or unload it.")
    state, alphas = _read(path)
    _check(path, transformer, state)
    transformer.load_lora_adapter(state, prefix="transformer", adapter_name=name, network_alphas=alphas)
    weigh_loras(transformer, {name: weight})


def weigh_loras(transformer: FluxTransformer2DModel, weights: dict[str, float]) -> None:
    """Use the named LoRAs at these weights, and no others.

    Raises:
        UsageError: no LoRA of that name.
    """
    unknown = sorted(weights.keys() - set(lora_names(transformer)))
    if unknown:
        raise UsageError(
            f"No LoRA is called {unknown[0]!r}; there are: {', '.join(lora_names(transformer)) or 'none'}."
        )
    transformer.set_adapters(list(weights), list(weights.values()))


def fuse_lora(transformer: FluxTransformer2DModel) -> None:
    """Add the active LoRAs to the base weights, at the weights they have now: no cost per step any more."""
    transformer.fuse_lora()


def unfuse_lora(transformer: FluxTransformer2DModel) -> None:
    """Take fused LoRAs out again; the base weights are then right to rounding, not to the bit."""
    transformer.unfuse_lora()


def unload_lora(transformer: FluxTransformer2DModel) -> None:
    """Remove all LoRAs; what was fused stays in the weights."""
    if lora_names(transformer):
        transformer.unload_lora()


def lora_names(transformer: FluxTransformer2DModel) -> list[str]:
    """The LoRAs that the transformer has, active or not."""
    return list(getattr(transformer, "peft_config", None) or {})


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights by diffusers' names, and the alphas that differ from the rank."""
    with opened(path) as file:
        content = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    try:
        state, alphas = FluxLoraLoaderMixin.lora_state_dict(content, return_alphas=True)
    except (ValueError, KeyError, RuntimeError, NotImplementedError, AttributeError) as error:
        raise WeightsError(
            f"{path}: not a LoRA that diffusers can read ({reason(error)}); give a LoRA for FLUX"
        ) from error
    return state, alphas or {}


def _check(path: str | os.PathLike[str], transformer: FluxTransformer2DModel, state: dict[str, Tensor]) -> None:
    """Every weight belongs to a layer of the transformer, and both halves are there and fit."""
    layers = {key.removesuffix(DOWN).removesuffix(UP) for key in state}
    expected = {f"{layer}{half}" for layer in layers for half in (DOWN, UP)}
    if not state or expected != state.keys():
        odd = sorted(expected.symmetric_difference(state))
        raise WeightsError(f"{path}: has no whole LoRA ({(odd or ['empty'])[0]}); give a LoRA for FLUX")
    linears = {PREFIX + name: module for name, module in transformer.named_modules() if _is_linear(module)}
    for layer in sorted(layers):
        if layer not in linears:
            raise WeightsError(f"{path}: changes {layer}, which this model does not have; give a LoRA for this model")
        module, down, up = linears[layer], state[layer + DOWN], state[layer + UP]
        fits = down.ndim == up.ndim == 2 and down.shape[0] == up.shape[1]
        if not fits or (up.shape[0], down.shape[1]) != (module.out_features, module.in_features):
            raise WeightsError(
                f"{path}: {layer} is {tuple(up.shape)} x {tuple(down.shape)}, the layer {module.out_features} x "
                f"{module.in_features}; give a LoRA for this model"
            )


def _is_linear(module: nn.Module) -> bool:
    # By its attributes: a layer that already has a LoRA is peft's wrapper and not nn.Linear.
    return hasattr(module, "in_features") and hasattr(module, "out_features")
