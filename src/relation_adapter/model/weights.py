"""Our weights file, and the published one; both are read strictly.

Ours is one safetensors file with keys `transformer.*` and `adapter.*` and the metadata format, version, config (a
`ModelConfig` as JSON) and provenance (JSON). The published one is a pickle of the dicts `image_proj` and
`ip_adapter`, opened with `weights_only`, so that no code in it can run.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

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
    tensors = {
        f"{part}.{key}": value.detach().to("cpu", dtype).contiguous()
        for part in PARTS
        for key, value in getattr(components, part).state_dict().items()
    }
    if tensors.keys() != _shapes(*_empty_parts(components.design)).keys():
        raise UsageError("The model has a LoRA or fused projections; fuse and unload the LoRA before saving.")
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "config": json.dumps(to_dict(components.design)),
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
    with opened(path) as file:
        _, design = _checked_metadata(path, file.metadata() or {})
        transformer, adapter = _parts_of(path, design, file)
        # Copied: where a tensor lies in the file would decide its alignment in memory, and that the rounding.
        state = {key: file.get_tensor(key).to(dtype, copy=True) for key in file.keys()}  # noqa: SIM118
    parts: list[nn.Module] = [transformer, adapter]
    for name, part in zip(PARTS, parts, strict=True):
        own = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
        part.load_state_dict(own, strict=True, assign=True)
        part.eval()
    return assemble(transformer, adapter)


def read_info(path: str | os.PathLike[str]) -> tuple[ModelConfig, dict[str, Any]]:
    """The config and the provenance inside a weights file, without its weights.

    Raises:
        WeightsError: as `load_model`, but for the weights themselves.
    """
    with opened(path) as file:
        provenance, design = _checked_metadata(path, file.metadata() or {})
    return design, provenance


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
    found = {_without_module(key): value for key, value in _published_tensors(path).items()}
    _compare(path, {theirs: tuple(expected[ours]) for theirs, ours in names.items()}, _tensor_shapes(found))
    state = {ours: found[theirs] for theirs, ours in names.items()}
    return state | {key: torch.zeros(shape) for key, shape in expected.items() if key not in state}


def published_names(design: ModelConfig) -> dict[str, str]:
    """The published adapter's names to ours; its blocks are numbered as ours, all doubles and then all singles."""
    projector = ("proj.0.weight", "proj.0.bias", "proj.2.weight", "proj.2.bias", "norm.weight", "norm.bias")
    names = {f"image_proj.{key}": f"projector.{key}" for key in projector}
    for block in range(design.transformer.num_blocks):
        names[f"ip_adapter.{block}.to_k_ip.weight"] = f"to_k.{block}.weight"
        names[f"ip_adapter.{block}.to_v_ip.weight"] = f"to_v.{block}.weight"
    return names


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
            f"{path}: its config is damaged or of another program ({_first_sentence(error)}); copy or download it again"
        ) from error


def _parts_of(path: str | os.PathLike[str], design: ModelConfig, file: Any) -> tuple[nn.Module, RelationAdapter]:
    """Empty parts for the config inside a file, once the file is known to hold just their weights."""
    slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
    found = {key: tuple(piece.get_shape()) for key, piece in slices.items()}
    # Counted first: a made-up config could ask for a billion blocks.
    counts = (design.transformer.num_blocks, design.resampler_layers)
    if max(counts) > len(found):
        raise WeightsError(f"{path}: its config asks for more blocks than the file holds; copy or download it again")
    try:
        parts = _empty_parts(design)
    except (ValueError, RuntimeError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise WeightsError(f"{path}: its config makes no model ({reason(error)}); copy or download it again") from error
    _compare(path, _shapes(*parts), found)
    wrong = next((key for key, piece in slices.items() if piece.get_dtype() not in FLOATS), None)
    if wrong:
        raise WeightsError(f"{path}: {wrong} is {slices[wrong].get_dtype()}, not floating point; convert it to BF16")
    return parts


def _empty_parts(design: ModelConfig) -> tuple[nn.Module, RelationAdapter]:
    """Transformer and adapter without memory for their weights."""
    with torch.device("meta"):
        return build_transformer(design.transformer), RelationAdapter(to_dict(design))


def _shapes(transformer: nn.Module, adapter: nn.Module) -> Shapes:
    parts = zip(PARTS, (transformer, adapter), strict=True)
    return {f"{name}.{key}": tuple(value.shape) for name, part in parts for key, value in part.state_dict().items()}


def _tensor_shapes(tensors: Mapping[str, Tensor]) -> Shapes:
    return {key: tuple(value.shape) for key, value in tensors.items()}


def _compare(path: str | os.PathLike[str], expected: Shapes, found: Shapes) -> None:
    """Refuse keys that are missing, unknown or of another shape."""
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    wrong = sorted(key for key in expected.keys() & found.keys() if expected[key] != found[key])
    remedy = "it is of another design, or damaged: give the file of this model, or copy it again"
    if missing:
        raise WeightsError(f"{path}: lacks {_some(missing)}; {remedy}")
    if unknown:
        raise WeightsError(f"{path}: has unknown {_some(unknown)}; {remedy}")
    if wrong:
        key = wrong[0]
        raise WeightsError(f"{path}: {key} is {found[key]}, not {expected[key]}; {remedy}")


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - 2} more" if len(keys) > 2 else ""
    return ", ".join(keys[:2]) + more


def _published_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Tensors of the published file, keyed `image_proj.*` and `ip_adapter.*`."""
    if not Path(path).is_file():
        raise WeightsError(f"{path}: no such file; check the path")
    if Path(path).suffix == ".safetensors":
        with opened(path) as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
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
            f"{path}: not a file of plain weights, or cut short ({_first_sentence(error)}); download it again"
        ) from error
    return _flattened(path, content)


def _flattened(path: str | os.PathLike[str], content: Any) -> dict[str, Tensor]:
    groups = content if isinstance(content, dict) else {}
    if set(groups) != {"image_proj", "ip_adapter"} or not all(isinstance(group, dict) for group in groups.values()):
        raise WeightsError(
            f"{path}: holds {_some([str(key) for key in groups]) or type(content).__name__}, not image_proj and "
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


def _first_sentence(error: BaseException) -> str:
    """The reason without torch's advice to load the file unsafely."""
    lines: Iterable[str] = reason(error).split(". ")
    return next(iter(lines)).strip()[:200]
