"""The rectified-flow loss, through the same call to the transformer as the pipeline."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers.training_utils import compute_loss_weighting_for_sd3
from torch import Tensor

from relation_adapter.config import ModelConfig
from relation_adapter.data.cached import FeatureBatch
from relation_adapter.data.dataset import Batch
from relation_adapter.errors import UsageError
from relation_adapter.model import flow
from relation_adapter.model.components import Components
from relation_adapter.model.features import Noise, latent_features, latent_moments, sample_moments, standard_normal
from relation_adapter.model.keys_values import RelationKeysValues
from relation_adapter.model.latents import pack
from relation_adapter.model.second_look import read_pairs
from relation_adapter.model.velocity import Conditions, velocity
from relation_adapter.train.presets import TrainConfig

RELATIVE_FLOOR = 0.02  # in squares of [-1, 1] pixels, 0.005 in [0, 1]: keeps edits that change little from dominating
SMALLEST_TIME = 1e-3  # a weight of 1 / t^2 stays finite
ALIKE = 1e-4  # in squares of [-1, 1] pixels, the square of 1.3 of 255: nearer draws hardly count as different
SECOND_LOOKS = 2  # every how manyth pair of a batch is looked at twice while training, where the design has it
HALF_WAY = 0.25  # the square of a half: from there on a result is nearer to the other draw's than to its own


@dataclass(frozen=True)
class ShareOfNoise:
    """For some quads of a batch of `total` the numbers that the whole batch would have drawn."""

    generator: torch.Generator
    total: int
    where: slice

    def __call__(self, shape: torch.Size) -> Tensor:
        return torch.randn((self.total, *shape[1:]), generator=self.generator)[self.where]


def flow_errors(
    components: Components,
    batch: Batch | FeatureBatch,
    t: Tensor,
    noise: Noise,
    guidance: float | None = None,
) -> Tensor:
    """The squared error of the predicted velocity of every quad (B,), mean over its tokens and channels.

    As `flow_misses`, which tells more.
    """
    return flow_misses(components, batch, t, noise, guidance)[0].square().mean(dim=(1, 2))


def flow_misses(
    components: Components,
    batch: Batch | FeatureBatch,
    t: Tensor,
    noise: Noise,
    guidance: float | None = None,
) -> tuple[Tensor, Tensor | None]:
    """What the predicted velocity is off by (B, L, C), and the same of the other draws' targets, where there are any.

    t: (B,) in [0, 1]. noise: draws from the posterior where the design samples it, and starts the flow where that
    starts from noise. guidance: FLUX's embedded scale; None: that of an edit. Raises UsageError where the batch lacks
    what the design reads.
    """
    design, transformer = components.adapter.design, components.transformer
    seen = batch if isinstance(batch, FeatureBatch) else encode_batch(components, batch)
    relation = read_relation(components, seen)
    latents = sample_moments(seen.source.float(), noise)
    source, target = pack(latents), pack(sample_moments(seen.target.float(), noise))
    start = source if design.start == "source" else standard_normal(target, noise)
    text, pooled = read_text(components, seen)
    given = Conditions(
        source=source.to(transformer.dtype),
        rows=latents.shape[2] // 2,
        columns=latents.shape[3] // 2,
        text=text,
        pooled=pooled,
        relations=[relation],
        guidance=design.guidance if guidance is None else guidance,
    )
    t = t.to(target.device, transformer.dtype).float()  # as the transformer is going to read it
    noisy = flow.mix(target, start, t).to(transformer.dtype)
    predicted = velocity(transformer, design, noisy, t, given)
    other = None if seen.other is None else target - pack(sample_moments(seen.other.float(), noise))
    return predicted.float() - flow.velocity_target(target, start), other


def leaning(misses: Tensor, others: Tensor) -> Tensor:
    """How far results lean to what other parameters of their task make of the source: (B,) from 0 to 1, half-way 0.5.

    misses, others: (B, L, C), as `flow_misses` gives them. With a the share of the way to the other draw's target, this
    is a^2 / (a^2 + 1/4); unlike the error, it asks for the right parameters however little they change the picture.
    """
    along = (misses * others).mean(dim=(1, 2)) / (others.square().mean(dim=(1, 2)) + ALIKE)
    return along.square() / (along.square() + HALF_WAY)


def draw_times(config: TrainConfig, batch: Batch | FeatureBatch, generator: torch.Generator) -> Tensor:
    """Times (config.batch,) of all the quads of a step, on the CPU, by the config's sampling. batch: some of them."""
    return flow.sample_times(
        config.batch,
        config.time_sampling,
        generator,
        config.time_mean,
        config.time_deviation,
        config.time_mode_scale,
        _shift(config.model, batch) if config.time_sampling == "shifted" else 0.0,
    )


def _shift(design: ModelConfig, batch: Batch | FeatureBatch) -> float:
    """The shift mu that an edit at the size of these quads has."""
    if design.shift_tokens == "none":
        return 0.0
    factor = 2 if isinstance(batch, FeatureBatch) else design.patch
    tokens = batch.source.shape[-2] // factor * (batch.source.shape[-1] // factor)
    return flow.time_shift(2 * tokens if design.shift_tokens == "noisy_and_source" else tokens)


def encode_batch(components: Components, batch: Batch) -> FeatureBatch:
    """Pictures to what the model reads, for designs that need neither an image encoder nor text."""
    design, vae = components.adapter.design, components.vae
    if design.image_features.startswith("siglip") or design.text != "none":
        raise UsageError(
            f"model {design.name}: procedural pictures alone train only designs with image_features=latents or "
            "latents_pooled and text=none; give quads=FILE, or cache=FOLDER of `data cache`"
        )
    before, after = (latent_features(vae, design, pictures) for pictures in (batch.before, batch.after))
    source, target = (latent_moments(vae, pictures, "mode") for pictures in (batch.source, batch.target))
    other = None if batch.other is None else latent_moments(vae, batch.other, "mode")
    return FeatureBatch(before, after, source, target, other=other, tasks=batch.tasks)


def read_relation(components: Components, batch: FeatureBatch) -> RelationKeysValues:
    """Keys and values of the relations that the batch's pairs show; quads without one attend to none."""
    adapter = components.adapter
    every = SECOND_LOOKS if torch.is_grad_enabled() else 1
    tokens, vector = read_pairs(components.transformer, adapter, batch.before, batch.after, every)
    if batch.has_relation is None:
        return adapter.keys_values(tokens, vector)
    has = batch.has_relation[:, None]
    return adapter.keys_values(tokens, None if vector is None else vector * has, has.expand(-1, tokens.shape[1]))


def read_text(components: Components, batch: FeatureBatch) -> tuple[Tensor, Tensor]:
    """Text (B, T, J) and pooled text (B, P); the learned null where a quad has no instruction."""
    adapter, dtype = components.adapter, components.transformer.dtype
    text, pooled = batch.text, batch.pooled
    if adapter.design.text == "none" or text is None or pooled is None or batch.has_text is None:
        text, pooled = adapter.null_condition(len(batch))
        return text.to(dtype), pooled.to(dtype)
    text, pooled = text.to(dtype), pooled.to(dtype)
    if bool(batch.has_text.all()):
        return text, pooled
    null_text, null_pooled = (null.to(dtype) for null in adapter.null_condition(len(batch)))
    has = batch.has_text[:, None]
    return torch.where(has[..., None], text, null_text), torch.where(has, pooled, null_pooled)


def weigh(errors: Tensor, batch: Batch | FeatureBatch, weighting: str, t: Tensor | None = None) -> Tensor:
    """The loss: the mean error (`none`, as published), or a weighted one.

    relative: over that of doing nothing, so that faint edits count like strong ones; root: over the square root of
    doing nothing, half-way between the two; sigma_sqrt, cosmap: by the times (B,), as Stable Diffusion 3 tried.
    """
    if weighting == "none":
        return errors.mean()
    if weighting in ("sigma_sqrt", "cosmap"):
        assert t is not None
        return (errors * compute_loss_weighting_for_sd3(weighting, t.clamp(min=SMALLEST_TIME)).to(errors)).mean()
    nothing = batch.change + RELATIVE_FLOOR
    return (errors / (nothing if weighting == "relative" else nothing.sqrt())).mean()
