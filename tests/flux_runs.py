"""Small runs of the presets beside FLUX.1-dev: twins of its files, a few quads, settings that take seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from samples import noise

from relation_adapter.config import override
from relation_adapter.data.schema import Quad, write_quads
from relation_adapter.images import save_picture
from relation_adapter.model.twins import write_twins
from relation_adapter.train.presets import PRESETS, TrainConfig

SIZES = {
    "flux-published": {"model.num_tokens": 3, "model.token_dim": 24},
    "flux-directed": {
        "model.num_tokens": 5,
        "model.token_dim": 24,
        "model.resampler_layers": 1,
        "model.resampler_heads": 2,
    },
    "flux-in-context": {"model.exemplar_size": 32},
}
QUICK = {
    "lora_rank": 4,
    "batch": 2,
    "workers": 0,
    "threads": 1,
    "tracker": "none",
    "model.native_area": 64 * 64,
    "model.text_length": 16,
}


def files(folder: Path) -> dict[str, Any]:
    """Twins and quads in a folder, as the settings that name them."""
    write_twins(folder / "twins")
    write_quads(folder / "quads.jsonl", quads(folder))
    return {"weights": str(folder / "twins"), "quads": str(folder / "quads.jsonl"), "offline": "true"}


def quads(folder: Path, count: int = 5) -> list[Quad]:
    """Pairs in a ring; every third picture is wide, every other quad has an instruction, the last is held out."""
    pairs = []
    for n in range(count):
        size = (96, 48) if n % 3 == 0 else (48, 48)
        paths = folder / f"{n}-before.png", folder / f"{n}-after.png"
        for side, path in enumerate(paths):
            save_picture(noise(*size, seed=2 * n + side), path)
        pairs.append(paths)
    return [
        Quad(
            *pairs[n],
            *pairs[(n + 1) % count],
            instruction=f"hat {n}" if n % 2 else None,
            task="hats",
            category="editing",
            split="seen" if n == count - 1 else "train",
        )
        for n in range(count)
    ]


def settings(name: str, *more: dict[str, Any]) -> list[str]:
    """`key=value` for a quick run of a preset; later values replace earlier ones."""
    merged: dict[str, Any] = {}
    for values in (SIZES[name], QUICK, *more):
        merged |= values
    return [f"{key}={value}" for key, value in merged.items()]


def config(name: str, *more: dict[str, Any]) -> TrainConfig:
    """The config of such a run."""
    return override(PRESETS[name], settings(name, *more))
