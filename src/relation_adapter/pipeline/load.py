"""A model by its name or path: what lies there, and a saved pipeline's folder or a single file loaded."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.files import SHIPPED, reason
from relation_adapter.header import read_header
from relation_adapter.model.components import Components
from relation_adapter.model.weights import load_model
from relation_adapter.pipeline.flux_dev import NAME, dtype_by_part

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
MODEL_FILE = "model.safetensors"  # in the folder of a training run


def model_path(model: str | os.PathLike[str], index: str) -> Path:
    """The folder of a saved pipeline, which holds `index`, or the .safetensors file, that `model` stands for.

    Raises:
        UsageError: no such model.
    """
    path = SHIPPED.get(str(model), Path(model))
    if path.is_dir():
        return path / MODEL_FILE if (path / MODEL_FILE).is_file() and not (path / index).exists() else path
    if path.suffix != ".safetensors":
        raise UsageError(
            f"No model is called {str(model)!r}; there are: {', '.join((*SHIPPED, NAME))}, the folder of a saved "
            "pipeline, a .safetensors file"
        )
    return path


def load_file(path: Path, options: dict[str, Any]) -> Components:
    """The parts that one of our files holds, in `torch_dtype`: one, or by the names of the parts, with a "default".

    Raises:
        UsageError: an option that does not apply to a single file.
        WeightsError: a file that cannot be used.
    """
    dtype = options.pop("torch_dtype", None) or torch.float32
    if options:
        raise UsageError(f"{next(iter(options))} does not apply to a single file; save_pretrained makes a folder of it")
    if not isinstance(dtype, Mapping):
        return load_model(path, dtype)
    parts, dtypes = load_model(path, torch.float32), dtype_by_part(dtype)
    with casting():
        for name, part in vars(parts).items():
            if isinstance(part, torch.nn.Module):
                part.to(dtypes(name))
    return parts


def load_folder(path: Path, index: str, load: Callable[..., Any], options: dict[str, Any]) -> Any:
    """The pipeline that diffusers' own `load` makes of a folder with `index`; dtypes as they were saved, unless given.

    Raises:
        WeightsError: no saved pipeline, or parts that are missing, damaged or of another kind.
    """
    _check_index(path / index)
    try:
        # By the new name: the old one warns. Without any, diffusers' own parts would come as float32, others as saved.
        dtype = options.pop("torch_dtype", None) or _saved_dtypes(path, options.get("variant"))
        pipe = load(path, dtype=dtype, **options)
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError, TypeError) as error:
        # diffusers and transformers raise any of these on parts that are missing, damaged or of another kind.
        raise WeightsError(f"{path}: cannot be loaded ({reason(error)}); save the pipeline again") from error
    _align(*(part for part in pipe.components.values() if isinstance(part, torch.nn.Module)))
    return pipe


def _check_index(index: Path) -> None:
    if not index.is_file():
        raise WeightsError(f"{index.parent}: has no {index.name}, so it is no saved pipeline; give another folder")
    try:
        kind = json.loads(index.read_bytes())["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{index}: cannot be read ({reason(error)}); save the pipeline again") from error
    if str(kind).startswith("Flux"):
        raise WeightsError(
            f"{index.parent}: is a base without an adapter ({kind}); give flux-dev as the model, and this as its base"
        )


def _saved_dtypes(path: Path, variant: str | None) -> dict[str, Any]:
    """The dtype of each part whose files have only one."""
    found: dict[str, Any] = {"default": torch.float32}
    for folder in sorted(path.iterdir()):
        files = [file for file in folder.glob("*.safetensors") if (f".{variant}" in file.name) == (variant is not None)]
        dtypes = {dtype for file in files for dtype in read_header(file).dtypes()}
        if len(dtypes) == 1 and (kind := DTYPES.get(*dtypes)):
            found[folder.name] = kind
    return found


@contextmanager
def casting() -> Iterator[None]:
    """For `to(dtype)` of diffusers' models: 0.42.1 warns of modules to keep in float32 where there are none."""
    log = logging.getLogger("diffusers.models.modeling_utils")

    def means_something(record: logging.LogRecord) -> bool:
        return "kept in float32: []" not in record.getMessage()

    log.addFilter(means_something)
    try:
        yield
    finally:
        log.removeFilter(means_something)


def _align(*parts: torch.nn.Module) -> None:
    """Copy weights that lie oddly in memory, as in the file they were mapped from: products would round differently."""
    for weight in (weight for part in parts for weight in part.parameters()):
        if weight.device.type == "cpu" and weight.is_floating_point() and weight.data_ptr() % 64:
            weight.data = weight.data.clone()
