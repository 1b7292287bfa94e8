"""`RelationAdapter`: features of pairs -> relation tokens -> keys and values of every transformer block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import torch
from diffusers import ConfigMixin, FluxTransformer2DModel, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from relation_adapter.config import ModelConfig, TransformerConfig, from_dict
from relation_adapter.errors import UsageError
from relation_adapter.model import last_block, step_tables
from relation_adapter.model.attention import RelationAttnProcessor, blocks_of
from relation_adapter.model.keys_values import BlockKeysValues, KeyValue, RelationKeysValues
from relation_adapter.model.projectors import PairResampler, PairTokens, PooledMLP

KEY_NORM_EPS = 1e-5  # of the weightless RMSNorm on K' in the published processor


class RelationAdapter(ModelMixin, ConfigMixin):
    """All weights that read a relation: the projector, and a key and a value matrix per block (doubles first).

    With relation_branch=in_context the blocks read the relation's tokens as they read the source's, so there are none.

    Args:
        design: the fields of a `ModelConfig`, as plain values.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(self, design: dict[str, Any]) -> None:
        super().__init__()
        self.design = from_dict(ModelConfig, design, "adapter config")
        shape = self.design.transformer
        self.projector = _projector(self.design)
        blocks = shape.num_blocks if self.design.relation_branch == "adapter" else 0
        self.to_k, self.to_v = (
            nn.ModuleList(nn.Linear(self.design.token_dim, shape.inner_dim, bias=False) for _ in range(blocks))
            for _ in range(2)
        )
        if self.design.has_null_text:
            self.null_text = nn.Parameter(torch.zeros(self.design.text_length, shape.joint_attention_dim))
            self.null_pooled = nn.Parameter(torch.zeros(shape.pooled_projection_dim))

    def forward(self, part: Callable[..., Any], *given: Any) -> Any:
        """Run one part of the adapter: offloading hangs its hooks on `forward`, and brings the weights in for it."""
        return part(*given)

    def encode(
        self, before: Tensor, after: Tensor, present: Tensor | None = None, made: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Features (B, K, N, F) of before and of after to relation tokens (B, L, C) and a vector (B, P) or None.

        present: (B, K) bool, False where an item has fewer pairs; `token_mask` then tells which tokens count. made: for
        a second look, see `second_look.py`.
        """
        again = () if made is None else (made.to(self.dtype),)
        tokens, vector = self(self.projector, before.to(self.dtype), after.to(self.dtype), present, *again)
        return tokens, vector

    def token_mask(self, present: Tensor, length: int) -> Tensor:
        """Which pairs an item has, (B, K) bool, to which of its `length` relation tokens count, (B, L) bool."""
        if self.design.projector == "resampler" and self.design.num_tokens:
            return present.any(dim=1, keepdim=True).expand(-1, length)
        return present.repeat_interleave(length // present.shape[1], dim=1)

    def null_condition(self, batch: int) -> tuple[Tensor, Tensor]:
        """What stands for absent text: (B, T, J), and pooled (B, P).

        Raises:
            UsageError: the design always has an instruction.
        """
        if not self.design.has_null_text:
            raise UsageError(f"{self.design.name} has no null for absent text; give an instruction.")
        return self.null_text.expand(batch, -1, -1), self.null_pooled.expand(batch, -1)

    def keys_values(
        self, tokens: Tensor, vector: Tensor | None = None, mask: Tensor | None = None
    ) -> RelationKeysValues:
        """Relation tokens (B, L, C) to what every block needs; once per relation, not once per step."""
        if self.design.relation_branch == "in_context":
            return RelationKeysValues([], mask=mask, tokens=tokens)
        return RelationKeysValues(self(self._keys_values, tokens), mask=mask, vector=vector)

    def _keys_values(self, tokens: Tensor) -> BlockKeysValues:
        projections = zip(self.to_k, self.to_v, strict=True)
        return BlockKeysValues.stack([self._key_value(tokens, to_k, to_v) for to_k, to_v in projections])

    def _key_value(self, tokens: Tensor, to_k: nn.Module, to_v: nn.Module) -> KeyValue:
        head_dim = self.design.transformer.attention_head_dim
        tokens = tokens.to(next(to_k.parameters()).dtype)  # training may hold projector and keys in two types
        key = to_k(tokens).unflatten(-1, (-1, head_dim))
        value = to_v(tokens).unflatten(-1, (-1, head_dim))
        return nn.functional.rms_norm(key, (head_dim,), eps=KEY_NORM_EPS), value

    def attach(self, transformer: FluxTransformer2DModel) -> None:
        """Let every attention of the transformer read relations; the base weights are not touched.

        Raises:
            UsageError: the transformer has another shape than the one this adapter is for.
        """
        expected, found = self.design.transformer, shape_of(transformer)
        wrong = [
            f"{item.name} {getattr(found, item.name)} instead of {getattr(expected, item.name)}"
            for item in fields(expected)
            if getattr(found, item.name) != getattr(expected, item.name)
        ]
        if wrong:
            raise UsageError(
                f"The adapter {self.design.name} does not fit this transformer, which has {', '.join(wrong)}; "
                "use the base model it was trained for."
            )
        _set_processors(transformer, RelationAttnProcessor)
        last_block.put(transformer)
        step_tables.put(transformer)

    @staticmethod
    def detach(transformer: FluxTransformer2DModel) -> None:
        """Put the stock processors back; the transformer is bit for bit what it was."""
        _set_processors(transformer, lambda _: FluxAttnProcessor())
        last_block.take_away(transformer)
        step_tables.take_away(transformer)


def shape_of(transformer: FluxTransformer2DModel) -> TransformerConfig:
    """The shape of a stock transformer."""
    found = transformer.config
    values = {item.name: found[item.name] for item in fields(TransformerConfig)}
    return TransformerConfig(
        **values
        | {"out_channels": found.out_channels or found.in_channels, "axes_dims_rope": tuple(found.axes_dims_rope)}
    )


def pad_tokens(relations: list[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Tokens (1, L_i, C) of one relation per item to (B, L, C) and the mask (B, L) of those that count.

    The mask is None where all are equally long.
    """
    tokens = pad_sequence([relation[0] for relation in relations], batch_first=True)
    lengths = torch.tensor([relation.shape[1] for relation in relations], device=tokens.device)
    if bool((lengths == tokens.shape[1]).all()):
        return tokens, None
    return tokens, torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]


def with_strength(relation: RelationKeysValues, strength: float | list[float]) -> RelationKeysValues:
    """The same relation at another strength; a list gives one strength per block, doubles first.

    Raises:
        UsageError: a list of the wrong length.
    """
    strengths = [float(s) for s in strength] if isinstance(strength, (list, tuple)) else [float(strength)]
    if len(strengths) not in (1, len(relation.blocks)):
        raise UsageError(f"strength has {len(strengths)} values; give one, or one per block ({len(relation.blocks)}).")
    return replace(relation, strength=strengths)


def _projector(design: ModelConfig) -> nn.Module:
    if design.projector == "none":
        return PairTokens(design.token_dim, design.roles)
    if design.projector == "pooled_mlp":
        return PooledMLP(design.feature_dim, design.num_tokens, design.token_dim, design.roles)
    vector_dim = design.transformer.pooled_projection_dim if design.relation_vector else 0
    return PairResampler(
        design.feature_dim,
        design.token_dim,
        design.resampler_layers,
        design.resampler_heads,
        design.num_tokens,
        vector_dim,
        design.second_look,
    )


def _set_processors(transformer: FluxTransformer2DModel, make: Callable[[int], Any]) -> None:
    """Give block i the processor make(i), counting doubles and then singles as the published files do."""
    for number, block in enumerate(blocks_of(transformer)):
        new, old = make(number), block.attn.processor
        # An attention back end or parallel plan that was chosen before stays chosen.
        for choice in ("_attention_backend", "_parallel_config"):
            setattr(new, choice, getattr(old, choice, None))
        block.attn.set_processor(new)
        # A buffer, so that it is where the block is: compiled blocks find what is theirs by it (`keys_values.own`).
        index = torch.tensor([number], device=block.attn.norm_q.weight.device)
        block.attn.register_buffer("block_index", index, persistent=False)
