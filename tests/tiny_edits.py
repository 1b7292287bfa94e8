"""Random edits for the tiny twins: what one call of the transformer needs."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, nn

from relation_adapter.model.components import Components, tiny
from relation_adapter.model.keys_values import RelationKeysValues
from relation_adapter.model.lora import TARGETS
from relation_adapter.model.twins import lora_shapes
from relation_adapter.model.velocity import Conditions, velocity

DESIGNS = ("published", "directed", "mini")
ROWS, COLUMNS = 3, 2


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def features(model: Components, batch: int = 1, pairs: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features (B, K, N, F) of before and of after."""
    patches = 1 if model.design.image_features == "siglip_pooled" else 4
    before, after = random(2, batch, pairs, patches, model.design.feature_dim, seed=seed)
    return before, after


def relation(model: Components, batch: int = 1, pairs: int = 1, seed: int = 0) -> RelationKeysValues:
    return model.adapter.keys_values(*model.adapter.encode(*features(model, batch, pairs, seed)))


def conditions(model: Components, relations: list[RelationKeysValues], batch: int = 1, seed: int = 0) -> Conditions:
    shape = model.design.transformer
    return Conditions(
        source=random(batch, ROWS * COLUMNS, model.design.token_channels, seed=seed + 1),
        rows=ROWS,
        columns=COLUMNS,
        text=random(batch, model.design.text_length, shape.joint_attention_dim, seed=seed + 2),
        pooled=random(batch, shape.pooled_projection_dim, seed=seed + 3),
        relations=relations,
        guidance=2.0,
    )


def noisy(model: Components, batch: int = 1, seed: int = 0) -> Tensor:
    return random(batch, ROWS * COLUMNS, model.design.token_channels, seed=seed + 4)


def predict(model: Components, given: Conditions, x: Tensor | None = None, t: float | list[float] = 0.5) -> Tensor:
    """The velocity; by default of the same noisy tokens at t = 0.5."""
    batch = given.source.shape[0]
    x = noisy(model, batch).to(given.source) if x is None else x
    times = torch.tensor([t] * batch if isinstance(t, float) else t)
    return velocity(model.transformer, model.design, x, times, given)


def lora_state(model: Any, rank: int = 3, seed: int = 0, targets: tuple[str, ...] = TARGETS) -> dict[str, Tensor]:
    """A LoRA of random weights for a model or a pipeline, in diffusers' form."""
    generator = torch.Generator().manual_seed(seed)
    shapes = lora_shapes(model.transformer, rank, targets)
    return {key: 0.3 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}


def item(given: Conditions, index: int) -> dict[str, Tensor]:
    """The tensors of one item of a batch, for `dataclasses.replace`."""
    return {name: getattr(given, name)[index : index + 1] for name in ("source", "text", "pooled")}


def in_float64(name: str) -> Components:
    model = tiny(name)
    model.transformer.double()
    model.adapter.double()
    return model


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


def largest(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return (a - b).abs().max().item()


def figure(label: str, value: float) -> float:
    """Log a figure (pytest --log-cli-level=INFO shows it)."""
    logging.getLogger("figures").info("%-60s %.1e", label, value)
    return value
