"""`PixelCodec`: the lossless stand-in for a VAE that `mini` uses; a latent is a block of pixels."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor


class PixelCodec(ModelMixin, ConfigMixin):
    """Pictures (B, 3, H, W) in [-1, 1] to latents (B, 3 f^2, H/f, W/f) and back, with AutoencoderKL's interface."""

    config_name = "config.json"

    @register_to_config
    def __init__(self, factor: int = 4, scaling_factor: float = 1.0, shift_factor: float = 0.0) -> None:
        super().__init__()
        self.factor = factor
        # diffusers and accelerate read device and dtype off the first parameter, and an empty weights file is none.
        self.anchor = torch.nn.Parameter(torch.zeros(1), requires_grad=False)

    def enable_tiling(self) -> None:
        """As of `AutoencoderKL`; a block of pixels needs no neighbour, so there is nothing to do."""

    disable_tiling = enable_slicing = disable_slicing = enable_tiling

    def forward(self, part: Callable[..., Any], *given: Any) -> Any:
        """Run one part: offloading hangs its hooks on `forward`."""
        return part(*given)

    def encode(self, pictures: Tensor) -> SimpleNamespace:
        """Exact; the 'distribution' is a point, so sample and mode agree."""
        latents = self(torch.nn.functional.pixel_unshuffle, pictures, self.factor)
        point = SimpleNamespace(
            mode=lambda: latents, sample=lambda generator=None: latents, mean=latents, std=torch.zeros_like(latents)
        )
        return SimpleNamespace(latent_dist=point)

    def decode(self, latents: Tensor, return_dict: bool = True) -> SimpleNamespace | tuple[Tensor]:
        """The inverse of encode."""
        pictures = self(torch.nn.functional.pixel_shuffle, latents, self.factor)
        return SimpleNamespace(sample=pictures) if return_dict else (pictures,)
