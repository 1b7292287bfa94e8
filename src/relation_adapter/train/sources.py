"""From a run's config to its batches: procedural tasks, the features of a cache, or a file of quads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relation_adapter.config import ModelConfig
from relation_adapter.data.cached import FeatureCache
from relation_adapter.data.dataset import ProceduralBatches
from relation_adapter.data.passes import BucketBatches, Quads
from relation_adapter.data.quad_pictures import QuadPictures
from relation_adapter.errors import UsageError
from relation_adapter.train.cache_features import buckets, told
from relation_adapter.train.presets import TrainConfig

TRAIN = ("train",)
UNSPLIT = ("train", None)  # quads that were written by hand say nothing of a split


def batches(
    config: TrainConfig, design: ModelConfig, tell: Callable[[str], None] = lambda _: None
) -> ProceduralBatches | BucketBatches:
    """Item `step` is the batch that a run trains on in that step.

    design: the model's own, as `begin` made it. tell: is given what quads are left out, and why. Raises UsageError
    where a cache is of another design, or cannot do what is asked; and what reading a cache or a file of quads raises.
    """
    if config.cache is None and config.quads is None:
        return ProceduralBatches(config.data, config.batch, config.steps, config.seed, others=config.others > 0)
    quads = open_quads(config, TRAIN if config.cache is not None else UNSPLIT)
    if isinstance(quads, FeatureCache):
        quads.check_design(told(design))
    if isinstance(quads, QuadPictures) and quads.wrong:
        tell(
            f"{sum(quads.wrong.values()):,} quads of {config.quads} are left out, as {next(iter(quads.wrong))}; "
            "`data verify` names all"
        )
    if config.text_dropout and design.text == "instruction" and isinstance(quads, FeatureCache) and quads.empty < 0:
        raise UsageError(
            f"text_dropout={config.text_dropout}: {config.cache} holds no empty instruction to put in place; run "
            "`data cache` again, it adds it"
        )
    return BucketBatches(
        quads, config.batch, config.steps, config.seed, config.relation_dropout, _text_dropout(config, design)
    )


def open_quads(config: TrainConfig, splits: Sequence[str | None]) -> Quads:
    """Quads of these splits, of the config's cache or of its file. Raises UsageError where there are none."""
    if config.cache is not None:
        return FeatureCache(config.cache, splits)
    assert config.quads is not None
    return QuadPictures(config.quads, buckets(config.model, config.area), splits)


def _text_dropout(config: TrainConfig, design: ModelConfig) -> float:
    if config.text_dropout and design.text == "none":
        raise UsageError(f"text_dropout={config.text_dropout}: model {design.name} reads no text")
    return config.text_dropout
