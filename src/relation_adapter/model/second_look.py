"""A second look at a pair: it is read again, beside what the model made of its before by the first reading.

The pair that shows an edit is a source with its true result, too. What the model gets wrong there, too little of an
effect or the wrong place, it gets wrong in the same way elsewhere; seeing that, it reads the pair better.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from relation_adapter.model.adapter import RelationAdapter
from relation_adapter.model.keys_values import RelationKeysValues
from relation_adapter.model.velocity import Conditions, prepare, velocity


def read_pairs(
    transformer: Any, adapter: RelationAdapter, before: Tensor, after: Tensor, every: int = 1
) -> tuple[Tensor, Tensor | None]:
    """Features (B, K, N, F) of square before and after to relation tokens (B, L, C) and a vector (B, P) or None.

    every: of a batch, every how manyth item has its second look; training leaves some, so that the first stays good.
    """
    tokens, vector = adapter.encode(before, after)
    if not adapter.design.second_look:
        return tokens, vector
    seen, shown = before[::every], after[::every]
    some = None if vector is None else vector[::every]
    made = _made(transformer, adapter, seen, tokens[::every], some, prepared=not torch.is_grad_enabled())
    again, vector_again = adapter.encode(seen, shown, made=made)
    return _put(tokens, again, every), None if vector is None else _put(vector, vector_again, every)


def _put(first: Tensor, second: Tensor | None, every: int) -> Tensor:
    """The first, and in every how manyth row the second."""
    assert second is not None
    if len(first) == len(second):
        return second
    rows = torch.arange(len(first), device=first.device)
    return torch.where((rows % every == 0).view(-1, *[1] * (first.ndim - 1)), second[rows // every], first)


@torch.no_grad()
def _made(
    transformer: Any, adapter: RelationAdapter, before: Tensor, tokens: Tensor, vector: Tensor | None, prepared: bool
) -> Tensor:
    """Features (B, K, N, F) of what the model makes of before, in one step from t = 1.

    prepared: as edits are, which compiled blocks then share; not while training, where weights may be spread.
    """
    design, (count, pairs) = adapter.design, before.shape[:2]
    relation: RelationKeysValues = adapter.keys_values(tokens, vector)
    text, pooled = (value.to(transformer.dtype) for value in adapter.null_condition(count))
    side, start = math.isqrt(before.shape[2]), torch.ones(count, device=before.device)
    made = before.clone()
    for pair in range(pairs):
        source = before[:, pair, :, : design.token_channels].to(transformer.dtype)
        given = Conditions(source, side, side, text, pooled, [relation], design.guidance)
        if prepared:
            prepare(transformer, design, start[:1], given)
        result = source - velocity(transformer, design, source, start, given, step=0)
        made[:, pair, :, : design.token_channels] = result.to(made)
    return made
