"""What every reader yields: a pair it has found, or what it could not use."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from relation_adapter.data.rows import plain_text
from relation_adapter.errors import UsageError
from relation_adapter.files import reason

# What an import writes; a later one does not take it for a source.
SETTINGS_NAME = "import.json"
PICTURES_NAME = "pictures"
Picture = Path | bytes

# Names under which other forms keep what a row keeps.
TEXTS = {
    "task": "task",
    "category": "category",
    "split": "split",
    "instruction": "instruction",
    "edit_instruction": "instruction",
    "text": "instruction",
    "before_description": "before_description",
    "left_image_description": "before_description",
    "after_description": "after_description",
    "right_image_description": "after_description",
}


@dataclass(frozen=True)
class Found:
    """A pair as a source has it.

    where: file:line, or what else tells a person where it is from. name: of its pictures, a relative path without
    suffix. pictures: before and after, or one in which they are glued, before on the left. texts: fields of the row,
    their words not checked yet. stamp: when the files were last changed, ns.
    """

    where: str
    name: str
    pictures: tuple[Picture, ...]
    texts: Mapping[str, str] = field(default_factory=dict)
    stamp: int = 0


@dataclass(frozen=True)
class Unusable:
    """Something in a source that gives no pair, and why: one line with the remedy."""

    why: str


Reader = Iterator[Found | Unusable]


def texts_of(where: str, item: Mapping[str, object]) -> dict[str, str]:
    """The fields of a row that an item of any form holds; other keys are left. Raises QuadsError."""
    texts: dict[str, str] = {}
    for key, name in TEXTS.items():
        value = item.get(key)
        if value is None or value == "":
            continue
        texts.setdefault(name, plain_text(f"{where}: {key}", value))
    return texts


def task_of(folder: Path, root: Path) -> str:
    """The task of pictures in a folder: its name, or that of the folder above `Group1` and the like."""
    if re.fullmatch(r"group[ _-]?\d*", folder.name, re.IGNORECASE) and folder != root:
        folder = folder.parent
    return (folder if folder.name else folder.resolve()).name


def folders_in(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every folder below `root`, itself first, with the names of its files; in the order that a person would count.

    Hidden ones, folders that are links and the pictures that an import wrote are left out. Raises UsageError where
    `root` cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise UsageError(f"{error.filename}: cannot be read ({reason(error)}); check the path and its permissions")

    for folder, folders, names in os.walk(root, onerror=refuse):
        own = PICTURES_NAME if SETTINGS_NAME in names else None
        folders[:] = sorted((name for name in folders if not name.startswith(".") and name != own), key=natural)
        yield Path(folder), sorted((name for name in names if not name.startswith(".")), key=natural)


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """A key that puts `Group2` before `Group10`."""
    parts = re.split(r"([0-9]{1,18})", text)
    return tuple((int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts))


def stamp_of(*paths: Path) -> int:
    """When the youngest of some files was changed, ns."""
    return max(path.stat().st_mtime_ns for path in paths)
