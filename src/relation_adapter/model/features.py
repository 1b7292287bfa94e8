"""Pictures to latents, and the latent features that `mini` reads a pair by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from relation_adapter.config import ModelConfig
from relation_adapter.model.latents import pack, with_positions

Noise = torch.Generator | Callable[[torch.Size], Tensor] | None


def encode_pictures(
    vae: Any, pictures: Tensor, how: str = "mode", generator: torch.Generator | list[torch.Generator] | None = None
) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] to scaled and shifted latents (B, C, H/f, W/f).

    how: `mode` of the posterior, or a `sample` of it, drawn with the generator (one, or one per picture).
    """
    posterior = vae.encode(pictures.to(vae.dtype)).latent_dist
    if how == "mode":
        return _scaled(vae, posterior.mode())
    from diffusers.utils.torch_utils import randn_tensor

    noise = randn_tensor(posterior.mean.shape, generator=generator, device=pictures.device, dtype=vae.dtype)
    return _scaled(vae, posterior.mean + posterior.std * noise)


def latent_moments(vae: Any, pictures: Tensor, how: str = "mode") -> Tensor:
    """What `sample_moments` needs to do as `encode_pictures` does: (B, 1, C, h, w), or (B, 2, C, h, w) to `sample`."""
    posterior = vae.encode(pictures.to(vae.dtype)).latent_dist
    if how == "mode":
        return _scaled(vae, posterior.mode())[:, None]
    return torch.stack([_scaled(vae, posterior.mean), posterior.std * vae.config.scaling_factor], dim=1)


def sample_moments(moments: Tensor, noise: Noise = None) -> Tensor:
    """Latents (B, C, h, w) of `latent_moments`: the mode, or a sample where there is a deviation."""
    if moments.shape[1] == 1:
        return moments[:, 0]
    mean, deviation = moments.unbind(dim=1)
    return mean + deviation * standard_normal(mean, noise)


def standard_normal(like: Tensor, noise: Noise = None) -> Tensor:
    """Normal numbers in the shape, the dtype and on the device of `like`, drawn on the CPU.

    noise: what draws them, as a generator or from their shape.
    """
    drawn = noise(like.shape) if callable(noise) else torch.randn(like.shape, generator=noise)
    return drawn.to(like)


def _scaled(vae: Any, latents: Tensor) -> Tensor:
    scaled: Tensor = (latents - vae.config.shift_factor) * vae.config.scaling_factor
    return scaled


def latent_features(vae: Any, design: ModelConfig, pictures: Tensor) -> Tensor:
    """Exemplars (B, K, 3, S, S) in [-1, 1] to features (B, K, N, F): packed latents and where they lie, or pooled."""
    flat = rearrange(pictures, "b k c h w -> (b k) c h w")
    tokens = _pooled(vae, design, flat) if design.image_features == "latents_pooled" else _tokens(vae, design, flat)
    return rearrange(tokens, "(b k) n f -> b k n f", k=pictures.shape[1])


def _tokens(vae: Any, design: ModelConfig, pictures: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) to one feature a token, (B, N, F)."""
    latents = encode_pictures(vae, pictures)
    return with_positions(pack(latents), latents.shape[2] // 2, latents.shape[3] // 2, design.position_features)


def _pooled(vae: Any, design: ModelConfig, pictures: Tensor) -> Tensor:
    """Pictures (B, 3, S, S) to one vector each, (B, 1, F), in place of an image encoder's pooled one.

    It is the picture shrunk to a single token, and how much the pixels that each of the token's pixels stands for
    deviate: rough layout, colours, contrast and texture, in as many numbers as two tokens have.
    """
    mean = nn.functional.adaptive_avg_pool2d(pictures, design.patch)
    square = nn.functional.adaptive_avg_pool2d(pictures.square(), design.patch)
    deviation = (square - mean.square()).clamp(min=0).sqrt()
    return torch.cat([_tokens(vae, design, shrunk) for shrunk in (mean, deviation)], dim=-1)
