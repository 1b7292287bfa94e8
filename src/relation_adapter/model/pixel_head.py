"""What a token cannot say linearly: each token writes a small net that is applied to every one of its source pixels.

A token of `mini` is a block of 8 x 8 pixels, 192 numbers, and leaves the transformer through one linear map: a tone
curve with a step in it (threshold, posterize) or a sharper edge would need units of its own for every pixel. Here the
transformer's further output channels are the weights of one net a token, shared by its pixels; what that net makes of
the source is added to the velocity. A field written by a transformer, as in PixNerd (arXiv 2507.23268).
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from relation_adapter.config import PIXEL_UNIT
from relation_adapter.model.latents import pack, unpack

SEEN = 9  # of a pixel: its colour, what sets it off from its neighbours (3 each), its row and column in the block, one
COLOURS = 3


def apply(out: Tensor, source: Tensor, rows: int, factor: int, hidden: int) -> Tensor:
    """Split the transformer's output (B, L, C + extra) and return the whole velocity (B, L, C).

    source: packed latents (B, L, C) of a `PixelCodec` with this factor. rows: of the token grid.
    """
    velocity, first, second = out.split([source.shape[-1], hidden * SEEN, hidden * COLOURS], dim=-1)
    seen = _seen(source, rows, factor).to(out.dtype)
    units = nn.functional.gelu(first.unflatten(-1, (hidden, SEEN)) @ seen, approximate="tanh")  # (B, L, hidden, pixels)
    return velocity + _to_tokens(second.unflatten(-1, (COLOURS, hidden)) @ units, factor)


@torch.no_grad()
def initialise(proj_out: nn.Linear, hidden: int) -> None:
    """Units that bend at different colours from the start, and count for nothing yet."""
    units = torch.randn(hidden, SEEN)
    units[:, :3] *= 3 / units[:, :3].norm(dim=1, keepdim=True)
    units[:, 6:8] *= 0.1
    units[:, 8] = torch.linspace(-3, 3, hidden)
    extra = PIXEL_UNIT * hidden
    proj_out.weight[-extra:] = 0.0
    proj_out.bias[-extra:] = 0.0
    first = slice(-extra, -hidden * COLOURS)
    proj_out.weight[first] = 0.02 * torch.randn(hidden * SEEN, proj_out.in_features)
    proj_out.bias[first] = units.flatten()


def _seen(source: Tensor, rows: int, factor: int) -> Tensor:
    """What the nets read of every pixel, (B, L, SEEN, pixels of a token)."""
    picture = nn.functional.pixel_shuffle(unpack(source, rows), factor)
    around = nn.functional.avg_pool2d(nn.functional.pad(picture, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    detail = pack(nn.functional.pixel_unshuffle(picture - around, factor))
    side = 2 * factor
    ramp = ((torch.arange(side, device=source.device) - (side - 1) / 2) * (2 / side)).to(source)
    place = torch.stack([ramp.repeat_interleave(side), ramp.repeat(side), torch.ones_like(ramp).repeat(side)])
    place = place.expand(*source.shape[:2], -1, -1)
    return torch.cat([_to_pixels(source, factor), 2 * _to_pixels(detail, factor), place], dim=2)


def _to_pixels(tokens: Tensor, factor: int) -> Tensor:
    """Tokens (B, L, C) to colours by pixel (B, L, 3, pixels), row by row."""
    f = factor
    return rearrange(tokens, "b l (c y x p q) -> b l c (p y q x)", c=COLOURS, y=f, x=f, p=2, q=2)


def _to_tokens(pixels: Tensor, factor: int) -> Tensor:
    f = factor
    return rearrange(pixels, "b l c (p y q x) -> b l (c y x p q)", y=f, x=f, p=2, q=2)
