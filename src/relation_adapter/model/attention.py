"""Decoupled attention as a diffusers attention processor, for the double and the single blocks of FLUX.

`Z = Z_backbone + strength * softmax(Q K'^T / sqrt(d)) V'` (equations 4 to 6). As published: the query is the image
query after `norm_q` and before the rotary code, K' has a weightless RMSNorm and no position, and the sum is taken
before the output projection. In single blocks text tokens query the relation too.

The processor holds no weights: `RelationAdapter` makes the keys and values once per relation and hands them in.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor

from relation_adapter.model import cpu_attention
from relation_adapter.model.keys_values import (
    RelationKeysValues,
    SourceKeysValues,
    SourceRecorder,
    own,
)

ALL_ROWS = slice(None)


class RelationAttnProcessor:
    """FLUX attention plus a relation and, where the source is isolated, the source's keys and values."""

    # diffusers sets these two on processors that have them (attention back ends, context parallelism).
    _attention_backend: Any = None
    _parallel_config: Any = None

    def __init__(self, block: int = 0) -> None:
        self.block = block

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
        relations: list[RelationKeysValues] | None = None,
        source: SourceRecorder | SourceKeysValues | None = None,
        reads: int | None = None,  # of the last block alone, which makes `rows` of it
        rows: slice = ALL_ROWS,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Hidden states (B, L, C); returns (image, text) in double blocks, text + image in single blocks.

        rows: of a single block's tokens, those to return; the others are attended to.
        """
        query, key, value, relation_query = _project(attn, hidden_states, encoder_hidden_states, rows)
        if image_rotary_emb is not None:
            query = apply_rotary_emb(query, _of_rows(image_rotary_emb, rows), sequence_dim=1)
            key = apply_rotary_emb(key, image_rotary_emb, sequence_dim=1)
        if isinstance(source, SourceRecorder):
            source.record(self.block, attn.block_index, key, value)
        elif source is not None:
            recorded = (x.expand(key.shape[0], -1, -1, -1) for x in own(source.blocks, self.block, attn.block_index))
            key, value = (torch.cat(both, dim=1) for both in zip((key, value), recorded, strict=True))
        out = self._attend(query, key, value, attention_mask, self._parallel_config)

        text_length = 0 if encoder_hidden_states is None else encoder_hidden_states.shape[1]
        text, image = out[:, :text_length], out[:, text_length:]
        for relation in relations or []:
            image = self._add_relation(attn, relation, relation_query, image)
        if encoder_hidden_states is None:
            return image
        # contiguous() as in the stock processor: a product over a strided view rounds differently, and strength 0
        # must equal the base bit for bit.
        image = attn.to_out[1](attn.to_out[0](image.contiguous()))
        return image, attn.to_add_out(text.contiguous())

    def _add_relation(self, attn: Any, relation: RelationKeysValues, query: Tensor, image: Tensor) -> Tensor:
        strength = relation.strength_in(self.block, attn.block_index)
        if isinstance(strength, float) and strength == 0:
            return image
        key, value = own(relation.blocks, self.block, attn.block_index)
        key, value = (x.to(query).expand(query.shape[0], -1, -1, -1) for x in (key, value))
        # The relation's keys are whole on every rank, so it never needs the parallel config.
        if relation.mask is None:
            return image + _times(strength, self._attend(query, key, value, None, None))
        mask, present = relation.mask, relation.mask.any(dim=1)
        # Softmax over nothing is undefined: an item without a relation attends to padding, times zero.
        mask = (mask | ~present[:, None])[:, None, None, :]
        return image + _times(strength, self._attend(query, key, value, mask, None)) * present[:, None, None]

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, parallel: Any) -> Tensor:
        if self._attention_backend is None and parallel is None and cpu_attention.is_better(query):
            q, k, v = (x.transpose(1, 2) for x in (query, key, value))
            out = cpu_attention.attention(q, k, v, mask).transpose(1, 2)
        else:
            out = dispatch_attention_fn(
                query, key, value, attn_mask=mask, backend=self._attention_backend, parallel_config=parallel
            )
        flat: Tensor = out.flatten(2, 3).to(query.dtype)  # (B, L, H * D)
        return flat


def _project(attn: Any, hidden_states: Tensor, text: Tensor | None, rows: slice) -> tuple[Tensor, ...]:
    """Query, key, value of text + image tokens, each (B, L, H, D), and the relation's query: image tokens only.

    rows: of the hidden states, those that query.
    """
    if attn.fused_projections:
        query, key, value = attn.to_qkv(hidden_states).chunk(3, dim=-1)
        query = query[:, rows]
    else:
        query, key, value = attn.to_q(hidden_states[:, rows]), attn.to_k(hidden_states), attn.to_v(hidden_states)
    query, key, value = (x.unflatten(-1, (-1, attn.head_dim)) for x in (query, key, value))
    query, key = attn.norm_q(query), attn.norm_k(key)
    relation_query = query
    if text is not None:
        if attn.fused_projections:
            text_query, text_key, text_value = attn.to_added_qkv(text).chunk(3, dim=-1)
        else:
            text_query, text_key, text_value = attn.add_q_proj(text), attn.add_k_proj(text), attn.add_v_proj(text)
        text_query, text_key, text_value = (
            x.unflatten(-1, (-1, attn.head_dim)) for x in (text_query, text_key, text_value)
        )
        query = torch.cat([attn.norm_added_q(text_query), query], dim=1)
        key = torch.cat([attn.norm_added_k(text_key), key], dim=1)
        value = torch.cat([text_value, value], dim=1)
    return query, key, value, relation_query


def _times(strength: float | Tensor, x: Tensor) -> Tensor:
    """Rounded once, to the dtype of x, whichever the strength is."""
    return strength * x if isinstance(strength, float) else (strength * x.float()).to(x.dtype)


def _of_rows(tables: tuple[Tensor, Tensor], rows: slice) -> tuple[Tensor, Tensor]:
    cos, sin = tables
    return cos[rows], sin[rows]


def blocks_of(transformer: Any) -> list[Any]:
    """All blocks, doubles first: the order of the published files, and of everything that is told block by block."""
    return [*transformer.transformer_blocks, *transformer.single_transformer_blocks]


def is_compiled(transformer: Any) -> bool:
    """Whether blocks are compiled one by one."""
    return any(block._compiled_call_impl is not None for block in blocks_of(transformer))


def has_fused_projections(transformer: Any) -> bool:
    """Whether query, key and value come of one product."""
    return transformer is not None and any(block.attn.fused_projections for block in blocks_of(transformer))


@torch.no_grad()
def fuse_projections(transformer: Any) -> None:
    """Let query, key and value come of one product; the three weights become parts of the one, without a copy."""
    transformer.fuse_qkv_projections()
    for attn in (block.attn for block in blocks_of(transformer)):
        _share(attn.to_qkv, (attn.to_q, attn.to_k, attn.to_v))
        if hasattr(attn, "to_added_qkv"):
            _share(attn.to_added_qkv, (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj))


def _share(whole: Any, parts: tuple[Any, ...]) -> None:
    for part, weight, bias in zip(parts, whole.weight.chunk(3), whole.bias.chunk(3), strict=True):
        part.weight.data, part.bias.data = weight, bias
