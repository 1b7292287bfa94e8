"""From items to edited tokens: conditions, times, and the loop of velocity and Euler step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from relation_adapter.config import ModelConfig
from relation_adapter.model.adapter import pad_tokens, with_strength
from relation_adapter.model.features import encode_pictures
from relation_adapter.model.flow import even_times, time_shift
from relation_adapter.model.keys_values import BlockKeysValues, RelationKeysValues
from relation_adapter.model.latents import pack
from relation_adapter.model.velocity import Conditions, SourceCache, prepare, source_keys_values, velocity
from relation_adapter.pipeline.pictures import to_tensor
from relation_adapter.pipeline.request import Item, Weighted
from relation_adapter.relation import Relation


@dataclass
class Draw:
    """What one item starts from: packed tokens (1, L, C) of its source and of the flow's start, and their grid."""

    item: Item
    source: Tensor
    start: Tensor
    rows: int
    columns: int


def grouped(draws: Sequence[Draw]) -> list[list[int]]:
    """Numbers of the draws that can run as one batch: the same token grid, the same strengths."""
    groups: dict[Any, list[int]] = {}
    for number, draw in enumerate(draws):
        key = draw.rows, draw.columns, tuple(weighted.strength for weighted in draw.item.relations)
        groups.setdefault(key, []).append(number)
    return list(groups.values())


class RelationStore:
    """Keys and values of all relations of one call, computed once; then only picked."""

    def __init__(self, adapter: Any, items: Iterable[Item], device: torch.device) -> None:
        relations = (weighted.relation for item in items for weighted in item.relations)
        self.rows = {relation: row for row, relation in enumerate(dict.fromkeys(relations))}
        if not self.rows:
            return
        tokens, mask = pad_tokens([relation.tokens.to(device, adapter.dtype) for relation in self.rows])
        vectors = [relation.vector.to(device, adapter.dtype) for relation in self.rows if relation.vector is not None]
        self.all: RelationKeysValues = adapter.keys_values(tokens, torch.cat(vectors) if vectors else None, mask)

    def batch(self, items: Sequence[tuple[Weighted, ...]]) -> list[RelationKeysValues]:
        """One entry per relation of an item, over all items; they have equally many, of equal strengths."""
        return [
            with_strength(self._picked([member.relation for member in members]), list(members[0].strength))
            for members in zip(*items, strict=True)
        ]

    def _picked(self, relations: Sequence[Relation]) -> RelationKeysValues:
        """The rows of these relations, cut to the longest; a single one, without a copy, where all are the same."""
        row, longest = self.rows[relations[0]], max(relation.tokens.shape[1] for relation in relations)
        same = all(relation is relations[0] for relation in relations)
        rows = slice(row, row + 1) if same else [self.rows[relation] for relation in relations]
        blocks = self.all.blocks.pick(rows, longest) if isinstance(self.all.blocks, BlockKeysValues) else []
        mask = None if self.all.mask is None else self.all.mask[rows, :longest]
        vector = None if self.all.vector is None else self.all.vector[rows]
        tokens = None if self.all.tokens is None else self.all.tokens[rows, :longest]
        mask = None if mask is None or mask.all() else mask
        return RelationKeysValues(blocks, mask=mask, vector=vector, tokens=tokens)


@dataclass(frozen=True)
class Run:
    """What is the same for all results of a call.

    shift_tokens: what the time shift counts, see `set_times`. attention: more `joint_attention_kwargs`. callback: is
    given the tensors named in `tensor_inputs` after every step.
    """

    steps: int
    guidance: float
    strength_steps: tuple[float, float]
    shift_tokens: str
    attention: Mapping[str, Any]
    callback: Callable[..., Any] | None
    tensor_inputs: Sequence[str]


def wanted_tensors(callback: Any, names: Sequence[str]) -> Sequence[str]:
    """What a callback is to be given; diffusers' callback classes say so themselves."""
    if isinstance(callback, (PipelineCallback, MultiPipelineCallbacks)):
        return list(callback.tensor_inputs)
    return names


def set_times(scheduler: Any, shift_tokens: str, steps: int, tokens: int, device: torch.device) -> Tensor:
    """Set the scheduler's times for a picture of `tokens` noisy tokens, and return them (steps,), 1000 at t = 1.

    shift_tokens: what the shift counts. The published one counts noisy and source tokens, so twice the tokens.
    """
    config, mu = scheduler.config, 0.0  # A shift of 0 leaves even times as they are.
    if shift_tokens != "none":
        count = 2 * tokens if shift_tokens == "noisy_and_source" else tokens
        mu = time_shift(count, config.base_image_seq_len, config.max_image_seq_len, config.base_shift, config.max_shift)
    scheduler.set_timesteps(sigmas=even_times(steps), mu=mu if config.use_dynamic_shifting else None, device=device)
    scheduler.set_begin_index(0)
    times: Tensor = scheduler.timesteps
    return times


@dataclass
class Phases:
    """The conditions of the steps where the relation acts and of those where it does not.

    Isolated source tokens see the relation, so each phase has keys and values of its own.
    """

    conditions: Conditions
    first: float
    last: float
    without: Conditions | None = None

    def at(self, step: int, steps: int) -> Conditions:
        """Step i of n stands at i / n; the relation acts from `first` up to, not including, `last`."""
        if self.first <= step / steps < self.last:
            return self.conditions
        if self.without is None:
            self.without = replace(self.conditions, relations=[], source_cache=None)
        return self.without

    def all(self, steps: int) -> list[Conditions]:
        """The conditions that n steps will have."""
        return list({id(given): given for given in (self.at(step, steps) for step in range(steps))}.values())

    def change(self, **fields: Any) -> None:
        """Other text or guidance from here on; a source that saw them is seen anew (`SourceCache.fits`)."""
        self.conditions = replace(self.conditions, modulations=None, **fields)
        self.without = self.without and replace(self.without, modulations=None, **fields)


def edited_tokens(
    pipe: Any,
    items: Sequence[Item],
    store: RelationStore,
    encoded: tuple[Tensor, Tensor],
    run: Run,
) -> list[Tensor]:
    """The tokens (1, L, C) of every item's picture, in order."""
    device, dtype = pipe._execution_device, pipe.transformer.dtype
    draws = _draws(pipe, items, device, dtype)
    groups = grouped(draws)
    text, pooled = (value.to(device, dtype) for value in encoded)
    tokens: list[Tensor] = [draw.start for draw in draws]
    with pipe.progress_bar(total=run.steps * len(groups)) as bar:
        for group in groups:
            members = [draws[number] for number in group]
            first, sources = members[0], [draw.item.source for draw in members]
            # Several results of one source: it is seen once for all of them.
            seen = members[:1] if all(draw.source is first.source for draw in members) else members
            times = set_times(pipe.scheduler, run.shift_tokens, run.steps, first.rows * first.columns, device)
            given = Conditions(
                source=torch.cat([draw.source for draw in seen]),
                rows=first.rows,
                columns=first.columns,
                text=text[sources],
                pooled=pooled[sources],
                relations=store.batch([draw.item.relations for draw in members]),
                guidance=run.guidance,
                attention=run.attention,
            )
            pipe._guidance_scale = run.guidance  # a callback may have changed it for the group before
            start = torch.cat([draw.start for draw in members])
            result = denoise(pipe, start, Phases(given, *run.strength_steps), times, run, bar)
            for number, one in zip(group, result.split(1), strict=True):
                tokens[number] = one
    return tokens


def _draws(pipe: Any, items: Sequence[Item], device: torch.device, dtype: torch.dtype) -> list[Draw]:
    """What every item starts from; a source whose latents are not drawn is encoded once for all its results."""
    kept: dict[int, Tensor] = {}
    draws = []
    for item in items:
        source = kept.get(item.source)
        if source is None:
            # A posterior sample comes before the noise, as published.
            pixels = to_tensor(item.fit.image).to(device)
            source = pack(encode_pictures(pipe.vae, pixels, pipe.design.source_latents, item.generator).to(dtype))
        if pipe.design.source_latents == "mode":
            kept[item.source] = source
        draws.append(_draw(pipe, item, source))
    return draws


def _draw(pipe: Any, item: Item, source: Tensor) -> Draw:
    columns, rows = (side // pipe.multiple for side in item.fit.image.size)
    if item.latents is not None:
        start = item.latents.to(source)
    elif pipe.design.start == "source":
        start = source
    else:
        shape = (1, pipe.design.token_channels // 4, 2 * rows, 2 * columns)
        start = pack(randn_tensor(shape, generator=item.generator, device=source.device, dtype=source.dtype))
    return Draw(item, source, start, rows, columns)


def denoise(pipe: Any, latents: Tensor, phases: Phases, times: Tensor, run: Run, bar: Any) -> Tensor:
    """Euler steps from the start (B, L, C) at times (steps,); the callback may change what goes on after each one."""
    design: ModelConfig = pipe.adapter.design
    pipe._current_timestep = times[0]
    _forget(pipe.transformer)  # what it keeps is of the group before
    # All before the first step: caches that skip parts of the transformer late on the way must not skip them here.
    for given in phases.all(len(times)) if design.reuses_source else ():
        _see_source(pipe.transformer, design, times[:1].expand(latents.shape[0]) / 1000, given)
    _prepare(pipe, phases, times)
    for step, time in enumerate(times):
        if pipe.interrupt:
            break
        pipe._current_timestep = time
        if pipe.guidance_scale != phases.conditions.guidance:
            phases.change(guidance=float(pipe.guidance_scale))
            _prepare(pipe, phases, times)
        given = phases.at(step, len(times))
        t = time.expand(latents.shape[0]) / 1000
        if design.reuses_source and not (given.source_cache and given.source_cache.fits(given)):
            _see_source(pipe.transformer, design, t, given)
        with _cache_context(pipe.transformer, "cond"):
            prediction = velocity(pipe.transformer, design, latents, t, given, step)
        latents = pipe.scheduler.step(prediction, time, latents, return_dict=False)[0]
        latents = _after_step(pipe, step, time, latents, phases, run)
        bar.update()
    return latents


def _prepare(pipe: Any, phases: Phases, times: Tensor) -> None:
    for given in phases.all(len(times)):
        prepare(pipe.transformer, pipe.adapter.design, times / 1000, given)


def _after_step(pipe: Any, step: int, time: Tensor, latents: Tensor, phases: Phases, run: Run) -> Tensor:
    """Show the caller what it asked for; returns the latents to go on with."""
    if run.callback is None:
        return latents
    now = phases.conditions
    tensors = {"latents": latents, "prompt_embeds": now.text, "pooled_prompt_embeds": now.pooled}
    changed = run.callback(pipe, step, time, {name: tensors[name] for name in run.tensor_inputs}) or {}
    fields = {"prompt_embeds": "text", "pooled_prompt_embeds": "pooled"}
    others = {fields[name]: new for name, new in changed.items() if name in fields and new is not tensors[name]}
    if "pooled" in others:
        others["source"] = now.source.expand(len(latents), -1, -1)  # with a text each, it is seen with each
    if others:
        phases.change(**others)
        _prepare(pipe, phases, pipe.scheduler.timesteps)
    return changed.get("latents", latents)


def _see_source(transformer: Any, design: ModelConfig, t: Tensor, given: Conditions) -> None:
    """Record an isolated source, apart from caches that compare one call of the transformer with the last."""
    _forget(transformer)
    with _cache_context(transformer, "source"):
        source = source_keys_values(transformer, design, t, given)
    _forget(transformer)  # some of them know no contexts, and count the calls
    given.source_cache = SourceCache(source, replace(given, source_cache=None))


def _forget(transformer: Any) -> None:
    if getattr(transformer, "is_cache_enabled", False):
        transformer._reset_stateful_cache()


def _cache_context(transformer: Any, name: str) -> AbstractContextManager[Any]:
    context: AbstractContextManager[Any] = (
        transformer.cache_context(name) if hasattr(transformer, "cache_context") else nullcontext()
    )
    return context
