"""The trained weights as the files that `edit` takes, each whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import save_file

from relation_adapter.errors import WeightsError
from relation_adapter.files import reason, writing_whole
from relation_adapter.model.components import Components
from relation_adapter.model.lora import TRANSFORMER, lora_names
from relation_adapter.model.weights import save_adapter, save_model

MODEL_NAME, ADAPTER_NAME, LORA_FILE = "model.safetensors", "adapter.safetensors", "lora.safetensors"


def save_trained(components: Components, folder: Path, provenance: Mapping[str, Any] | None = None) -> list[Path]:
    """Write what a run has made, in bfloat16, and return the files.

    From scratch: `model.safetensors`, for `--model`. Beside a base: `adapter.safetensors` for `--adapter` and
    `lora.safetensors` for `--lora`. Raises WeightsError when the disk refuses.
    """
    if components.design.base is None:
        save_model(folder / MODEL_NAME, components, provenance, torch.bfloat16)
        return [folder / MODEL_NAME]
    files = []
    if components.design.relation_branch == "adapter":
        save_adapter(folder / ADAPTER_NAME, components.adapter, provenance, torch.bfloat16)
        files.append(folder / ADAPTER_NAME)
    for name in lora_names(components.transformer):
        _save_lora(components, name, folder / LORA_FILE)
        files.append(folder / LORA_FILE)
    return files


def _save_lora(components: Components, name: str, path: Path) -> None:
    """In the form of diffusers; alpha is the rank, so nothing else need be told."""
    state = get_peft_model_state_dict(components.transformer, adapter_name=name)
    tensors = {f"{TRANSFORMER}.{key}": value.to("cpu", torch.bfloat16).contiguous() for key, value in state.items()}
    try:
        with writing_whole(path) as part:
            save_file(tensors, part, {"format": "pt"})
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be written ({reason(error)}); free some space") from error
