"""The only call to the transformer; the pipeline and the loss both use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor

from relation_adapter.config import ModelConfig
from relation_adapter.model import pixel_head, step_tables
from relation_adapter.model.attention import is_compiled
from relation_adapter.model.keys_values import (
    BlockKeysValues,
    RelationKeysValues,
    SourceKeysValues,
    SourceRecorder,
)
from relation_adapter.model.latents import with_positions


@dataclass
class Conditions:
    """All that one edit gives the transformer beside the noisy tokens and the time.

    source: packed source latents (B, L, C), or (1, L, C), one for all, with one text and one relation. rows, columns:
    the token grid, rows * columns = L.
    text: (B, T, J), pooled: (B, P). relations: one or more, each with its strength. guidance: FLUX's embedded scale.
    attention: more `joint_attention_kwargs`, as `scale` of LoRAs.
    modulations: of every step that is to come, see `prepare`.
    source_cache: the isolated clean source as the last call saw it; `velocity` fills it and reads it while nothing that
    the source tokens see has changed. Replace the tensors, do not write into them.
    """

    source: Tensor
    rows: int
    columns: int
    text: Tensor
    pooled: Tensor
    relations: list[RelationKeysValues] = field(default_factory=list)
    guidance: float = 1.0
    attention: Mapping[str, Any] = field(default_factory=dict)
    modulations: Tensor | None = None
    source_cache: SourceCache | None = None

    @property
    def related(self) -> bool:
        """Whether a relation acts. Without one, all is computed as the base does: it is the base bit for bit."""
        return any(relation.acts for relation in self.relations)


@dataclass(frozen=True)
class SourceCache:
    """Keys and values of a clean source, and what they were made from."""

    keys_values: SourceKeysValues
    made_from: Conditions

    def fits(self, given: Conditions) -> bool:
        """Whether the source tokens would see the same again. Relations may change on the way, by their steps."""
        then, now = self.made_from, given
        if then.source is not now.source or then.pooled is not now.pooled or then.guidance != now.guidance:
            return False
        if len(then.relations) != len(now.relations):
            return False
        return all(a.is_same(b) for a, b in zip(then.relations, now.relations, strict=True))


def prepare(transformer: FluxTransformer2DModel, design: ModelConfig, times: Tensor, given: Conditions) -> None:
    """Compute what depends on the times (steps,) alone, in [0, 1], for `velocity` to be told the step."""
    if given.related:
        guidance = given.guidance if design.transformer.guidance_embeds else None
        given.modulations = step_tables.modulations(transformer, times, guidance, _pooled(given))


def velocity(
    transformer: FluxTransformer2DModel,
    design: ModelConfig,
    noisy: Tensor,
    t: Tensor,
    given: Conditions,
    step: int | None = None,
) -> Tensor:
    """Predict dx/dt of the noisy tokens (B, L, C) at times t (B,) in [0, 1]; returns (B, L, C).

    Keep t in float32: the stock transformer rounds it to its own dtype before it multiplies by 1000, as published.
    step: which of the times that the conditions were prepared for, if they were.
    """
    source = given.source.expand(noisy.shape[0], -1, -1)
    ready = None if step is None or given.modulations is None else given.modulations[step]
    if design.source_attention == "joint":
        out = _call(transformer, design, [noisy, source], t, given, given.text, None, ready)
        out = out[:, : noisy.shape[1]]
    else:
        seen = _source(transformer, design, t, given)
        out = _call(transformer, design, [noisy], t, given, given.text, seen, ready)
    if not design.pixel_hidden:
        return out
    return pixel_head.apply(out, source, given.rows, design.pixel_factor, design.pixel_hidden)


def source_keys_values(
    transformer: FluxTransformer2DModel, design: ModelConfig, t: Tensor, given: Conditions
) -> SourceKeysValues:
    """Run the source tokens alone (they see source and relation only) and record every block's keys and values."""
    batch = given.source.shape[0]
    given, t = replace(given, pooled=given.pooled[:batch], text=given.text[:batch]), t[:batch]
    recorder = SourceRecorder(_room(transformer, design, given.source))
    t = torch.zeros_like(t) if design.source_time == "clean" else t
    _call(transformer, design, [given.source], t, given, given.text[:, :0], recorder)
    return recorder.recorded()


def _room(transformer: FluxTransformer2DModel, design: ModelConfig, source: Tensor) -> BlockKeysValues | None:
    """Where compiled blocks write down what they record; others hand it on, and so do all where there are gradients."""
    if torch.is_grad_enabled() or not is_compiled(transformer):
        return None
    shape = design.transformer
    size = (shape.num_blocks, *source.shape[:2], shape.num_attention_heads, shape.attention_head_dim)
    return BlockKeysValues(source.new_empty(size), source.new_empty(size))


def _source(transformer: FluxTransformer2DModel, design: ModelConfig, t: Tensor, given: Conditions) -> SourceKeysValues:
    """The isolated source at this step: from the cache where the design allows it and it still fits."""
    if given.source_cache is not None and design.reuses_source and given.source_cache.fits(given):
        return given.source_cache.keys_values
    source = source_keys_values(transformer, design, t, given)
    if design.reuses_source:
        given.source_cache = SourceCache(source, replace(given, source_cache=None))
    return source


def _call(
    transformer: FluxTransformer2DModel,
    design: ModelConfig,
    parts: list[Tensor],
    t: Tensor,
    given: Conditions,
    text: Tensor,
    source: SourceRecorder | SourceKeysValues | None = None,
    modulations: Tensor | None = None,
) -> Tensor:
    """One forward of the transformer; parts are the noisy tokens, the source tokens or both, on one grid."""
    grid = (given.rows, given.columns)
    guidance = torch.full_like(t, given.guidance) if design.transformer.guidance_embeds else None
    ids = step_tables.rotary(transformer, *grid, len(parts) == 2, parts[0])
    tokens = torch.cat([with_positions(part, *grid, design.position_features) for part in parts], dim=1)
    attention = {**given.attention, "relations": given.relations, "source": source}
    if given.related:
        attention["reads"] = 1 if isinstance(source, SourceRecorder) else parts[0].shape[1]
    if design.relation_branch == "in_context":
        side = design.exemplar_size // design.patch
        pair_ids = step_tables.rotary(transformer, side, side, False, tokens)
        tokens, ids, mask = _with_context(given.relations, tokens, ids, pair_ids, text.shape[1])
        attention |= {"relations": [], "attention_mask": mask}
    out: Tensor = transformer(
        hidden_states=tokens,
        encoder_hidden_states=text,
        pooled_projections=_pooled(given) if modulations is None else modulations,
        timestep=t,
        guidance=guidance,
        img_ids=ids,
        txt_ids=step_tables.text_rotary(text.shape[1], ids),
        joint_attention_kwargs=attention,
        return_dict=False,
    )[0]
    return out


def _with_context(
    relations: list[RelationKeysValues], tokens: Tensor, ids: Tensor, pair_ids: Tensor, text_length: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Tokens (B, L, C) and rotary tables with those of the pairs behind them, and which keys count, or None for all.

    The pairs' positions are cloned as the source's are: of a picture of their own size, before and after alike.
    """
    read = [(one.tokens, one.mask) for one in relations if one.tokens is not None and one.strength != [0.0]]
    batch = tokens.shape[0]
    ids = torch.cat([ids, *(pair_ids.repeat(pair.shape[1] // len(pair_ids), 1) for pair, _ in read)])
    ones = tokens.new_ones(batch, text_length + tokens.shape[1], dtype=torch.bool)
    masks = [ones.new_ones(batch, pair.shape[1]) if mask is None else mask.expand(batch, -1) for pair, mask in read]
    masked = any(mask is not None for _, mask in read)
    tokens = torch.cat([tokens, *(pair.to(tokens).expand(batch, -1, -1) for pair, _ in read)], dim=1)
    return tokens, ids, torch.cat([ones, *masks], dim=1)[:, None, None] if masked else None


def _pooled(given: Conditions) -> Tensor:
    """Pooled text (B, P) plus the vector of every relation that has one, at its (mean) strength."""
    pooled = given.pooled
    for relation in given.relations:
        strength = sum(relation.strength) / len(relation.strength)
        if relation.vector is not None and strength != 0:
            pooled = pooled + strength * relation.vector.to(pooled)
    return pooled
