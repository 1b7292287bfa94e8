"""Make the pairs and quads.jsonl of this folder from its photos: `python examples/make_pairs.py`.

Every edit is a procedural task with fixed parameters, so the after picture is what the task's name says. The source is
always another photo than the one the pair shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from relation_adapter.data.schema import Category, Quad, write_quads
from relation_adapter.images import open_picture, resize, save_picture
from relation_adapter.procedural import task

HERE = Path(__file__).parent
LONG_SIDE = 384  # px of a pair


@dataclass(frozen=True)
class Example:
    """One edit: a procedural task, the photo that shows it and the photo that is to get it."""

    name: str
    task: str
    params: dict[str, Any]
    shown_on: str
    source: str
    instruction: str


EXAMPLES = (
    Example("sepia", "sepia", {"colour": [255, 214, 165], "strength": 0.95}, "coffee", "chelsea", "Turn it sepia."),
    Example("grayscale", "grayscale", {"factor": 0.0}, "astronaut", "coffee", "Take the colours away."),
    Example("negative", "negative", {"channels": [1, 1, 1], "strength": 1.0}, "chelsea", "astronaut", "Invert it."),
    Example("brighten", "brighten", {"gain": 1.25, "offset": 0.05, "gamma": 0.65}, "coffee", "rocket", "Brighten it."),
    Example("darken", "darken", {"gain": 0.7, "offset": -0.03, "gamma": 1.5}, "astronaut", "chelsea", "Darken it."),
    Example("tint", "tint", {"colour": [64, 150, 230], "strength": 0.75}, "chelsea", "coffee", "Tint it blue."),
    Example("duotone", "duotone", {"colours": [[20, 24, 70], [250, 200, 120]]}, "coffee", "rocket", "Two colours."),
    Example("vignette", "vignette", {"inner": 0.36, "strength": 0.9}, "astronaut", "chelsea", "Darken the corners."),
)


def make_pair(example: Example) -> tuple[Image.Image, Image.Image]:
    """Before and after of an example, LONG_SIDE pixels long."""
    photo = open_picture(HERE / "photos" / f"{example.shown_on}.jpg")
    scale = LONG_SIDE / max(photo.size)
    before = resize(photo, (round(photo.width * scale), round(photo.height * scale)))
    after = task(example.task).apply(np.asarray(before), example.params)
    return before, Image.fromarray(after)


def main() -> None:
    """Write pairs/NAME/before.jpg and after.jpg of every example, and the quads."""
    quads = []
    for example in EXAMPLES:
        folder = HERE / "pairs" / example.name
        names = folder / "before.jpg", folder / "after.jpg"
        for picture, path in zip(make_pair(example), names, strict=True):
            save_picture(picture, path)
        category = cast("Category", task(example.task).category)
        source = HERE / "photos" / f"{example.source}.jpg"
        quads.append(Quad(*names, source, None, example.instruction, example.task, category, "seen"))
    write_quads(HERE / "quads.jsonl", quads)
    print(f"{len(quads)} pairs and quads.jsonl written to {HERE}")


if __name__ == "__main__":
    main()
