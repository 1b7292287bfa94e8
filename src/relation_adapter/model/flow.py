"""The rectified flow: pure functions shared by the sampler and the loss.

Time runs from t = 1 (the start: noise, or the source) to t = 0 (the picture). A point on the way is
`x_t = (1 - t) x_0 + t x_1`, its velocity `dx/dt = x_1 - x_0`, so an Euler step is `x_t' = x_t + (t' - t) v`.
"""

from __future__ import annotations

import math

import torch
from diffusers.training_utils import compute_density_for_timestep_sampling
from torch import Tensor


def mix(picture: Tensor, start: Tensor, t: Tensor) -> Tensor:
    """The point x_t between picture and start, all (B, L, C); t is (B,) in [0, 1]."""
    t = t.view(-1, *[1] * (picture.ndim - 1)).to(picture.dtype)
    return (1 - t) * picture + t * start


def velocity_target(picture: Tensor, start: Tensor) -> Tensor:
    """What the model learns to predict, (B, L, C); the same at every t."""
    return start - picture


def time_shift(
    tokens: int, base_tokens: int = 256, max_tokens: int = 4096, base_shift: float = 0.5, max_shift: float = 1.15
) -> float:
    """The shift mu, linear in the number of image tokens (`calculate_shift`); FLUX's is 0.5 at 256, 1.15 at 4096."""
    slope = (max_shift - base_shift) / (max_tokens - base_tokens)
    return tokens * slope + (base_shift - slope * base_tokens)


def even_times(steps: int) -> list[float]:
    """The start times of `steps` even Euler steps before any shift: 1, 1 - 1/n, ..., 1/n."""
    return [1 - step / steps for step in range(steps)]


def sample_times(
    count: int,
    sampling: str,
    generator: torch.Generator,
    mean: float = 0.0,
    deviation: float = 1.0,
    mode_scale: float = 1.29,
    shift: float = 0.0,
) -> Tensor:
    """Random training times (count,) in [0, 1].

    `uniform`; `logit_normal`, by its mean and deviation, and `mode` (Stable Diffusion 3, arXiv 2403.03206); `shifted`:
    uniform ones moved as `time_shift` moves those of an edit, shift is its mu; `near_one`: 1 - u^3, half of them above
    7/8; `start`: nine of ten are 1 and the others `near_one`. These two are for flows that start at the source: below 1
    the noisy tokens less the source's give the result away, so only at 1 is the relation what must be read.
    """
    if sampling in ("logit_normal", "mode"):
        return compute_density_for_timestep_sampling(
            sampling, count, mean, deviation, mode_scale, generator=generator
        ).clamp(0, 1)
    uniform = torch.rand(count, generator=generator)
    if sampling == "shifted":
        t = 1 - uniform
        return math.exp(shift) * t / (1 + (math.exp(shift) - 1) * t)
    if sampling == "start":
        return torch.where(torch.rand(count, generator=generator) < 0.9, 1.0, 1 - uniform**3)
    return 1 - uniform**3 if sampling == "near_one" else 1 - uniform
