"""Test-time tuning: a relation, or a small LoRA, fitted to the pairs of one user in seconds to minutes.

The pairs are quads too: their before is a source whose true result is known. Some blocks of every picture are kept out
of the fitting; the error there tells at which step to stop, and whether fitting was worth anything at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from relation_adapter.editor import Pair
from relation_adapter.images import fit, resize
from relation_adapter.model import flow
from relation_adapter.model.features import encode_pictures
from relation_adapter.model.keys_values import RelationKeysValues
from relation_adapter.model.latents import pack
from relation_adapter.model.lora import add_lora
from relation_adapter.model.velocity import Conditions, velocity
from relation_adapter.pipeline import RelationPipeline
from relation_adapter.pipeline.encoders import aligned_pairs, encode_texts
from relation_adapter.pipeline.pictures import to_tensor
from relation_adapter.relation import Relation

BLOCKS, HELD = 4, 5  # of BLOCKS x BLOCKS blocks of a picture, HELD are kept out
CHECK_EVERY, PATIENCE = 5, 30  # steps; without a better check for PATIENCE the fitting ends
WARMUP = 5  # steps
RELATION_RATE, LORA_RATE = 0.015, 0.001
WORTH = 0.75  # of the error on what is kept out: above it the relation is left as it was
MIRRORS = 1.25  # times the error of the plain picture, above which an edit is taken to know left from right
FLOOR = 1e-3  # in squares of latents: what counts as no change at all
LORA_NAME = "tuned"
PLAIN, MIRRORED = slice(0, 1), slice(1, 2)  # rows of an Example


@dataclass(frozen=True)
class Tuning:
    """How to fit. learning_rate: relative to the size of the relation's tokens, or of a LoRA; None: the usual one."""

    steps: int = 60
    learning_rate: float | None = None
    lora_rank: int = 0  # 0: the relation is fitted
    seed: int = 0


@dataclass(frozen=True)
class Tuned:
    """What came of it. step: that was kept.

    error_before, error: over that of doing nothing, on what was kept out; less what a correction tells of it. Where
    the pairs say a linear edit exactly nothing is fitted.
    """

    relation: Relation
    error_before: float
    error: float
    step: int

    @property
    def helped(self) -> bool:
        """Whether anything was changed at all."""
        return self.step > 0


@dataclass(frozen=True)
class Example:
    """One pair as a quad and, in row 1, mirrored: tokens (2, L, C) on a grid, and (2, L) 1 where they are kept out."""

    source: Tensor
    target: Tensor
    rows: int
    columns: int
    held: Tensor


def tune(
    pipe: RelationPipeline,
    pairs: Sequence[Pair],
    tuning: Tuning | None = None,
    name: str | None = None,
    instruction: str | None = None,
    preparation: str | None = None,
) -> Tuned:
    """Fit what the (before, after) pairs show, all of one edit. The pipeline's own weights are frozen and not changed.

    With `lora_rank` the relation stays as encoded, and the transformer has a new LoRA called `tuned`. Where fitting
    does not pay, the relation is as `encode_relation` gives it, and the LoRA changes nothing. instruction: as it will
    be given when editing. name, preparation: as for `encode_relation`.
    """
    tuning = tuning or Tuning()
    pipe.transformer.requires_grad_(False)
    pipe.adapter.requires_grad_(False)
    relation = pipe.encode_relation(pairs, name, preparation)
    pairs, _ = aligned_pairs(pipe.design, pairs)
    fitting = _Fitting(pipe, relation, pairs, tuning, instruction)
    if tuning.lora_rank:
        parameters, unit = add_lora(pipe.transformer, tuning.lora_rank, name=LORA_NAME, seed=tuning.seed), 1.0
    else:
        parameters, unit = fitting.free(), float(relation.tokens.float().std())
    usual = LORA_RATE if tuning.lora_rank else RELATION_RATE
    step, before, after = fitting.run(parameters, tuning, unit * (tuning.learning_rate or usual))
    told = {"steps": step, "error_before": round(before, 4), "error": round(after, 4), "lora": tuning.lora_rank}
    if step:
        relation = pipe._corrected(relation if tuning.lora_rank else fitting.relation(), pairs)
    return Tuned(replace(relation, provenance={**relation.provenance, "tuned": told}), before, after, step)


class _Fitting:
    """The tokens and the vector of one relation, or weights elsewhere, brought nearer to what the examples show."""

    def __init__(
        self, pipe: RelationPipeline, relation: Relation, pairs: Sequence[Pair], tuning: Tuning, instruction: str | None
    ) -> None:
        self.pipe, self.design, self.first, self.pairs = pipe, pipe.design, relation, pairs
        self.examples = [_example(pipe, pair, tuning.seed + number) for number, pair in enumerate(pairs)]
        device = pipe._execution_device
        self.tokens = relation.tokens.to(device, torch.float32)
        self.vector = None if relation.vector is None else relation.vector.to(device, torch.float32)
        with torch.no_grad():
            self.text, self.pooled = encode_texts(pipe, [instruction], device)
        # Where a flow starts from noise, single times would say little.
        self.checked = (1.0,) if self.design.start == "source" else (0.9, 0.7, 0.5, 0.3)

    def free(self) -> list[nn.Parameter]:
        """Let the relation change; returns what can."""
        self.tokens = nn.Parameter(self.tokens.clone())
        self.vector = None if self.vector is None else nn.Parameter(self.vector.clone())
        return [value for value in (self.tokens, self.vector) if isinstance(value, nn.Parameter)]

    def relation(self) -> Relation:
        """As it now is."""
        vector = None if self.vector is None else self.vector.detach().to(self.first.tokens)
        return replace(self.first, tokens=self.tokens.detach().to(self.first.tokens), vector=vector)

    def run(self, parameters: Sequence[nn.Parameter], tuning: Tuning, rate: float) -> tuple[int, float, float]:
        """Fit, and leave the parameters at the best step; that step, the first error and the last."""
        first, mirrored = self.held_out(PLAIN), self.held_out(MIRRORED)
        best, kept, read = first, 0, first * self.left()
        if self.first.is_exact:  # the pairs say it exactly
            return 0, read, read
        sides = (PLAIN, MIRRORED) if mirrored < MIRRORS * first else (PLAIN,)
        turns = [(example, side) for example in self.examples for side in sides]
        values = [parameter.detach().clone() for parameter in parameters]
        start = values
        optimizer = torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.99))
        for step in tqdm(range(1, tuning.steps + 1), unit="step", leave=False, disable=None):
            optimizer.param_groups[0]["lr"] = rate * min(1.0, step / WARMUP)
            example, side = turns[step % len(turns)]
            loss = self._loss(example, side, tuning.seed + step)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % CHECK_EVERY == 0 or step == tuning.steps:
                if (error := self.held_out(PLAIN)) < best:
                    best, kept, values = error, step, [parameter.detach().clone() for parameter in parameters]
                elif step - kept >= PATIENCE:
                    break
        _set(parameters, values)
        tuned = best * self.left() if kept else read
        if tuned > WORTH * read or not kept:
            _set(parameters, start)
            return 0, read, read
        return kept, read, tuned

    def left(self) -> float:
        """The share of the error that is left once it is corrected as an edit's result will be."""
        return 1.0 - float(self.pipe._corrected(self.relation(), self.pairs).provenance.get("corrected", 0.0))

    def _loss(self, example: Example, side: slice, seed: int) -> Tensor:
        """Of the part that is fitted: the error over that of doing nothing."""
        rng = torch.Generator().manual_seed(seed)
        sampling = "start" if self.design.start == "source" else "uniform"
        errors, nothing = self._errors(example, side, flow.sample_times(1, sampling, rng), rng)
        seen = 1 - example.held[side]
        return (errors * seen).sum() / ((nothing * seen).sum() + FLOOR)

    @torch.no_grad()
    def held_out(self, side: slice) -> float:
        """The error over that of doing nothing, on what is kept out of all examples."""
        found, nothings = 0.0, 0.0
        for example in self.examples:
            for time in self.checked:
                rng = torch.Generator().manual_seed(0)
                errors, nothing = self._errors(example, side, torch.tensor([time]), rng)
                found += (errors * example.held[side]).sum().item()
                nothings += (nothing * example.held[side]).sum().item()
        return found / (nothings + FLOOR)

    def _errors(self, example: Example, side: slice, t: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """Squared errors (1, L) of the velocity at t (1,), and those of doing nothing."""
        source, target = example.source[side], example.target[side]
        start = source if self.design.start == "source" else torch.randn(target.shape, generator=noise).to(target)
        relations = [self._keys_values()]
        given = Conditions(
            source, example.rows, example.columns, self.text, self.pooled, relations, self.design.guidance
        )
        t = t.to(source.device)
        predicted = velocity(self.pipe.transformer, self.design, flow.mix(target, start, t), t, given)
        wanted = flow.velocity_target(target, start)
        changed = source - target if self.design.start == "source" else wanted
        return (predicted.float() - wanted.float()).square().mean(dim=2), changed.float().square().mean(dim=2)

    def _keys_values(self) -> RelationKeysValues:
        adapter = self.pipe.adapter
        vector = None if self.vector is None else self.vector.to(adapter.dtype)
        keys_values: RelationKeysValues = adapter.keys_values(self.tokens.to(adapter.dtype), vector)
        return keys_values


@torch.no_grad()
def _set(parameters: Sequence[nn.Parameter], values: Sequence[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


@torch.no_grad()
def _example(pipe: RelationPipeline, pair: Pair, seed: int) -> Example:
    """A pair at the size and in the form that the model edits at."""
    before = fit(pair[0], area=pipe.design.native_area, multiple=pipe.multiple).image
    after = fit(pair[1], area=pipe.design.native_area, multiple=pipe.multiple).image
    device, dtype = pipe._execution_device, pipe.transformer.dtype
    sides = []
    for picture in (before, resize(after, before.size)):
        both = torch.cat([to_tensor(picture), to_tensor(picture).flip(3)]).to(device)
        sides.append(pack(encode_pictures(pipe.vae, both)).to(dtype))
    rows, columns = before.height // pipe.multiple, before.width // pipe.multiple
    held = held_blocks(rows, columns, seed)
    return Example(sides[0], sides[1], rows, columns, torch.stack([held, held.flip(1)]).flatten(1).to(device))


def held_blocks(rows: int, columns: int, seed: int) -> Tensor:
    """(rows, columns): 1 in HELD of the blocks that a grid of tokens is cut into, else 0; the same for a seed."""
    order = torch.randperm(BLOCKS * BLOCKS, generator=torch.Generator().manual_seed(seed))
    blocks = torch.zeros(BLOCKS * BLOCKS).index_fill_(0, order[:HELD], 1.0).view(1, 1, BLOCKS, BLOCKS)
    return nn.functional.interpolate(blocks, size=(rows, columns), mode="nearest")[0, 0]
