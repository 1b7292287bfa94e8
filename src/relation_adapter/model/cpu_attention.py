"""Attention for training on a CPU.

PyTorch's fused attention takes five times as long there for its backward pass in bfloat16 as the plain products do
(docs/log.md). The plain way holds the scores of all queries and keys, which small pictures have room for.
"""

from __future__ import annotations

import torch
from torch import Tensor


def is_better(query: Tensor) -> bool:
    """Whether to call `attention` in place of the fused one: with gradients, on a CPU, in bfloat16."""
    halved = query.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
    return query.device.type == "cpu" and halved and query.requires_grad and torch.is_grad_enabled()


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention of (B, H, L, D) to keys and values (B, H, M, D) where the mask is True."""
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores.float(), dim=-1).to(value.dtype) @ value
