"""Attention for training on a CPU.

With gradients in bfloat16 PyTorch's fused attention takes two to four times as long there as plain products do, made
a few pictures at a time, so that the scores stay in the processor's cache (docs/log.md).
"""

from __future__ import annotations

import torch
from torch import Tensor

SCORES = 1_000_000  # at once


def is_better(query: Tensor) -> bool:
    """Whether to call `attention` in place of the fused one: with gradients, on a CPU, in bfloat16."""
    wanted = query.requires_grad and torch.is_grad_enabled()
    return wanted and query.device.type == "cpu" and _dtype(query) == torch.bfloat16


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention of (B, H, L, D) to keys and values (B, H, M, D) where the mask is True."""
    batch, heads, rows = query.shape[:3]
    count = max(1, SCORES // (heads * rows * key.shape[2]))
    queries, keys, values = (x.to(_dtype(query)).split(count) for x in (query, key, value))
    masks = [None] * len(queries) if mask is None else mask.expand(batch, *mask.shape[1:]).split(count)
    with torch.autocast("cpu", enabled=False):  # which would make the softmax's scores and gradients float32
        return torch.cat([_attend(*part) for part in zip(queries, keys, values, masks, strict=True)])


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores, dim=-1) @ value


def _dtype(tensor: Tensor) -> torch.dtype:
    """That products of it are computed in."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else tensor.dtype
