"""What a safetensors file says of itself, read without its tensors and without torch.

The form: 8 bytes, little-endian, the length of a JSON object; the object, tensor name -> dtype, shape, data_offsets,
and `__metadata__`; then the data (https://github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relation_adapter import stores
from relation_adapter.errors import WeightsError
from relation_adapter.files import reason

MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors library


@dataclass(frozen=True)
class Header:
    """The size of a file in bytes, its metadata, and per tensor the dtype and the shape."""

    size: int
    metadata: dict[str, str]
    tensors: dict[str, tuple[str, tuple[int, ...]]]

    def parameters(self) -> Counter[str]:
        """Numbers held, by the first part of the tensors' names (`transformer`, `adapter`)."""
        counts: Counter[str] = Counter()
        for name, (_, shape) in self.tensors.items():
            counts[name.partition(".")[0]] += math.prod(shape)
        return counts

    def dtypes(self) -> list[str]:
        """The dtypes in use, as safetensors writes them (F32, BF16)."""
        return sorted({dtype for dtype, _ in self.tensors.values()})


def read_header(path: Path) -> Header:
    """The header of a safetensors file. Raises WeightsError on a file that is none or is cut short."""
    try:
        with stores.opened(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            start = file.read(8)
            length = int.from_bytes(start, "little")
            if size == 0:
                raise WeightsError(f"{path}: is empty (0 bytes); copy it again")
            if len(start) < 8 or not 2 <= length <= MAX_HEADER_BYTES:
                raise WeightsError(f"{path}: not a safetensors file{_looks_like(start)}; give a .safetensors file")
            if 8 + length > size:
                raise WeightsError(f"{path}: not a safetensors file, or cut short; copy it again")
            text = file.read(length)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({reason(error)}); check the path") from error
    header, end = _parsed(path, text)
    if 8 + length + end > size:
        missing = 8 + length + end - size
        raise WeightsError(f"{path}: cut short, {missing:,} of {size + missing:,} bytes are missing; copy it again")
    return Header(size, **header)


def _parsed(path: Path, text: bytes) -> tuple[dict[str, Any], int]:
    """Metadata and tensors, and where the last tensor's data ends."""
    try:
        entries = json.loads(text)
        metadata = {str(key): str(value) for key, value in entries.pop("__metadata__", {}).items()}
        tensors = {name: _tensor(**entry) for name, entry in entries.items()}
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path}: not a safetensors file (its header is broken); copy it again") from error
    return {"metadata": metadata, "tensors": tensors}, end


def _tensor(dtype: str, shape: list[int], data_offsets: list[int]) -> tuple[str, tuple[int, ...]]:
    """One tensor's dtype and shape. Raises ValueError or TypeError where they do not fit its data."""
    start, end = data_offsets
    # No dtype takes less than 4 bits; so a shape that the data cannot hold never gets to be counted.
    if not 0 <= start <= end or any(side < 0 for side in shape) or math.prod(shape) > 2 * (end - start):
        raise ValueError("the shape does not fit the data")
    return str(dtype), tuple(shape)


def _looks_like(start: bytes) -> str:
    if start[:2] == b"PK" or start[:1] == b"\x80":
        return " but a pickle, which could run code"
    if start == b"version ":
        return " but a Git LFS pointer (run `git lfs pull` in its folder)"
    return ""
