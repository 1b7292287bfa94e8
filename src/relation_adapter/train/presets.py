"""What a training run can be told; the presets carry the score they were measured at."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from relation_adapter.config import MODELS, ModelConfig
from relation_adapter.data.dataset import ProceduralMix
from relation_adapter.errors import UsageError

TimeSampling = Literal["uniform", "logit_normal", "mode", "shifted", "near_one", "start"]
Part = Literal["lora", "projector", "keys_values", "transformer"]  # projector: all of the adapter but keys and values


@dataclass(frozen=True)
class TrainConfig:
    """One run. Everything random is a function of `seed` and the step."""

    model: ModelConfig

    # What is learned from: `cache` or `quads` where they are given, else `data`.
    data: ProceduralMix = field(default_factory=ProceduralMix)
    cache: str | None = None  # a folder of `data cache`
    quads: str | None = None  # a JSONL of quads; the encoders see its pictures as they come
    area: int = 0  # px, of source and target of `quads`; 0: the model's
    relation_dropout: float = 0.0  # share of the quads whose relation is left away
    text_dropout: float = 0.0  # share of the quads whose instruction is left away

    # What is trained, and from where on.
    trains: tuple[Part, ...] = ("transformer", "projector", "keys_values")
    lora_rank: int = 0  # 0: no LoRA
    init: str | None = None  # weights to begin with; null: fresh ones. Beside a base: an adapter, see `begin`
    init_lora: str | None = None  # the same for the LoRA

    # A pretrained base and its image encoder, where the model has one: places as `edit` takes them.
    base: str | None = None
    image_encoder: str | None = None
    weights: str | None = None  # a folder that they lie in
    offline: bool = False
    quantization: Literal["int8", "nf4"] | None = None  # of the frozen base

    seed: int = 0
    steps: int = 1000
    batch: int = 32  # quads of a step, over all processes
    accumulate: int = 1  # parts that a process does its share of a batch in, one after the other

    time_sampling: TimeSampling = "near_one"  # see `flow.sample_times`
    time_mean: float = 0.0  # of logit_normal, before the sigmoid
    time_deviation: float = 1.0
    time_mode_scale: float = 1.29  # of mode: how much the middle is preferred
    guidance: float | None = None  # FLUX's embedded guidance while training; null: that of an edit
    weighting: Literal["none", "relative", "root", "sigma_sqrt", "cosmap"] = "none"  # see `weigh`
    others: float = 0.0  # weight of `loss.leaning`, of procedural quads: whether they have the right parameters

    optimizer: Literal["adamw", "adamw8bit", "muon"] = "adamw"
    learning_rate: float = 1e-4
    rates: dict[str, float] = field(default_factory=dict)  # of a part of `trains`, in place of learning_rate
    betas: tuple[float, ...] = (0.9, 0.98)  # of AdamW
    weight_decay: float = 0.01
    clip: float = 1.0
    schedule: str = "linear"  # with `decay`; or a name that diffusers' get_scheduler knows
    warmup: int = 100  # steps
    decay: float = 0.3  # share of the steps, at the end, over which the rate falls to zero
    ema: float = 0.999  # 0: none is kept

    precision: Literal["float32", "bfloat16"] = "bfloat16"
    gradient_checkpointing: bool = False
    compile: bool = False  # the transformer's blocks
    threads: int = 0  # of torch; 0 leaves its own choice
    workers: int = 1  # processes that make batches; 0 makes them in between
    save_every: int = 250
    keep: int = 2  # newest checkpoints that stay
    validate_every: int = 250
    tracker: str = "tensorboard"  # or none, or any that accelerate knows

    def __post_init__(self) -> None:
        self._check_data()
        self._check_parts()
        if self.batch < 1 or self.accumulate < 1 or self.steps < 0:
            raise UsageError("batch and accumulate must be at least 1, and steps not negative.")
        if len(self.betas) != 2:
            raise UsageError(f"betas={list(self.betas)}: give two numbers.")

    @property
    def base_stays(self) -> bool:
        """Whether the model is trained beside a pretrained base that is left as it is."""
        return self.model.base is not None

    def _check_data(self) -> None:
        if self.cache is not None and self.quads is not None:
            raise UsageError("cache and quads are both given; train on one of them.")
        for name in ("relation_dropout", "text_dropout"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise UsageError(f"{name}={share}: give a share from 0 to 1.")
            if share and not self.base_stays and self.cache is None and self.quads is None:
                raise UsageError(f"{name}={share}: needs cache or quads; procedural quads are trained on whole.")
        if self.others < 0:
            raise UsageError(f"others={self.others}: give a weight of 0 or more.")

    def _check_parts(self) -> None:
        if not self.trains:
            raise UsageError(f"trains is empty; choose of {', '.join(get_args(Part))}.")
        if ("lora" in self.trains) != bool(self.lora_rank or self.init_lora):
            raise UsageError("trains=lora and lora_rank belong together; give both or neither.")
        if "transformer" in self.trains and self.base_stays:
            raise UsageError(
                "trains=transformer: beside a pretrained base the transformer stays as it is; train a LoRA."
            )
        if self.lora_rank and not self.base_stays:
            raise UsageError(f"lora_rank={self.lora_rank}: is for models beside a pretrained base; leave it 0.")
        if unknown := [name for name in self.rates if name not in self.trains]:
            raise UsageError(f"rates.{unknown[0]}: is not trained; trains has {', '.join(self.trains)}.")

    # What may differ between a run and its resumption, since no number depends on it or it only makes the run longer.
    FREE = (
        *("steps", "warmup", "decay", "threads", "workers", "save_every", "keep", "validate_every", "tracker"),
        *("base", "image_encoder", "weights", "offline", "accumulate", "gradient_checkpointing", "compile"),
    )


# Tone, colour, sharpness and mirror: what people try first on a photo.
_CORE = (
    *("brighten", "darken", "raise contrast", "lower contrast", "grayscale", "saturate", "desaturate"),
    *("warmer", "cooler", "sepia", "tint", "negative", "posterize", "blur", "sharpen"),
    *("flip", "flip", "threshold", "duotone", "vignette"),  # twice, as it is two edits
)

# Measured on the weights that ship, trained in stretches like this one: error over that of doing nothing 0.16 on the
# seen tasks of the frozen benchmark, 0.00 on photos (docs/mini.md).
_MINI = TrainConfig(
    model=replace(
        MODELS["mini"], exemplar_size=64, native_area=64 * 64
    ),  # a second run goes on at 128: recipes/mini.sh
    data=ProceduralMix(
        size=64,
        shapes=(*[(64, 64)] * 6, (56, 72), (80, 48)),
        two_pairs=0.1,
        scene_share=0.33,
        core=_CORE,
        core_share=0.16,
        done_share=0.2,
    ),
    steps=8000,
    batch=32,
    time_sampling="start",
    weighting="root",
    others=0.15,
    optimizer="muon",
    learning_rate=1.2e-3,
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

# The paper's values (arXiv 2506.02528, appendix A); what it leaves out is as in the trainer that its code came from.
_FLUX = TrainConfig(
    model=MODELS["published"],
    relation_dropout=0.05,
    trains=("lora", "projector", "keys_values"),
    lora_rank=128,
    steps=100_000,
    batch=4,
    time_sampling="uniform",
    guidance=1.0,
    learning_rate=1e-4,
    betas=(0.9, 0.999),
    weight_decay=1e-4,
    clip=1.0,
    schedule="constant",
    warmup=0,
    ema=0.0,
    gradient_checkpointing=True,
    workers=4,
    save_every=1000,
    validate_every=2000,
)

PRESETS: dict[str, TrainConfig] = {
    "flux-published": _FLUX,
    # Its null for absent text is learned from the quads that lose theirs.
    "flux-directed": replace(_FLUX, model=MODELS["directed"], text_dropout=0.2),
    "flux-in-context": replace(_FLUX, model=MODELS["in_context"], relation_dropout=0.0, trains=("lora",)),
    "mini": _MINI,
    "debug": replace(_MINI, model=_SMALL, steps=20, batch=4, workers=0, save_every=5, validate_every=10, warmup=2),
}
