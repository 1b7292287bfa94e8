"""What is known of all steps before the first: the rotary tables, and the modulation of every block.

The stock transformer makes both anew at every call. Here they are made once and handed in where it expects what it
would make them of: tables in place of position ids, modulations in place of the pooled text. Its parts, which `put`
teaches to, tell one from the other by its width, and leave the rest to the stock class.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from diffusers.models.embeddings import CombinedTimestepGuidanceTextProjEmbeddings, CombinedTimestepTextProjEmbeddings
from diffusers.models.transformers.transformer_flux import FluxPosEmbed
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from relation_adapter.model.attention import is_compiled
from relation_adapter.model.latents import cloned_ids, position_ids

AXES = 3  # of position ids
SIZES = 16  # of pictures whose tables are kept


class _PosEmbed(FluxPosEmbed):
    def forward(self, ids: Tensor) -> Any:
        return super().forward(ids) if ids.shape[-1] == AXES else ids.chunk(2, dim=-1)


class _TimeText(CombinedTimestepTextProjEmbeddings):
    def forward(self, *given: Tensor) -> Tensor:
        return given[-1] if given[-1].shape[-1] == self.whole else super().forward(*given)


class _TimeGuidanceText(CombinedTimestepGuidanceTextProjEmbeddings):
    def forward(self, *given: Tensor) -> Tensor:
        return given[-1] if given[-1].shape[-1] == self.whole else super().forward(*given)


class _OwnPart(nn.SiLU):
    """The activation before a block's modulation; of the modulations of all blocks it takes the block's."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.part] if x.shape[-1] == self.whole else super().forward(x)  # type: ignore[index]  # a slice


class _Modulation(nn.Linear):
    """A block's modulation; what has its width already has been through it."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.shape[-1] == self.out_features else super().forward(x)


_TAUGHT: dict[type, type] = {
    FluxPosEmbed: _PosEmbed,
    CombinedTimestepTextProjEmbeddings: _TimeText,
    CombinedTimestepGuidanceTextProjEmbeddings: _TimeGuidanceText,
    nn.SiLU: _OwnPart,
    nn.Linear: _Modulation,
}
_STOCK = {taught: stock for stock, taught in _TAUGHT.items()}


def put(transformer: FluxTransformer2DModel) -> None:
    """Let the transformer take tables. A part that is not the stock one any more, as under a LoRA, stays as it is."""
    start = 0
    for norm in _norms(transformer):
        stop = start + norm.linear.out_features
        norm.silu.part, start = slice(start, stop), stop
    for part in _parts(transformer):
        part.__class__ = _TAUGHT.get(type(part), type(part))
        part.whole = start


def take_away(transformer: FluxTransformer2DModel) -> None:
    """Make the parts the stock ones again."""
    for part in _parts(transformer):
        part.__class__ = _STOCK.get(type(part), type(part))


def rotary(transformer: Any, rows: int, columns: int, cloned: bool, like: Tensor) -> Tensor:
    """Rotary tables (L, 2 D) of a grid of tokens, cosines beside sines, made once; `cloned`: of noisy and source ones.

    Where the transformer was not taught, or the adapter is detached, position ids (L, 3).
    """
    embed = transformer.pos_embed
    if not isinstance(embed, _PosEmbed):
        return cloned_ids(rows, columns, like.device) if cloned else position_ids(rows, columns, like.device)
    make = _table if type(like) is Tensor else _table.__wrapped__  # tensors that only pretend, to count, are not kept
    # What is made under inference mode is no use where there are gradients, so the mode is a part of the key.
    shape = (embed.theta, tuple(embed.axes_dim), torch.is_inference_mode_enabled())
    return make(rows, columns, cloned, like.device, *shape)


@lru_cache(SIZES)
def _table(
    rows: int, columns: int, cloned: bool, device: torch.device, theta: int, axes: tuple[int, ...], _: bool
) -> Tensor:
    ids = cloned_ids(rows, columns, device) if cloned else position_ids(rows, columns, device)
    return torch.cat(FluxPosEmbed(theta, list(axes))(ids), dim=-1)


def text_rotary(count: int, image: Tensor) -> Tensor:
    """The same for text tokens, which all stand at 0: beside the image tokens' tables, or ids."""
    if image.shape[-1] == AXES:
        return image.new_zeros(count, AXES)
    half = image.shape[-1] // 2
    return torch.cat([image.new_ones(count, half), image.new_zeros(count, half)], dim=-1)


def modulations(transformer: Any, times: Tensor, guidance: float | None, pooled: Tensor) -> Tensor | None:
    """Of every step, one product a block: (steps, B, all blocks' widths), from times (steps,) and pooled text (B, P).

    None where it cannot be: weights that come only with their block, blocks that are compiled (they make their own as
    fast), LoRAs on modulations. Times are rounded as the stock transformer rounds them.
    """
    if not _ready(transformer, pooled):
        return None
    steps, batch = len(times), pooled.shape[0]
    t = times.repeat_interleave(batch).to(pooled.dtype) * 1000
    scale = [] if guidance is None else [torch.full_like(t, guidance) * 1000]
    embedded = nn.functional.silu(transformer.time_text_embed(t, *scale, pooled.repeat(steps, 1)))
    return torch.cat([norm.linear(embedded) for norm in _norms(transformer)], dim=-1).unflatten(0, (steps, batch))


def _ready(transformer: Any, like: Tensor) -> bool:
    parts = _parts(transformer)
    if is_compiled(transformer) or any(type(part) not in _STOCK for part in parts):
        return False
    # A LoRA on the embedding is weighed only while the transformer runs.
    if any(isinstance(part, BaseTunerLayer) for part in transformer.time_text_embed.modules()):
        return False
    weights = (weight for part in parts for weight in part.parameters())
    # Offloaded, quantised or spread over processes, they are something else until their block runs.
    return all(
        type(one) is nn.Parameter and one.numel() and (one.device, one.dtype) == (like.device, like.dtype)
        for one in weights
    )


def _norms(transformer: Any) -> list[Any]:
    doubles = [norm for block in transformer.transformer_blocks for norm in (block.norm1, block.norm1_context)]
    return [*doubles, *(block.norm for block in transformer.single_transformer_blocks), transformer.norm_out]


def _parts(transformer: Any) -> list[Any]:
    norms = [part for norm in _norms(transformer) for part in (norm.silu, norm.linear)]
    return [transformer.pos_embed, transformer.time_text_embed, *norms]
