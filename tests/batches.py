"""A small set of quads and editors that tests of batches share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from relation_adapter.data.schema import Quad, write_quads
from relation_adapter.editor import EditRequest, EditResult, FunctionEditor
from relation_adapter.evaluate.generate import item_seed
from relation_adapter.evaluate.rows import read_rows
from relation_adapter.images import save_picture

COUNT = 10


def add_noise(request: EditRequest) -> Image.Image:
    """An edit that depends on the source, the pair and the seed."""
    rng = np.random.default_rng(request.seed)
    shift = np.asarray(request.pairs[0][1], int).mean() - np.asarray(request.pairs[0][0], int).mean()
    pixels = np.asarray(request.source, int) + int(shift) + rng.integers(-20, 20, (16, 16, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


NOISE = FunctionEditor(add_noise, "noise")


class Counting:
    """An editor that logs every source it was given."""

    name = "noise"

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def edit(self, request: EditRequest) -> EditResult:
        self.seeds.append(request.seed)
        return EditResult(add_noise(request), seconds=1.5)


def make_quads(folder: Path, count: int = COUNT) -> Path:
    rng = np.random.default_rng(0)
    for name in ("before", "after", *(f"source {index}" for index in range(count))):
        save_picture(Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)), folder / f"{name}.png")
    quads = [
        Quad(
            folder / "before.png",
            folder / "after.png",
            folder / f"source {n}.png",
            task="Raise Arms/1",
            category="editing",
        )
        for n in range(count)
    ]
    write_quads(folder / "quads.jsonl", quads)
    return folder / "quads.jsonl"


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def without_seconds(folder: Path) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if key not in ("seconds", "peak_gib")} for row in read_rows(folder)
    ]


def grow(request: EditRequest) -> Image.Image:
    """The source, and from the sixth item on far larger, so that a limit on file sizes bites there."""
    big = request.seed in {item_seed(0, index) for index in range(5, COUNT)}
    return Image.effect_noise((300, 300), 90) if big else request.source
