"""Whether files and folders of weights are whole: by names and headers, before anything is loaded; by checksums."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from pathlib import Path
from typing import Any

from relation_adapter.errors import WeightsError
from relation_adapter.files import reason
from relation_adapter.header import read_header
from relation_adapter.hub.parts import Part

COPY = "copy or fetch it again"
SHARD = re.compile(r"-\d{5}-of-\d{5}\.safetensors$")
# What a part of a pipeline needs besides weights, by the end of its class name.
CONFIGS = {
    "Scheduler": "scheduler_config.json",
    "Tokenizer": "tokenizer_config.json",
    "TokenizerFast": "tokenizer_config.json",
    "Processor": "preprocessor_config.json",
    "Extractor": "preprocessor_config.json",
}


def check_file(path: Path) -> None:
    """Whether one file of weights is whole, as far as its first and last bytes tell. Raises WeightsError."""
    if path.suffix == ".safetensors":
        read_header(path)
        return
    try:
        with path.open("rb") as file:
            start = file.read(8)
        whole = start[:2] != b"PK" or zipfile.is_zipfile(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({reason(error)}); check the path") from error
    if not start:
        raise WeightsError(f"{path}: is empty (0 bytes); {COPY}")
    if start == b"version ":
        raise WeightsError(f"{path}: a Git LFS pointer, not the weights; run `git lfs pull` in its folder")
    if not whole:
        raise WeightsError(f"{path}: cut short, its end is missing; {COPY}")


def check_part(path: Path, part: Part) -> None:
    """Whether a part that is a folder is of the right kind, and whole (`check_folder`). Raises WeightsError."""
    lacking = next((name for name in part.needs if path.is_dir() and not (path / name).exists()), None)
    if lacking:
        raise WeightsError(
            f"{path}: no {lacking} in it; {part.name} needs the whole folder of {part.repo}, or its like"
        )
    check_folder(path)


def check_folder(path: Path) -> None:
    """Whether a folder that diffusers or transformers saved is whole: by names and safetensors headers alone.

    path: a pipeline's folder (with model_index.json), or one model's (with config.json).
    Raises WeightsError where a file is missing, also a shard that an index names, or is cut short.
    """
    if not path.is_dir():
        raise WeightsError(f"{path}: not a folder; give the folder that holds the model's files")
    if not (path / "model_index.json").exists():
        _check_model(path)
        return
    for name, entry in _json(path / "model_index.json").items():
        if isinstance(entry, list) and len(entry) == 2 and all(isinstance(word, str) for word in entry):
            _check_component(path / name, *entry)


def check_sums(path: Path, part: Part) -> int:
    """Compare the files of a part with the SHA-256 known for them; how many were compared.

    path: as `find` returned it. Reads every byte. Raises WeightsError where one is missing or differs.
    """
    root = path if part.file is None else path.parent
    for name, known in part.sha256.items():
        file = path if name == part.file else root / name
        try:
            with file.open("rb") as data:
                found = hashlib.file_digest(data, "sha256").hexdigest()
        except OSError as error:
            raise WeightsError(f"{file}: cannot be read ({reason(error)}); {COPY}") from error
        if found != known:
            raise WeightsError(f"{file}: not the published file (its SHA-256 is {found}, not {known}); {COPY}")
    return len(part.sha256)


def _check_component(folder: Path, library: str, class_name: str) -> None:
    if not folder.is_dir():
        raise WeightsError(f"{folder}: missing, though model_index.json names it; {COPY}")
    if library not in ("diffusers", "transformers"):
        return
    for end, config in CONFIGS.items():
        if class_name.endswith(end):
            _need(folder / config)
            if end.startswith("Tokenizer"):
                _check_vocabulary(folder)
            return
    _check_model(folder)


def _check_vocabulary(folder: Path) -> None:
    forms = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("spiece.model",))
    if not any(all((folder / name).exists() for name in form) for form in forms):
        raise WeightsError(f"{folder}: no vocabulary in it (tokenizer.json, or vocab.json and merges.txt); {COPY}")


def _check_model(folder: Path) -> None:
    """One model: its config, and its weights in one file or in the shards of an index."""
    _need(folder / "config.json")
    indices = sorted(folder.glob("*.safetensors.index*.json"))
    files = sorted(folder.glob("*.safetensors"))
    checked = {shard for index in indices for shard in _check_shards(index)}
    for file in files:
        if not indices and SHARD.search(file.name):
            raise WeightsError(f"{folder}: holds shards, but the index that lists them is missing; {COPY}")
        if file.name not in checked:
            read_header(file)
    if not files:
        other = next((file.name for pattern in ("*.bin", "*.gguf", "*.pt") for file in folder.glob(pattern)), None)
        found = f"only {other}" if other else "none"
        raise WeightsError(f"{folder}: needs weights as .safetensors, {found} in it; {COPY}")


def _check_shards(index: Path) -> list[str]:
    """The shards that an index names, once all are there, and hold the tensors they are said to hold."""
    places = _json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise WeightsError(f"{index}: lists no shards; {COPY}")
    shards = sorted({str(shard) for shard in places.values()})
    missing = [shard for shard in shards if not (index.parent / shard).exists()]
    if missing:
        raise WeightsError(f"{index.parent}: {len(missing)} of {len(shards)} shards missing ({missing[0]}); {COPY}")
    for shard in shards:
        held = read_header(index.parent / shard).tensors
        lost = next((key for key, place in places.items() if place == shard and key not in held), None)
        if lost:
            raise WeightsError(f"{index.parent / shard}: does not hold {lost}, though {index.name} says so; {COPY}")
    return shards


def _need(file: Path) -> None:
    if not file.exists():
        raise WeightsError(f"{file.parent}: {file.name} is missing; {COPY}")


def _json(file: Path) -> dict[str, Any]:
    try:
        entries = json.loads(file.read_bytes())
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read ({reason(error)}); {COPY}") from error
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{file}: not valid JSON; {COPY}") from error
    if not isinstance(entries, dict):
        raise WeightsError(f"{file}: not a JSON object; {COPY}")
    return entries
