"""Training on a cache against training with the encoders on line: quads a CPU second, at a size between tiny and full.

    python benchmarks/train_online.py

The parts have a hundredth of FLUX.1-dev's weights, or less, in about the published proportions; pictures of 256 px.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from relation_adapter.config import MODELS, TransformerConfig, override
from relation_adapter.data.cache import write_cache
from relation_adapter.data.schema import Quad, read_quads, write_quads
from relation_adapter.hub import Places
from relation_adapter.images import save_picture
from relation_adapter.model.components import Components, build
from relation_adapter.model.twin_files import TINY
from relation_adapter.model.twins import encoders, write_twins
from relation_adapter.pipeline import RelationPipeline
from relation_adapter.pipeline.flux_dev import load_base
from relation_adapter.train import cache_features
from relation_adapter.train.loop import train
from relation_adapter.train.presets import PRESETS, TrainConfig

FEW, MANY = 1, 4  # steps; the start of a run is in both
BATCH = 2
SIDE = 256  # px
SHAPE = TransformerConfig(
    num_layers=2, num_single_layers=4, num_attention_heads=6, joint_attention_dim=512, pooled_projection_dim=128
)
SIZES: dict[str, dict[str, Any]] = {
    "vae": {"block_out_channels": [32, 64, 128, 128], "layers_per_block": 1, "norm_num_groups": 8, "sample_size": SIDE},
    "text_encoder": {"hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 2, "num_hidden_layers": 6},
    "text_encoder_2": {"d_ff": 1280, "d_kv": 64, "d_model": 512, "num_heads": 8, "num_layers": 8},
    "vision": {"hidden_size": 192, "image_size": 224, "intermediate_size": 768, "num_attention_heads": 3},
}


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        components = middle_twin()
        write_twins(place / "twins", components=components)
        write_quads(place / "quads.jsonl", quads(place))
        changes = {
            "lora_rank": 16,
            "batch": BATCH,
            "workers": 0,
            "threads": 1,
            "tracker": "none",
            "validate_every": MANY,
        }
        changes |= {"model.token_dim": 512, "model.num_tokens": 16, "model.native_area": SIDE**2}
        changes |= {"weights": place / "twins", "offline": "true", "save_every": MANY, "quads": place / "quads.jsonl"}
        on_line = override(PRESETS["flux-published"], [f"{key}={value}" for key, value in changes.items()])
        cached = replace(on_line, quads=None, cache=str(write(on_line, place)))
        for name, run in (("encoders on line", on_line), ("cache", cached)):
            print(f"{name:17} {rate(run, place / name):.3f} quads a CPU second")
        print(f"{sum(p.numel() for p in components.transformer.parameters()) / 1e6:.0f} M weights in the transformer")


def middle_twin() -> Components:
    """All parts at the sizes above, with random weights."""
    design = replace(
        MODELS["published"], transformer=SHAPE, feature_dim=192, exemplar_size=224, num_tokens=16, token_dim=512
    )
    made = build(design, 0)
    vars(made).update(encoders({part: TINY.get(part, {}) | sizes for part, sizes in SIZES.items()}))
    return made


def quads(folder: Path) -> list[Quad]:
    """A ring of pairs of noise, each with its own instruction."""
    rng, pairs = np.random.default_rng(0), []
    for number in range(4):
        pairs.append((folder / f"{number}-before.png", folder / f"{number}-after.png"))
        for path in pairs[-1]:
            save_picture(Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)), path)
    return [
        Quad(*pairs[n], *pairs[(n + 1) % 4], instruction=f"the hat {n}", task="hats", split="train") for n in range(4)
    ]


def write(config: TrainConfig, folder: Path) -> Path:
    """The cache of the config's quads."""
    assert config.weights is not None and config.quads is not None
    base = load_base(Places(folder=Path(config.weights)), config.model, parts={"transformer": None})
    made = cache_features.encoders(RelationPipeline.from_components(base), torch.device("cpu"))
    write_cache(read_quads(config.quads), folder / "cache", made)
    return folder / "cache"


def rate(config: TrainConfig, folder: Path) -> float:
    """Quads a CPU second of the steps alone."""
    spent: Mapping[int, float] = {steps: seconds(replace(config, steps=steps), folder) for steps in (FEW, MANY)}
    return BATCH * (MANY - FEW) / (spent[MANY] - spent[FEW])


def seconds(config: TrainConfig, folder: Path) -> float:
    """CPU seconds of a run from its start."""
    start = time.process_time()
    train(config, folder / str(config.steps))
    return time.process_time() - start


if __name__ == "__main__":
    main()
