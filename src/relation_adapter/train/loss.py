"""The rectified-flow loss, through the same call to the transformer as the pipeline."""

from __future__ import annotations

import torch
from torch import Tensor

from relation_adapter.data.cached import FeatureBatch
from relation_adapter.data.dataset import Batch
from relation_adapter.errors import UsageError
from relation_adapter.model import flow
from relation_adapter.model.attention import RelationKeysValues
from relation_adapter.model.components import Components
from relation_adapter.model.features import latent_features, latent_moments, sample_moments
from relation_adapter.model.latents import pack
from relation_adapter.model.velocity import Conditions, velocity

RELATIVE_FLOOR = 0.02  # in squares of [-1, 1] pixels, 0.005 in [0, 1]: keeps edits that change little from dominating


def flow_errors(components: Components, batch: Batch | FeatureBatch, t: Tensor, noise: torch.Generator) -> Tensor:
    """The squared error of the predicted velocity of every quad (B,), mean over its tokens and channels.

    t: (B,) in [0, 1]. noise: draws from the posterior where the design samples it, and starts the flow where that
    starts from noise. Raises UsageError where the batch lacks what the design reads.
    """
    design, transformer = components.adapter.design, components.transformer
    seen = batch if isinstance(batch, FeatureBatch) else encode_batch(components, batch)
    relation = read_relation(components, seen)
    latents = sample_moments(seen.source, noise).to(transformer.dtype)
    source, target = pack(latents), pack(sample_moments(seen.target, noise).to(transformer.dtype))
    start = source if design.start == "source" else torch.randn(target.shape, generator=noise).to(target)
    text, pooled = read_text(components, seen)
    given = Conditions(
        source=source,
        rows=latents.shape[2] // 2,
        columns=latents.shape[3] // 2,
        text=text,
        pooled=pooled,
        relations=[relation],
        guidance=design.guidance,
    )
    predicted = velocity(transformer, design, flow.mix(target, start, t), t, given)
    return (predicted.float() - flow.velocity_target(target, start)).square().mean(dim=(1, 2))


def encode_batch(components: Components, batch: Batch) -> FeatureBatch:
    """Pictures to what the model reads, for designs that need neither an image encoder nor text."""
    design, vae = components.adapter.design, components.vae
    if design.image_features.startswith("siglip") or design.text != "none":
        raise UsageError(
            f"model {design.name}: pictures alone train only designs with image_features=latents or latents_pooled "
            "and text=none; make a cache of its features with `data cache`"
        )
    before, after = (latent_features(vae, design, pictures) for pictures in (batch.before, batch.after))
    source, target = (latent_moments(vae, pictures, "mode") for pictures in (batch.source, batch.target))
    return FeatureBatch(before, after, source, target, tasks=batch.tasks)


def read_relation(components: Components, batch: FeatureBatch) -> RelationKeysValues:
    """Keys and values of the relations that the batch's pairs show."""
    adapter = components.adapter
    return adapter.keys_values(*adapter.encode(batch.before, batch.after))


def read_text(components: Components, batch: FeatureBatch) -> tuple[Tensor, Tensor]:
    """Text (B, T, J) and pooled text (B, P); the learned null where a quad has no instruction."""
    adapter, dtype = components.adapter, components.transformer.dtype
    if adapter.design.text == "none" or batch.text is None or batch.pooled is None or batch.has_text is None:
        return adapter.null_condition(len(batch))
    text, pooled = batch.text.to(dtype), batch.pooled.to(dtype)
    if bool(batch.has_text.all()):
        return text, pooled
    null_text, null_pooled = adapter.null_condition(len(batch))
    has = batch.has_text[:, None]
    return torch.where(has[..., None], text, null_text), torch.where(has, pooled, null_pooled)


def weigh(errors: Tensor, batch: Batch | FeatureBatch, weighting: str) -> Tensor:
    """The loss: the mean error, or that `relative` to doing nothing, so that faint edits count like strong ones.

    root: over the square root of doing nothing, half-way between the two.
    """
    if weighting == "none":
        return errors.mean()
    nothing = batch.change + RELATIVE_FLOOR
    return (errors / (nothing if weighting == "relative" else nothing.sqrt())).mean()
