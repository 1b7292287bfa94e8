"""Latents to tokens and back, and the one place where source positions are cloned from the noisy ones.

Latents are (B, C, H, W) with even H and W; a token is a 2x2 patch, so L = H/2 * W/2 tokens of 4C channels.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor


def pack(latents: Tensor) -> Tensor:
    """Latents (B, C, H, W) to tokens (B, H/2 * W/2, 4C), channels outermost inside a token (FLUX's order)."""
    return rearrange(latents, "b c (h p) (w q) -> b (h w) (c p q)", p=2, q=2)


def unpack(tokens: Tensor, rows: int) -> Tensor:
    """Tokens (B, rows * columns, 4C) back to latents (B, C, 2 rows, 2 columns)."""
    return rearrange(tokens, "b (h w) (c p q) -> b c (h p) (w q)", h=rows, p=2, q=2)


def position_ids(rows: int, columns: int, device: torch.device | None = None) -> Tensor:
    """Rotary position ids (rows * columns, 3): (0, row, column) of every token."""
    ids = torch.zeros(rows, columns, 3, device=device)
    ids[..., 1] += torch.arange(rows, device=device)[:, None]
    ids[..., 2] += torch.arange(columns, device=device)[None, :]
    return ids.reshape(-1, 3)


def cloned_ids(rows: int, columns: int, device: torch.device | None = None) -> Tensor:
    """Ids of noisy then source tokens: the source's are the noisy ones again (position encoding cloning)."""
    return position_ids(rows, columns, device).repeat(2, 1)


def position_features(rows: int, columns: int, frequencies: int, like: Tensor) -> Tensor:
    """Smooth features of where a token lies in its picture, (rows * columns, 4 * frequencies), in [-1, 1].

    Rotary ids only tell how far apart two tokens are; an edit like a frame or a mirror depends on where the
    borders are. Positions run from -1 to 1 over the picture whatever its size.
    """
    octaves = math.pi * 2.0 ** torch.arange(-1, frequencies - 1, device=like.device, dtype=torch.float32)
    axes = []
    for count in (rows, columns):
        angle = ((torch.arange(count, device=like.device) + 0.5) * (2 / count) - 1)[:, None] * octaves
        axes.append(torch.cat([angle.sin(), angle.cos()], dim=-1))  # (count, 2F)
    vertical, horizontal = axes
    grid = torch.cat([vertical[:, None].expand(-1, columns, -1), horizontal[None].expand(rows, -1, -1)], dim=-1)
    return grid.reshape(rows * columns, -1).to(like.dtype)


def with_positions(tokens: Tensor, rows: int, columns: int, frequencies: int) -> Tensor:
    """Append position features to tokens (B, L, C), giving (B, L, C + 4 * frequencies); none if frequencies is 0."""
    if frequencies == 0:
        return tokens
    features = position_features(rows, columns, frequencies, tokens)
    return torch.cat([tokens, features.expand(tokens.shape[0], -1, -1)], dim=-1)
