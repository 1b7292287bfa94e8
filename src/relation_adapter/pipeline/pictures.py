"""Pictures in and out of the pipeline: decoded tokens to the output a caller asked for, at the size it asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from relation_adapter.detail import detailed_strips
from relation_adapter.errors import WeightsError
from relation_adapter.images import Fit
from relation_adapter.model.latents import unpack
from relation_adapter.units import Unit, picture_of_strips, resized_strips


def to_tensor(image: Image.Image) -> Tensor:
    """A picture as (1, 3, H, W) in [-1, 1], exactly as diffusers' `VaeImageProcessor` makes it."""
    values = torch.from_numpy(np.array(image, dtype=np.float32) / 255.0)
    return 2.0 * values.permute(2, 0, 1)[None] - 1.0


def decode(pipe: Any, tokens: Tensor, height: int) -> Tensor:
    """Tokens (1, L, C) to a picture (1, 3, H, W) in about [-1, 1]; height: H, px."""
    config = pipe.vae.config
    latents = unpack(tokens, height // pipe.multiple)
    latents = latents / config.scaling_factor + config.shift_factor
    decoded: Tensor = pipe.vae.decode(latents.to(pipe.vae.dtype), return_dict=False)[0]
    return decoded


def units(pictures: Sequence[Tensor]) -> list[Unit]:
    """Decoded pictures (1, 3, H, W) in about [-1, 1] as (H, W, 3) in [0, 1]. WeightsError where they are none."""
    if not all(picture.isfinite().all() for picture in pictures):
        raise WeightsError(
            "The result is no picture: numbers that are not finite came out of the model; its weights are damaged, or "
            "too large for float16 (bfloat16 has room for them)"
        )
    # The clamp comes after the shift, as published: the other order rounds differently.
    return [(picture * 0.5 + 0.5).clamp(0, 1)[0].permute(1, 2, 0).float().cpu().numpy() for picture in pictures]


@dataclass(frozen=True)
class Edited:
    """A picture (h, w, 3) in [0, 1] at the size the model works at, and what brings it to the size it is to have.

    source: whose fine detail it is to have, and kept: how much of it, as `detail.kept_detail` tells; empty: all.
    finish: what else becomes of it beside its source, where it is to have the source's size; both in strips.
    """

    unit: Unit
    fit: Fit
    source: Image.Image | None = None
    kept: Sequence[float] = ()
    finish: Callable[[Image.Image, Iterator[Unit]], Iterator[Unit]] | None = None

    def strips(self) -> Iterator[Unit]:
        """At the size it is to have, from top to bottom."""
        fit = self.fit
        if fit.size == fit.image.size and fit.box == (0, 0, *fit.size):
            return iter([self.unit])
        left, top, right, bottom = fit.box
        result = self.unit[top:bottom, left:right]
        if self.source is None:
            return resized_strips(result, fit.size)
        strips = detailed_strips(self.source, fit.crop(fit.image), result, self.kept)
        if self.finish is None or self.source.size != fit.size:
            return strips
        return self.finish(self.source, strips)


def to_output(pictures: Sequence[Edited], kind: str) -> Any:
    """Edited pictures as PIL pictures, or as arrays or tensors in [0, 1].

    `np` gives (N, H, W, 3), `pt` (N, 3, H, W), both without rounding to 8 bits, and both a list where sizes differ.
    `later` gives functions, to be called once, that make the PIL pictures.
    """
    strips = [picture.strips() for picture in pictures]
    if kind == "later":
        return [partial(picture_of_strips, one) for one in strips]
    if kind == "pil":
        return [picture_of_strips(one) for one in strips]
    arrays = [np.concatenate(list(one)) for one in strips]
    if kind == "np":
        return np.stack(arrays) if len({array.shape for array in arrays}) == 1 else arrays
    return stacked([torch.from_numpy(array).permute(2, 0, 1)[None] for array in arrays])


def stacked(tensors: Sequence[Tensor]) -> Tensor | list[Tensor]:
    """Tensors (1, ...) as one, or a list of their single rows where shapes differ."""
    if len({tensor.shape for tensor in tensors}) == 1:
        return torch.cat(list(tensors))
    return [tensor[0] for tensor in tensors]
