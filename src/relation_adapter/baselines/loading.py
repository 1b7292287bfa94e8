"""A diffusers pipeline from its folder, whole or not at all, with LoRAs, placed where the GPU has room for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxTransformer2DModel, PipelineQuantizationConfig
from torch import nn

from relation_adapter.baselines import Choices
from relation_adapter.errors import WeightsError
from relation_adapter.hub import FLUX_DEV, Part, find
from relation_adapter.loading import unusable
from relation_adapter.model.lora import load_lora
from relation_adapter.pipeline import memory

NO_LORA = "none"
Loras = list[tuple[Path, float]]


def load_pipeline(kind: Any, written: str, part: Part, choices: Choices, **parts: Any) -> Any:
    """The pipeline of class `kind`, of a folder that one of class `written` was saved to, on the GPU if there is one.

    parts: as `from_pretrained` of diffusers takes them, in place of the folder's own; functions of the folder are
    called with it.

    Raises:
        WeightsError: the part is nowhere, not whole, of another kind of pipeline, or a LoRA does not fit.
        UsageError, MissingExtraError: a quantisation that there is not, or its package.
    """
    folder = find(part, choices.places, choices.base)
    _check_kind(folder, written, part)
    loras, plan = find_loras(choices), plan_for(part, choices)
    quantized = memory.quantization_config(plan.quantization)
    if quantized is not None:
        parts["quantization_config"] = PipelineQuantizationConfig(quant_mapping={"transformer": quantized})
    placeable: Any = type(kind.__name__, (memory.OffloadMixin, kind), {})
    with unusable(folder):
        made = {name: part(folder) if callable(part) else part for name, part in parts.items()}
        pipe = placeable.from_pretrained(folder, local_files_only=True, dtype=torch.bfloat16, **made)
    _check_whole(folder, pipe)
    finish(pipe, loras, plan)
    return pipe


def find_loras(choices: Choices) -> Loras:
    """Where the LoRAs lie, but "none", and their weights: found before anything is loaded. Raises WeightsError."""
    wanted = [(name, weight) for name, weight in choices.loras if name != NO_LORA]
    return [(find(FLUX_DEV["lora"], choices.places, name), weight) for name, weight in wanted]


def finish(pipe: Any, loras: Loras, plan: memory.MemoryPlan) -> None:
    """Add the LoRAs and place the parts. Raises WeightsError where a LoRA does not fit."""
    _add_loras(pipe, loras)
    pipe.set_progress_bar_config(disable=None, leave=False, unit="step")  # None: on a terminal
    memory.place(pipe, plan)


def plan_for(part: Part, choices: Choices) -> memory.MemoryPlan:
    """What to do with the GPU. The plans are for FLUX.1-dev: a model twice as large has half of the memory for it."""
    gib = choices.memory
    if not torch.cuda.is_available():
        return memory.plan_for(None, choices.quantize)
    total = torch.cuda.mem_get_info()[1] if gib is None else gib * 2**30
    plan = memory.plan_for_device(round(total * FLUX_DEV["base"].size / part.size))
    return plan if choices.quantize is None else memory.plan_for(plan.gib, choices.quantize)


def name_of(name: str, choices: Choices) -> str:
    """The baseline's name and all that changes results: a batch goes on only with what an editor of its name made."""
    parts = {key: getattr(choices, key) for key in ("base", "steps", "guidance", "quantize")}
    parts["size"] = choices.size and "x".join(map(str, choices.size))
    said = [f"{key}={value}" for key, value in parts.items() if value is not None]
    return " ".join([name, *said, *(f"lora={lora}:{weight:g}" for lora, weight in choices.loras)])


def _check_kind(folder: Path, written: str, part: Part) -> None:
    """Whether the folder holds the kind of pipeline that is wanted: others of the same parts would load as well."""
    found = json.loads((folder / "model_index.json").read_text()).get("_class_name")
    if found != written:
        raise WeightsError(f"{folder}: holds a {found}, not a {written}; give {part.repo}, or its like, as the base")


def _check_whole(folder: Path, pipe: Any) -> None:
    """Diffusers leaves a weight that is in no file without memory, and says nothing."""
    for name, component in pipe.components.items():
        if isinstance(component, nn.Module):
            lacking = next((key for key, value in component.state_dict().items() if value.is_meta), None)
            if lacking:
                raise WeightsError(f"{folder / name}: lacks {lacking}; it is of another model: download it again")


def _add_loras(pipe: Any, loras: Loras) -> None:
    """Beside each other, at their weights."""
    names = [f"lora{number}" for number in range(len(loras))]
    for name, (path, _) in zip(names, loras, strict=True):
        if isinstance(pipe.transformer, FluxTransformer2DModel):
            load_lora(pipe.transformer, path, name)
            continue
        with unusable(path):
            pipe.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=name, local_files_only=True)
        if name not in (getattr(pipe.transformer, "peft_config", None) or {}):
            raise WeightsError(f"{path}: holds no LoRA of this model; check which model it was trained for")
    if loras:
        pipe.set_adapters(names, [weight for _, weight in loras])
