"""`RelationAdapter`: features of pairs -> relation tokens -> keys and values of every transformer block."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from diffusers import ConfigMixin, FluxTransformer2DModel, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from relation_adapter.config import ModelConfig, from_dict
from relation_adapter.errors import UsageError
from relation_adapter.model.attention import KeyValue, RelationAttnProcessor, RelationKeysValues
from relation_adapter.model.projectors import PairResampler, PooledMLP

KEY_NORM_EPS = 1e-5  # of the weightless RMSNorm on K' in the published processor


class RelationAdapter(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """All weights that read a relation: the projector, and a key and a value matrix per block (doubles first).

    Args:
        design: the fields of a `ModelConfig`, as plain values.
    """

    config_name = "config.json"

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, design: dict[str, Any]) -> None:
        super().__init__()
        self.design = from_dict(ModelConfig, design, "adapter config")
        shape = self.design.transformer
        self.projector = _projector(self.design)
        self.to_k = nn.ModuleList(
            nn.Linear(self.design.token_dim, shape.inner_dim, bias=False) for _ in range(shape.num_blocks)
        )
        self.to_v = nn.ModuleList(
            nn.Linear(self.design.token_dim, shape.inner_dim, bias=False) for _ in range(shape.num_blocks)
        )
        if self.design.text == "none":
            self.null_text = nn.Parameter(torch.zeros(self.design.text_length, shape.joint_attention_dim))
            self.null_pooled = nn.Parameter(torch.zeros(shape.pooled_projection_dim))

    def encode(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (B, K, N, F) of before and of after to relation tokens (B, L, C) and a vector (B, P) or None."""
        tokens, vector = self.projector(before, after)
        return tokens, vector

    def keys_values(
        self, tokens: Tensor, vector: Tensor | None = None, mask: Tensor | None = None
    ) -> RelationKeysValues:
        """Relation tokens (B, L, C) to what every block needs; once per relation, not once per step."""
        blocks = [self._key_value(tokens, to_k, to_v) for to_k, to_v in zip(self.to_k, self.to_v, strict=True)]
        return RelationKeysValues(blocks, mask=mask, vector=vector)

    def _key_value(self, tokens: Tensor, to_k: nn.Module, to_v: nn.Module) -> KeyValue:
        head_dim = self.design.transformer.attention_head_dim
        key = to_k(tokens).unflatten(-1, (-1, head_dim))
        value = to_v(tokens).unflatten(-1, (-1, head_dim))
        return nn.functional.rms_norm(key, (head_dim,), eps=KEY_NORM_EPS), value

    def attach(self, transformer: FluxTransformer2DModel) -> None:
        """Let every attention of the transformer read relations; the base weights are not touched.

        Raises:
            UsageError: the transformer has another number of blocks or another width than this adapter.
        """
        shape, found = self.design.transformer, transformer.config
        expected = (shape.num_layers, shape.num_single_layers, shape.inner_dim)
        actual = (found.num_layers, found.num_single_layers, found.num_attention_heads * found.attention_head_dim)
        if expected != actual:
            raise UsageError(
                f"This adapter is for {expected[0]} double and {expected[1]} single blocks of width {expected[2]}; the "
                f"transformer has {actual[0]}, {actual[1]} and {actual[2]}. Use the base model it was trained for."
            )
        names = transformer.attn_processors
        transformer.set_attn_processor({name: RelationAttnProcessor(block) for block, name in enumerate(names)})

    @staticmethod
    def detach(transformer: FluxTransformer2DModel) -> None:
        """Put the stock processors back; the transformer is bit for bit what it was."""
        transformer.set_attn_processor(_stock_processors(transformer))


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
    )


def _stock_processors(transformer: FluxTransformer2DModel) -> dict[str, Any]:
    from diffusers.models.transformers.transformer_flux import FluxAttnProcessor

    return {name: FluxAttnProcessor() for name in transformer.attn_processors}
