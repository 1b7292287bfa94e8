"""The published model's files at full size without their bytes: true headers, then holes; some 39 GB that take 1 MB."""

from __future__ import annotations

import json
import struct
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from relation_adapter.config import MODELS, to_dict
from relation_adapter.model import twin_files, twins
from relation_adapter.model.adapter import RelationAdapter
from relation_adapter.model.components import Components, build_scheduler, build_transformer

DTYPES = {torch.bfloat16: "BF16", torch.float32: "F32"}


@cache
def model() -> Components:
    """The published model on `meta`: names and shapes alone."""
    design = MODELS["published"]
    with torch.device("meta"):
        return Components(
            build_transformer(design.transformer),
            RelationAdapter(to_dict(design)),
            build_scheduler(design),
            **twins.encoders({}),
        )


def count(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def write_adapter(path: Path) -> None:
    """The published adapter, its names and shapes written out here."""
    shapes = {"proj.0.weight": (2304, 1152), "proj.0.bias": (2304,), "proj.2.weight": (128 * 4096, 2304)}
    shapes |= {"proj.2.bias": (128 * 4096,), "norm.weight": (4096,), "norm.bias": (4096,)}
    layers = {f"{block}.to_{half}_ip.weight": (3072, 4096) for block in range(57) for half in "kv"}
    with FakeTensorMode():
        groups = {
            name: {key: torch.empty(shape, dtype=torch.bfloat16) for key, shape in group.items()}
            for name, group in {"image_proj": shapes, "ip_adapter": layers}.items()
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.serialization.skip_data(materialize_fake_tensors=True):
        torch.save(groups, path)


def write_lora(path: Path) -> None:
    """The published LoRA: rank 128, its layers written out here."""
    inside, wide = 3072, 4 * 3072
    attention = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
    layers = {f"attn.{name}": (inside, inside) for name in attention}
    for name in ("ff", "ff_context"):
        layers |= {f"{name}.net.0.proj": (inside, wide), f"{name}.net.2": (wide, inside)}
    found = {f"transformer_blocks.{block}.{name}": sides for block in range(19) for name, sides in layers.items()}
    for block in range(38):
        found |= {f"single_transformer_blocks.{block}.attn.to_{one}": (inside, inside) for one in "qkv"}
    tensors = {}
    for name, (come, go) in found.items():
        for half, shape in (("A", (128, come)), ("B", (go, 128))):
            tensors[f"transformer.{name}.lora_{half}.weight"] = torch.empty(shape, dtype=torch.bfloat16, device="meta")
    save_holes(path, tensors)


def save_holes(path: Path, tensors: dict[str, Tensor]) -> None:
    """A safetensors file whose header is true and whose data is a hole."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for key, value in tensors.items():
        header[key] = {
            "dtype": DTYPES[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [end, end + value.nbytes],
        }
        end += value.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def write_all(folder: Path, monkeypatch: Any) -> dict[str, Path]:
    """Base and SigLIP as the twins are written, only at full size; adapter and LoRA from the lists above."""
    with monkeypatch.context() as patch:
        patch.setattr(twins, "_save", save_holes)
        patch.setattr(twins, "write_adapter", lambda *_: None)
        patch.setattr(twins, "lora_shapes", lambda *_: {})
        patch.setitem(twin_files.TINY, "text", {})
        with torch.device("meta"):
            places = twins.write_twins(folder, components=model())
    write_adapter(places["adapter"])
    write_lora(places["lora"])
    return places
