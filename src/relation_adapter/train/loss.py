"""The rectified-flow loss, through the same call to the transformer as the pipeline."""

from __future__ import annotations

import torch
from torch import Tensor

from relation_adapter.data.dataset import Batch
from relation_adapter.errors import UsageError
from relation_adapter.model import flow
from relation_adapter.model.attention import RelationKeysValues
from relation_adapter.model.components import Components
from relation_adapter.model.features import encode_pictures, latent_features
from relation_adapter.model.latents import pack
from relation_adapter.model.velocity import Conditions, velocity

RELATIVE_FLOOR = 0.02  # in squares of [-1, 1] pixels, 0.005 in [0, 1]: keeps edits that change little from dominating


def flow_errors(components: Components, batch: Batch, t: Tensor, noise: torch.Generator) -> Tensor:
    """The squared error of the predicted velocity of every quad (B,), mean over its tokens and channels.

    t: (B,) in [0, 1]. noise: starts the flow where the design starts from noise. Raises UsageError for designs that
    read the pair by an image encoder or need text.
    """
    design = components.adapter.design
    if design.image_features != "latents" or design.text != "none":
        raise UsageError(f"model {design.name}: only designs with image_features=latents and text=none train so far")
    relation = read_relation(components, batch)
    latents = encode_pictures(components.vae, batch.source)
    source, target = pack(latents), pack(encode_pictures(components.vae, batch.target))
    start = source if design.start == "source" else torch.randn(target.shape, generator=noise)
    text, pooled = components.adapter.null_condition(len(batch))
    given = Conditions(
        source=source,
        rows=latents.shape[2] // 2,
        columns=latents.shape[3] // 2,
        text=text,
        pooled=pooled,
        relations=[relation],
        guidance=design.guidance,
    )
    predicted = velocity(components.transformer, design, flow.mix(target, start, t), t, given)
    return (predicted.float() - flow.velocity_target(target, start)).square().mean(dim=(1, 2))


def read_relation(components: Components, batch: Batch) -> RelationKeysValues:
    """Keys and values of the relations that the batch's pairs show."""
    design, adapter = components.adapter.design, components.adapter
    before, after = (latent_features(components.vae, design, x) for x in (batch.before, batch.after))
    return adapter.keys_values(*adapter.encode(before, after))


def weigh(errors: Tensor, batch: Batch, weighting: str) -> Tensor:
    """The loss: the mean error, or that `relative` to doing nothing, so that faint edits count like strong ones."""
    if weighting == "none":
        return errors.mean()
    nothing = (batch.source - batch.target).square().mean(dim=(1, 2, 3))
    return (errors / (nothing + RELATIVE_FLOOR)).mean()
