"""Small files in the layout of the published repositories, as bytes by path."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save

BASE = "black-forest-labs/FLUX.1-dev"
SIGLIP = "google/siglip-so400m-patch14-384"
ADAPTER = "handsomeWilliam/RelationAdapter"
SHARDS = [f"diffusion_pytorch_model-0000{number}-of-00002.safetensors" for number in (1, 2)]


def tensors(*names: str, side: int = 32) -> bytes:
    return save({name: np.full((side, side), len(name), np.float32) for name in names})


def pickled() -> bytes:
    """The outer form of what torch.save writes: a zip file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 3000)
    return file.getvalue()


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def base_files() -> dict[str, bytes]:
    """A FluxPipeline's folder: sharded transformer, tokenizers of both forms, a part that is not there."""
    index = {
        "_class_name": "FluxPipeline",
        "_diffusers_version": "0.30.0.dev0",
        "image_encoder": [None, None],
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "T5TokenizerFast"],
        "transformer": ["diffusers", "FluxTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    return {
        "model_index.json": as_json(index),
        "scheduler/scheduler_config.json": b"{}",
        "text_encoder/config.json": b"{}",
        "text_encoder/model.safetensors": tensors("text"),
        "tokenizer/tokenizer_config.json": b"{}",
        "tokenizer/vocab.json": b"{}",
        "tokenizer/merges.txt": b"#version: 0.2\n",
        "tokenizer_2/tokenizer_config.json": b"{}",
        "tokenizer_2/spiece.model": b"pieces",
        "transformer/config.json": b"{}",
        "transformer/diffusion_pytorch_model.safetensors.index.json": as_json(
            {"metadata": {}, "weight_map": {"a": SHARDS[0], "b": SHARDS[1]}}
        ),
        f"transformer/{SHARDS[0]}": tensors("a"),
        f"transformer/{SHARDS[1]}": tensors("b"),
        "vae/config.json": b"{}",
        "vae/diffusion_pytorch_model.safetensors": tensors("vae"),
    }


def siglip_files() -> dict[str, bytes]:
    return {"config.json": b"{}", "preprocessor_config.json": b"{}", "model.safetensors": tensors("siglip")}


def adapter_files() -> dict[str, bytes]:
    return {
        "README.md": b"# RelationAdapter\n",
        "ip_adapter-100000.bin": pickled(),
        "pytorch_lora_weights.safetensors": tensors("lora"),
    }


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


PAGE = (Path(__file__).parents[1] / "docs" / "bad-input.md").read_text()
MESSAGES = [cell for line in PAGE.splitlines() if line.startswith("| ") for cell in re.findall(r"`([^`]+)` \|$", line)]


def documented(text: str, *without: tuple[str, str]) -> bool:
    """Whether docs/bad-input.md shows this message, after replacements; `...` stands for any words."""
    for old, new in (*without, ("`", "'")):
        text = text.replace(old, new)
    return any(re.fullmatch(re.escape(message).replace(r"\.\.\.", ".+"), text) for message in MESSAGES)
