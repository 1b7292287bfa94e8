"""Decoupled attention as a diffusers attention processor, for the double and the single blocks of FLUX.

`Z = Z_backbone + strength * softmax(Q K'^T / sqrt(d)) V'` (equations 4 to 6). As published: the query is the image
query after `norm_q` and before the rotary code, K' has a weightless RMSNorm and no position, and the sum is taken
before the output projection. In single blocks text tokens query the relation too.

The processor holds no weights: `RelationAdapter` makes the keys and values once per relation and hands them in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_flux import _get_qkv_projections
from torch import Tensor

KeyValue = tuple[Tensor, Tensor]


@dataclass
class RelationKeysValues:
    """A relation as every block sees it.

    blocks: one (keys, values) per block, each (B, L, H, D) or (1, L, H, D), doubles first. strength: one per block, or
    one for all. mask: (B, L) bool, False where a shorter relation of the batch was padded; an item whose row is all
    False has no relation. vector: (B, P) added to the pooled text. tokens: (B, L, C) or (1, L, C), in place of the
    blocks where the relation is read in context, beside the source.
    """

    blocks: list[KeyValue]
    strength: list[float] = field(default_factory=lambda: [1.0])
    mask: Tensor | None = None
    vector: Tensor | None = None
    tokens: Tensor | None = None

    def strength_of(self, block: int) -> float:
        return self.strength[block] if len(self.strength) > 1 else self.strength[0]

    def is_same(self, other: RelationKeysValues) -> bool:
        """Whether both hold the very same tensors at the same strength."""
        same = self.blocks is other.blocks and self.mask is other.mask and self.vector is other.vector
        return same and self.strength == other.strength


class SourceRecorder:
    """Takes down the keys and values of source tokens that run alone, block by block.

    A block's first pair stays: with gradient checkpointing the backward pass runs the block again, and to keep what it
    records then would keep all its activations.
    """

    def __init__(self) -> None:
        self.blocks: dict[int, KeyValue] = {}

    def record(self, block: int, key: Tensor, value: Tensor) -> None:
        self.blocks.setdefault(block, (key, value))


@dataclass(frozen=True)
class SourceKeysValues:
    """Recorded keys and values of isolated source tokens: per block (B, L, H, D), rotary code applied; only read."""

    blocks: list[KeyValue]


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
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Hidden states (B, L, C); returns (image, text) in double blocks, text + image in single blocks."""
        query, key, value, relation_query = _project(attn, hidden_states, encoder_hidden_states)
        if image_rotary_emb is not None:
            query = apply_rotary_emb(query, image_rotary_emb, sequence_dim=1)
            key = apply_rotary_emb(key, image_rotary_emb, sequence_dim=1)
        if source is not None:
            key, value = self._join_source(source, key, value)
        out = self._attend(query, key, value, attention_mask, self._parallel_config)

        text_length = 0 if encoder_hidden_states is None else encoder_hidden_states.shape[1]
        text, image = out[:, :text_length], out[:, text_length:]
        for relation in relations or []:
            image = self._add_relation(relation, relation_query, image)
        if encoder_hidden_states is None:
            return image
        # contiguous() as in the stock processor: a product over a strided view rounds differently, and strength 0
        # must equal the base bit for bit.
        image = attn.to_out[1](attn.to_out[0](image.contiguous()))
        return image, attn.to_add_out(text.contiguous())

    # These two look the block's number up, and stay out of what is compiled: where blocks are compiled one by one, each
    # would need a version of its own, and torch gives up after eight.
    @torch.compiler.disable
    def _own(self, relation: RelationKeysValues) -> tuple[KeyValue, float]:
        """Keys and values, and the strength, in this block."""
        return relation.blocks[self.block], relation.strength_of(self.block)

    @torch.compiler.disable
    def _join_source(self, source: SourceRecorder | SourceKeysValues, key: Tensor, value: Tensor) -> KeyValue:
        """Record this block's keys and values, or append the recorded ones to what the queries see."""
        if isinstance(source, SourceRecorder):
            source.record(self.block, key, value)
            return key, value
        source_key, source_value = source.blocks[self.block]
        return torch.cat([key, source_key], dim=1), torch.cat([value, source_value], dim=1)

    def _add_relation(self, relation: RelationKeysValues, query: Tensor, image: Tensor) -> Tensor:
        (key, value), strength = self._own(relation)
        if strength == 0:
            return image
        key, value = (x.to(query).expand(query.shape[0], -1, -1, -1) for x in (key, value))
        # The relation's keys are whole on every rank, so it never needs the parallel config.
        if relation.mask is None:
            return image + strength * self._attend(query, key, value, None, None)
        mask, present = relation.mask, relation.mask.any(dim=1)
        # Softmax over nothing is undefined: an item without a relation attends to padding, times zero.
        mask = (mask | ~present[:, None])[:, None, None, :]
        return image + strength * self._attend(query, key, value, mask, None) * present[:, None, None]

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, parallel: Any) -> Tensor:
        out = dispatch_attention_fn(
            query, key, value, attn_mask=mask, backend=self._attention_backend, parallel_config=parallel
        )
        flat: Tensor = out.flatten(2, 3).to(query.dtype)  # (B, L, H * D)
        return flat


def _project(attn: Any, hidden_states: Tensor, text: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Query, key, value of text + image tokens, each (B, L, H, D), and the relation's query: image tokens only."""
    query, key, value, text_query, text_key, text_value = _get_qkv_projections(attn, hidden_states, text)
    query, key, value = (x.unflatten(-1, (-1, attn.head_dim)) for x in (query, key, value))
    query, key = attn.norm_q(query), attn.norm_k(key)
    relation_query = query
    if text is not None:
        text_query, text_key, text_value = (
            x.unflatten(-1, (-1, attn.head_dim)) for x in (text_query, text_key, text_value)
        )
        query = torch.cat([attn.norm_added_q(text_query), query], dim=1)
        key = torch.cat([attn.norm_added_k(text_key), key], dim=1)
        value = torch.cat([text_value, value], dim=1)
    return query, key, value, relation_query
