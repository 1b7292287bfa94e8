"""The trained weights as the files that `edit` takes, each whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from relation_adapter.model.components import Components
from relation_adapter.model.lora import lora_names, save_lora
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
    if components.design.relation_branch == "adapter" or components.design.roles:
        save_adapter(folder / ADAPTER_NAME, components.adapter, provenance, torch.bfloat16)
        files.append(folder / ADAPTER_NAME)
    for name in lora_names(components.transformer):
        save_lora(components.transformer, folder / LORA_FILE, name, torch.bfloat16)
        files.append(folder / LORA_FILE)
    return files
