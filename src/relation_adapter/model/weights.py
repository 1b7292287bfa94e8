"""Our weights file, read strictly.

It is one safetensors file with keys `transformer.*` and `adapter.*`, or `adapter.*` alone where the transformer is a
pretrained base that lies elsewhere, and the metadata format, version, config (a `ModelConfig` as JSON) and provenance
(JSON).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from relation_adapter.config import ModelConfig, from_dict, to_dict
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.files import reason, writing_whole
from relation_adapter.model.adapter import RelationAdapter
from relation_adapter.model.components import Components, assemble, build_transformer

FORMAT = "relation-adapter"
VERSION = "1"
PARTS = ("transformer", "adapter")
FLOATS = {"F32", "F16", "BF16", "F64"}

Shapes = dict[str, tuple[int, ...]]


def save_model(
    path: str | os.PathLike[str],
    components: Components,
    provenance: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write transformer and adapter with their config to one file, whole or not at all; missing folders are created.

    provenance: plain JSON values that say where the weights come from. dtype: of the file, else that of the weights.

    Raises:
        UsageError: a LoRA or fused projections change the names of the weights.
        WeightsError: the disk refuses.
    """
    parts = {name: getattr(components, name) for name in PARTS}
    if _shapes(parts) != _shapes(_empty_parts(components.design, PARTS)):
        raise UsageError("The model has a LoRA or fused projections; fuse and unload the LoRA before saving.")
    _write(path, parts, components.design, provenance, dtype)


def save_adapter(
    path: str | os.PathLike[str],
    adapter: RelationAdapter,
    provenance: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write an adapter alone, with its config: the transformer it is for lies elsewhere. As `save_model`.

    Raises:
        WeightsError: the disk refuses.
    """
    _write(path, {"adapter": adapter}, adapter.design, provenance, dtype)


def _write(
    path: str | os.PathLike[str],
    parts: Mapping[str, nn.Module],
    design: ModelConfig,
    provenance: Mapping[str, Any] | None,
    dtype: torch.dtype | None,
) -> None:
    tensors = {
        f"{name}.{key}": value.detach().to("cpu", dtype).contiguous()
        for name, part in parts.items()
        for key, value in part.state_dict().items()
    }
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "config": json.dumps(to_dict(design)),
        "provenance": json.dumps(dict(provenance or {})),
    }
    try:
        with writing_whole(Path(path)) as part:
            save_file(tensors, part, metadata)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path}: cannot be written ({reason(error)}); free some space or choose another place"
        ) from error


def load_model(path: str | os.PathLike[str], dtype: torch.dtype = torch.float32) -> Components:
    """Read a file that `save_model` wrote; the weights take the given dtype, whatever they have on disk.

    Raises:
        WeightsError: missing, cut short, not ours, of another version, or with keys or shapes that its config does
            not have; one line that names the file and the remedy.
    """
    parts = _load(path, PARTS, dtype)
    return assemble(parts["transformer"], parts["adapter"])


def load_own_adapter(path: str | os.PathLike[str], dtype: torch.dtype | None = None) -> RelationAdapter:
    """Read the adapter out of a file of `save_adapter` or `save_model`, in the given dtype or as it is in the file.

    Raises:
        WeightsError: as `load_model`.
    """
    adapter: RelationAdapter = _load(path, ("adapter",), dtype)["adapter"]
    return adapter


def _load(path: str | os.PathLike[str], names: Sequence[str], dtype: torch.dtype | None) -> dict[str, Any]:
    """The named parts of a file; other parts in it are left where they are."""
    with opened(path) as file:
        _, design = _checked_metadata(path, file.metadata() or {})
        keys = [key for key in file.keys() if names == PARTS or key.partition(".")[0] in names]  # noqa: SIM118
        if names == PARTS and keys and all(key.startswith("adapter.") for key in keys):
            raise WeightsError(
                f"{path}: holds an adapter alone; give it as adapter= (--adapter) of the model it is for"
            )
        parts = _parts_of(path, design, names, {key: file.get_slice(key) for key in keys})
        # Copied: where a tensor lies in the file would decide its alignment in memory, and that the rounding.
        state = {key: file.get_tensor(key).to(dtype=dtype, copy=True) for key in keys}
    for name, part in parts.items():
        own = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
        part.load_state_dict(own, strict=True, assign=True)
        part.eval()
    return parts


def is_own(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a safetensors file that this program wrote, with the config inside.

    Raises:
        WeightsError: a `.safetensors` that is missing, none, or cut short.
    """
    if Path(path).suffix != ".safetensors":
        return False
    with opened(path) as file:
        return (file.metadata() or {}).get("format") == FORMAT


def read_info(path: str | os.PathLike[str]) -> tuple[ModelConfig, dict[str, Any]]:
    """The config and the provenance inside a weights file, without its weights.

    Raises:
        WeightsError: as `load_model`, but for the weights themselves.
    """
    with opened(path) as file:
        provenance, design = _checked_metadata(path, file.metadata() or {})
    return design, provenance


def opened(path: str | os.PathLike[str]) -> Any:
    """A safetensors file to read from, checked to be whole. Raises WeightsError, one line naming the file."""
    try:
        return safe_open(path, "pt")
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such file; check the path") from error
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path}: not a safetensors file, or cut short ({reason(error)}); copy or download it again"
        ) from error


def _checked_metadata(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> tuple[dict[str, Any], ModelConfig]:
    """Provenance and config of a file that says it is ours."""
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{path}: is a safetensors file, but not a model of this program; give another file")
    if metadata.get("version") != VERSION:
        raise WeightsError(
            f"{path}: is of format version {metadata.get('version')}, this program reads {VERSION}; "
            "use the version of this program that wrote it"
        )
    try:
        config, provenance = json.loads(metadata["config"]), json.loads(metadata.get("provenance", "{}"))
        if not isinstance(config, dict) or not isinstance(provenance, dict):
            raise ValueError("not an object")
        return provenance, from_dict(ModelConfig, config, "config")
    except (KeyError, ValueError, RecursionError, UsageError) as error:
        raise WeightsError(
            f"{path}: its config is damaged or of another program ({first_sentence(error)}); copy or download it again"
        ) from error


def _parts_of(
    path: str | os.PathLike[str], design: ModelConfig, names: Sequence[str], slices: Mapping[str, Any]
) -> dict[str, Any]:
    """Empty parts for the config inside a file, once the file is known to hold just their weights."""
    found = {key: tuple(piece.get_shape()) for key, piece in slices.items()}
    # Counted first: a made-up config could ask for a billion blocks.
    counts = (design.transformer.num_blocks, design.resampler_layers)
    if max(counts) > len(found):
        raise WeightsError(f"{path}: its config asks for more blocks than the file holds; copy or download it again")
    try:
        parts = _empty_parts(design, names)
    except (ValueError, RuntimeError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise WeightsError(f"{path}: its config makes no model ({reason(error)}); copy or download it again") from error
    compare_shapes(path, _shapes(parts), found)
    wrong = next((key for key, piece in slices.items() if piece.get_dtype() not in FLOATS), None)
    if wrong:
        raise WeightsError(f"{path}: {wrong} is {slices[wrong].get_dtype()}, not floating point; convert it to BF16")
    return parts


def _empty_parts(design: ModelConfig, names: Sequence[str]) -> dict[str, nn.Module]:
    """Transformer and adapter, those that are named, without memory for their weights."""
    make = {
        "transformer": lambda: build_transformer(design.transformer),
        "adapter": lambda: RelationAdapter(to_dict(design)),
    }
    with torch.device("meta"):
        return {name: make[name]() for name in names}


def _shapes(parts: Mapping[str, nn.Module]) -> Shapes:
    return {
        f"{name}.{key}": tuple(value.shape) for name, part in parts.items() for key, value in part.state_dict().items()
    }


def compare_shapes(path: str | os.PathLike[str], expected: Shapes, found: Shapes) -> None:
    """Refuse keys that are missing, unknown or of another shape."""
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    wrong = sorted(key for key in expected.keys() & found.keys() if expected[key] != found[key])
    remedy = "it is of another design, or damaged: give the file of this model, or copy it again"
    if missing:
        raise WeightsError(f"{path}: lacks {some_of(missing)}; {remedy}")
    if unknown:
        raise WeightsError(f"{path}: has unknown {some_of(unknown)}; {remedy}")
    if wrong:
        key = wrong[0]
        raise WeightsError(f"{path}: {key} is {found[key]}, not {expected[key]}; {remedy}")


def some_of(keys: list[str]) -> str:
    """Two names and how many more."""
    more = f" and {len(keys) - 2} more" if len(keys) > 2 else ""
    return ", ".join(keys[:2]) + more


def first_sentence(error: BaseException) -> str:
    """The reason without torch's advice to load the file unsafely."""
    return reason(error).split(". ")[0].strip()[:200]
