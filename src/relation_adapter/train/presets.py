"""What a training run can be told; the presets carry the score they were measured at."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from relation_adapter.config import MODELS, ModelConfig
from relation_adapter.data.dataset import ProceduralMix

TimeSampling = Literal["uniform", "logit_normal", "near_one"]


@dataclass(frozen=True)
class TrainConfig:
    """One run. Everything random is a function of `seed` and the step."""

    model: ModelConfig
    data: ProceduralMix = field(default_factory=ProceduralMix)
    cache: str | None = None  # a folder of `data cache` to draw from instead of `data`
    init: str | None = None  # a weights file to begin with; null: fresh weights
    seed: int = 0
    steps: int = 1000
    batch: int = 32

    time_sampling: TimeSampling = "near_one"
    weighting: Literal["none", "relative", "root"] = "none"  # see `weigh`
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    clip: float = 1.0
    warmup: int = 100  # steps
    decay: float = 0.3  # share of the steps, at the end, over which the rate falls to zero
    ema: float = 0.999

    precision: Literal["float32", "bfloat16"] = "bfloat16"
    threads: int = 0  # of torch; 0 leaves its own choice
    workers: int = 1  # processes that make batches; 0 makes them in between
    save_every: int = 250
    validate_every: int = 250

    # What may differ between a run and its resumption, since no number depends on it or it only makes the run longer.
    FREE = ("steps", "warmup", "decay", "threads", "workers", "save_every", "validate_every")


# Tone, colour, sharpness and mirror: what people try first on a photo.
_CORE = (
    *("brighten", "darken", "raise contrast", "lower contrast", "grayscale", "saturate", "desaturate"),
    *("warmer", "cooler", "sepia", "tint", "negative", "posterize", "blur", "sharpen"),
    *("flip", "flip", "threshold", "duotone", "vignette"),  # twice, as it is two edits
)

# Measured: benchmarks/photos.py, mean ratio to doing nothing 0.31 at 64 px (docs/log.md, 2026-11-24).
_MINI = TrainConfig(
    model=replace(
        MODELS["mini"], exemplar_size=64, native_area=64 * 64
    ),  # a second run goes on at 128: recipes/mini.sh
    data=ProceduralMix(
        size=64,
        shapes=((64, 64), (64, 64), (64, 64), (56, 72), (72, 56), (48, 80), (80, 48)),
        two_pairs=0.1,
        scene_share=0.15,
        core=_CORE,
        core_share=0.5,
    ),
    steps=4800,
    batch=32,
    weighting="relative",
    optimizer="muon",
    learning_rate=1.5e-3,
)

_SMALL = replace(
    MODELS["mini"],
    name="debug",
    transformer=replace(
        MODELS["mini"].transformer, num_single_layers=1, num_attention_heads=2, pooled_projection_dim=64
    ),
    token_dim=64,
    resampler_layers=1,
    resampler_heads=2,
)

PRESETS: dict[str, TrainConfig] = {
    "mini": _MINI,
    "debug": replace(_MINI, model=_SMALL, steps=20, batch=4, workers=0, save_every=5, validate_every=10, warmup=2),
}
