"""Pictures to latents, and the latent features that `mini` reads a pair by."""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from relation_adapter.config import ModelConfig
from relation_adapter.model.latents import pack, with_positions


def encode_pictures(
    vae: Any, pictures: Tensor, how: str = "mode", generator: torch.Generator | list[torch.Generator] | None = None
) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] to scaled and shifted latents (B, C, H/f, W/f).

    how: `mode` of the posterior, or a `sample` of it, drawn with the generator (one, or one per picture).
    """
    posterior = vae.encode(pictures.to(vae.dtype)).latent_dist
    if how == "mode":
        latents = posterior.mode()
    else:
        from diffusers.utils.torch_utils import randn_tensor

        noise = randn_tensor(posterior.mean.shape, generator=generator, device=pictures.device, dtype=vae.dtype)
        latents = posterior.mean + posterior.std * noise
    scaled: Tensor = (latents - vae.config.shift_factor) * vae.config.scaling_factor
    return scaled


def latent_features(vae: Any, design: ModelConfig, pictures: Tensor) -> Tensor:
    """Exemplars (B, K, 3, S, S) in [-1, 1] to features (B, K, N, F): packed latents and where they lie."""
    latents = encode_pictures(vae, rearrange(pictures, "b k c h w -> (b k) c h w"))
    rows, columns = latents.shape[2] // 2, latents.shape[3] // 2
    tokens = with_positions(pack(latents), rows, columns, design.position_features)
    return rearrange(tokens, "(b k) n f -> b k n f", k=pictures.shape[1])
