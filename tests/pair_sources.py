"""Small sets of pairs on disk in the forms that the readers know, made of procedural quads."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from relation_adapter.procedural import quad_at

TASKS = ("sepia", "negative", "blur")


def pair(task: str, number: int, size: int = 48) -> tuple[Image.Image, Image.Image]:
    quad = quad_at(0, task, number, size)
    return Image.fromarray(quad.before), Image.fromarray(quad.after)


def glued(task: str, number: int, size: int = 48) -> Image.Image:
    return Image.fromarray(np.concatenate([np.asarray(side) for side in pair(task, number, size)], axis=1))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def label(number: int, suffix: str = ".png") -> dict[str, str]:
    return {
        "img_name": f"{number:06d}{suffix}",
        "left_image_description": f"left {number}",
        "right_image_description": f"right {number}",
        "edit_instruction": f"do {number}",
    }


def write_labels(root: Path, count: int = 3, tasks: tuple[str, ...] = TASKS, size: int = 48) -> None:
    """`<task>/Group1/labels.json` and Group2, as published."""
    for task in tasks:
        for group, numbers in (("Group1", range(count - 1)), ("Group2", range(count - 1, count))):
            folder = root / task / group
            folder.mkdir(parents=True)
            for number in numbers:
                glued(task, number, size).save(folder / f"{number:06d}.png")
            (folder / "labels.json").write_text(json.dumps([label(number) for number in numbers], indent=1))


def write_shard(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
