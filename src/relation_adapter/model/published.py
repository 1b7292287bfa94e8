"""The published adapter file: its names by an explicit table, its geometry, and the way from it to a file of ours.

It is a pickle of the dicts `image_proj` and `ip_adapter`, opened with `weights_only`, so that no code in it can run.
InstantX's FLUX.1-dev IP-Adapter, its ancestor, has the same form and the same names.
"""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relation_adapter.config import MODELS, ModelConfig, TransformerConfig, to_dict
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.model.adapter import RelationAdapter
from relation_adapter.model.weights import (
    compare_shapes,
    first_sentence,
    is_own,
    load_own_adapter,
    opened,
    save_adapter,
    some_of,
)

_PROJECTOR = ("proj.0.weight", "proj.0.bias", "proj.2.weight", "proj.2.bias", "norm.weight", "norm.bias")


def load_adapter(
    path: str | os.PathLike[str], design: ModelConfig | None = None, dtype: torch.dtype | None = None
) -> RelationAdapter:
    """An adapter from the published file, which needs the design, or from a file of ours, which holds its own.

    dtype: of the weights, else as they are in the file.

    Raises:
        UsageError: a published file and no design, or one with another projector.
        WeightsError: a file that is none of these, or does not fit the design.
    """
    if is_own(path):
        return load_own_adapter(path, dtype)
    if design is None:
        raise UsageError(f"{path}: says nothing of its design; give one, or convert it first (models convert)")
    state = load_published_adapter(path, design)
    with torch.device("meta"):
        adapter = RelationAdapter(to_dict(design))
    adapter.load_state_dict({key: value.to(dtype=dtype) for key, value in state.items()}, strict=True, assign=True)
    return adapter.eval()


def convert_adapter(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    design: ModelConfig,
    dtype: torch.dtype | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a published file as one of ours: safetensors with the config inside, whole or not at all.

    dtype: of the weights, else as they are. provenance: plain JSON values, kept in the file.

    Raises:
        UsageError, WeightsError: as `load_published_adapter`; the result cannot be written.
    """
    save_adapter(out, load_adapter(path, design), {"converted_from": Path(path).name, **(provenance or {})}, dtype)


def published_design(path: str | os.PathLike[str], transformer: TransformerConfig, exemplar_size: int) -> ModelConfig:
    """The published method at the sizes of a published file, which its shapes tell.

    transformer: the base's shape. exemplar_size: side of the image encoder's pictures, px.

    Raises:
        WeightsError: not a published adapter file.
    """
    tensors = _published_tensors(path)
    try:
        feature_dim = tensors["image_proj.proj.0.weight"].shape[1]
        token_dim = tensors["image_proj.norm.weight"].shape[0]
        num_tokens = tensors["image_proj.proj.2.weight"].shape[0] // token_dim
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise WeightsError(f"{path}: has no image projector; give the published adapter file") from error
    return replace(
        MODELS["published"],
        transformer=transformer,
        feature_dim=feature_dim,
        exemplar_size=exemplar_size,
        num_tokens=num_tokens,
        token_dim=token_dim,
    )


def load_published_adapter(path: str | os.PathLike[str], design: ModelConfig) -> dict[str, Tensor]:
    """The published adapter file as a state dict of `RelationAdapter(design)`, in the file's dtype.

    path: the `.bin`, or a safetensors with the same keys joined by dots. What the design has beyond the published
    method (role embeddings, a null for absent text) starts at zero.

    Raises:
        UsageError: the design has another projector.
        WeightsError: not such a file, or with keys or shapes that the design does not have.
    """
    if design.projector != "pooled_mlp":
        raise UsageError(f"The published adapter has projector=pooled_mlp; the design has {design.projector}.")
    with torch.device("meta"):
        expected = {key: value.shape for key, value in RelationAdapter(to_dict(design)).state_dict().items()}
    names = published_names(design)
    found = _published_tensors(path)
    wanted = {theirs: tuple(expected[ours]) for theirs, ours in names.items()}
    compare_shapes(path, wanted, {key: tuple(value.shape) for key, value in found.items()})
    state = {ours: found[theirs] for theirs, ours in names.items()}
    return state | {key: torch.zeros(shape) for key, shape in expected.items() if key not in state}


def published_names(design: ModelConfig) -> dict[str, str]:
    """The published adapter's names to ours; its blocks are numbered as ours, all doubles and then all singles."""
    names = {f"image_proj.{key}": f"projector.{key}" for key in _PROJECTOR}
    for block in range(design.transformer.num_blocks):
        names[f"ip_adapter.{block}.to_k_ip.weight"] = f"to_k.{block}.weight"
        names[f"ip_adapter.{block}.to_v_ip.weight"] = f"to_v.{block}.weight"
    return names


def _published_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Tensors of the published file, keyed `image_proj.*` and `ip_adapter.*`."""
    if not Path(path).is_file():
        raise WeightsError(f"{path}: no such file; check the path")
    if Path(path).suffix == ".safetensors":
        with opened(path) as file:
            return {_without_module(key): file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    try:
        # weights_only: nothing in the pickle is run. A file in the old layout cannot be mapped into memory.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # a hostile or damaged pickle can make the reader raise anything
        wanted = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if wanted:
            raise WeightsError(
                f"{path}: wants to run {wanted[1]} when it is opened, which weights never need; do not open it, "
                "download it again from its publisher"
            ) from error
        raise WeightsError(
            f"{path}: not a file of plain weights, or cut short ({first_sentence(error)}); download it again"
        ) from error
    return _flattened(path, content)


def _flattened(path: str | os.PathLike[str], content: Any) -> dict[str, Tensor]:
    groups = content if isinstance(content, dict) else {}
    if set(groups) != {"image_proj", "ip_adapter"} or not all(isinstance(group, dict) for group in groups.values()):
        raise WeightsError(
            f"{path}: holds {some_of([str(key) for key in groups]) or type(content).__name__}, not image_proj and "
            "ip_adapter; give the published adapter file"
        )
    flat = {
        f"{name}.{_without_module(str(key))}": value for name, group in groups.items() for key, value in group.items()
    }
    wrong = next((key for key, value in flat.items() if not _is_plain(value)), None)
    if wrong or len(flat) != sum(map(len, groups.values())):
        raise WeightsError(f"{path}: {wrong or 'a key'} is not one plain tensor; give the published adapter file")
    return flat


def _is_plain(value: Any) -> bool:
    dense = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
    return dense and value.is_floating_point()


def _without_module(key: str) -> str:
    """Drop the `module.` that a parallel trainer's wrapper put before the names."""
    return ".".join(part for part in key.split(".") if part != "module")
