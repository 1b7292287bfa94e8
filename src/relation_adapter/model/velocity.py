"""The only call to the transformer; the pipeline and the loss both use it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor

from relation_adapter.config import ModelConfig
from relation_adapter.model.attention import RelationKeysValues, SourceKeysValues
from relation_adapter.model.latents import cloned_ids, position_ids, with_positions


@dataclass
class Conditions:
    """All that one edit gives the transformer beside the noisy tokens and the time.

    source: packed source latents (B, L, C). rows, columns: the token grid, rows * columns = L.
    text: (B, T, J), pooled: (B, P). relations: one or more, each with its strength. guidance: FLUX's embedded scale.
    source_cache: keys and values of the isolated clean source, filled by the first call and reused by the next ones.
    """

    source: Tensor
    rows: int
    columns: int
    text: Tensor
    pooled: Tensor
    relations: list[RelationKeysValues] = field(default_factory=list)
    guidance: float = 1.0
    source_cache: SourceKeysValues | None = None


def velocity(
    transformer: FluxTransformer2DModel, design: ModelConfig, noisy: Tensor, t: Tensor, given: Conditions
) -> Tensor:
    """Predict dx/dt of the noisy tokens (B, L, C) at times t (B,) in [0, 1]; returns (B, L, C)."""
    if design.source_attention == "joint":
        tokens = torch.cat([noisy, given.source], dim=1)
        ids = cloned_ids(given.rows, given.columns, noisy.device)
        return _call(transformer, design, tokens, ids, t, given, text=given.text)[:, : noisy.shape[1]]
    source = given.source_cache
    if source is None:
        source = source_keys_values(transformer, design, t, given)
    if design.reuses_source:
        given.source_cache = source
    ids = position_ids(given.rows, given.columns, noisy.device)
    return _call(transformer, design, noisy, ids, t, given, text=given.text, source=source)


def source_keys_values(
    transformer: FluxTransformer2DModel, design: ModelConfig, t: Tensor, given: Conditions
) -> SourceKeysValues:
    """Run the source tokens alone (they see source and relation only) and record every block's keys and values."""
    source = SourceKeysValues()
    ids = position_ids(given.rows, given.columns, given.source.device)
    t = torch.zeros_like(t) if design.source_time == "clean" else t
    _call(transformer, design, given.source, ids, t, given, text=given.text[:, :0], source=source)
    source.recording = False
    return source


def _call(
    transformer: FluxTransformer2DModel,
    design: ModelConfig,
    tokens: Tensor,
    ids: Tensor,
    t: Tensor,
    given: Conditions,
    text: Tensor,
    source: SourceKeysValues | None = None,
) -> Tensor:
    rows = tokens.shape[1] // given.columns
    repeats = rows // given.rows  # 2 where source tokens stand behind the noisy ones
    if design.position_features:
        parts = tokens.chunk(repeats, dim=1)
        parts = tuple(with_positions(part, given.rows, given.columns, design.position_features) for part in parts)
        tokens = torch.cat(parts, dim=1)
    guidance = None
    if transformer.config.guidance_embeds:
        guidance = torch.full_like(t, given.guidance, dtype=torch.float32)
    out: Tensor = transformer(
        hidden_states=tokens,
        encoder_hidden_states=text,
        pooled_projections=_pooled(given),
        timestep=t,
        guidance=guidance,
        img_ids=ids,
        txt_ids=torch.zeros(text.shape[1], 3, device=ids.device, dtype=ids.dtype),
        joint_attention_kwargs={"relations": given.relations, "source": source},
        return_dict=False,
    )[0]
    return out


def _pooled(given: Conditions) -> Tensor:
    """Pooled text (B, P) plus the vector of every relation that has one, at its (mean) strength."""
    pooled = given.pooled
    for relation in given.relations:
        strength = sum(relation.strength) / len(relation.strength)
        if relation.vector is not None and strength != 0:
            pooled = pooled + strength * relation.vector
    return pooled
