"""How well a result shows the change that the pairs show: a number to choose between results by, without a target."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from relation_adapter.config import ModelConfig
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.images import to_rgb
from relation_adapter.pipeline import request
from relation_adapter.pipeline.encoders import pair_features


def mean_change(before: Tensor, after: Tensor) -> Tensor:
    """Features (1, K, N, F) of K pictures before and after to their mean difference (1, F), in float32."""
    return (after.float() - before.float()).mean(dim=(1, 2))


class Agreement:
    """The part of a `RelationPipeline` that scores results."""

    adapter: Any
    _execution_device: torch.device
    maybe_free_model_hooks: Callable[[], None]

    @torch.no_grad()
    def agreement(self, relation: Any, source: Image.Image, result: Image.Image) -> float:
        """The cosine between the change that the pairs show and the change from source to result, in [-1, 1].

        relation: one, a (relation, strength) tuple, or a list of these, whose changes add up. 0 where nothing changed.
        Both changes are mean differences of image features, as in the direction scores of CLIP (Gal et al., 2021,
        arXiv 2108.00946), with the image encoder of the design.

        Raises:
            UsageError: no relations, or one without its change.
            WeightsError: a relation of another model.
        """
        shown = _shown_change(relation, self.adapter.design)
        pair, preparation = (to_rgb(source), to_rgb(result)), _preparation(relation, self.adapter.design)
        try:
            before, after = pair_features(self, [pair], self._execution_device, preparation)
        finally:
            self.maybe_free_model_hooks()
        made = mean_change(before, after).to(shown.device)
        return float(torch.cosine_similarity(shown, made).clamp(-1, 1))


def best_of(pipe: Any, count: int, **call: Any) -> tuple[Any, dict[str, Any]]:
    """Edit one picture with `count` seeds and keep the result that agrees most with the relation.

    call: arguments of the pipeline for one image with a `relation`. Attempt k has seed + k; without a seed one is
    drawn. One after the other, so that memory is that of one edit. Returns the picture and, for more than one attempt,
    the `seed` that made it and the `agreements` of all in order.

    Raises:
        UsageError: count below 1, or more than 1 for a model that makes the same of every seed.
    """
    if not isinstance(count, int) or count < 1:
        raise UsageError(f"best of {count!r}; give a whole number of at least 1")
    if count == 1:
        return pipe(**call).images[0], {}
    if pipe.design.ignores_seed:
        raise UsageError(f"{pipe.design.name} makes the same of every seed; leave best of {count} out")
    first = call.pop("seed", None)
    first = secrets.randbelow(2**31) if first is None else first
    _shown_change(call.get("relation"), pipe.design)  # before the first edit, not after it
    results = [pipe(**call, seed=first + attempt).images[0] for attempt in range(count)]
    agreements = [pipe.agreement(call["relation"], call["image"], result) for result in results]
    best = max(range(count), key=agreements.__getitem__)
    return results[best], {"seed": first + best, "agreements": [round(value, 4) for value in agreements]}


def _preparation(relation: Any, design: ModelConfig) -> str | None:
    """That of the pairs, where it is the same for all."""
    (weighted,) = request.relations_per_image(relation, 1.0, 1, design.transformer.num_blocks)
    found = {one.relation.provenance.get("preparation") for one in weighted}
    return found.pop() if len(found) == 1 else None


def _shown_change(relation: Any, design: ModelConfig) -> Tensor:
    """The change (1, F) that relations show together, each as much as its mean strength over the blocks."""
    (weighted,) = request.relations_per_image(relation, 1.0, 1, design.transformer.num_blocks)
    total = torch.zeros(1, design.feature_dim)
    for one in weighted:
        change = one.relation.change
        if change is None:
            raise UsageError(f"{one.relation.name}: was saved without its change; encode the pair again")
        if change.shape != total.shape:
            raise WeightsError(
                f"{one.relation.name}: its change is {tuple(change.shape)}, {design.name} needs {tuple(total.shape)}; "
                "encode the pair again with this model"
            )
        total = total + change.float().cpu() * sum(one.strength) / len(one.strength)
    return total
