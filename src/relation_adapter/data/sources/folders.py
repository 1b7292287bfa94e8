"""Folders of pictures: `cat_before.jpg` beside `cat_after.jpg`, or `before/cat.jpg` and `after/cat.jpg`."""

from __future__ import annotations

import re
from pathlib import Path

from relation_adapter.data.rows import Links
from relation_adapter.data.sources.found import (
    Found,
    Reader,
    Unusable,
    folders_in,
    natural,
    picture_names,
    stamp_of,
    task_of,
)
from relation_adapter.errors import QuadsError

SIDE = re.compile(r"(.*?)[ _.-]?(before|after)", re.IGNORECASE | re.DOTALL)
Sides = dict[str, Path]  # "before" and "after"


def read_folders(root: Path) -> Reader:
    """Every pair below `root`; its task is the name of the folder that it lies in, above `before` and `after`."""
    links = Links(root)
    for folder, names in folders_in(root):
        if folder.name.lower() in ("before", "after") and folder != root:
            continue  # its parent has looked into it
        for name, sides in sorted(_sides(folder, names).items(), key=lambda one: natural(one[0])):
            yield _pair(folder, name, sides, root, links)


def _sides(folder: Path, names: list[str]) -> dict[str, Sides]:
    found: dict[str, Sides] = {}
    for name in picture_names(names):
        match = SIDE.fullmatch(Path(name).stem)
        if match:
            found.setdefault(match[1], {})[match[2].lower()] = folder / name
    for twin in folder.iterdir():
        if twin.name.lower() in ("before", "after") and twin.is_dir():
            for name in picture_names(path.name for path in twin.iterdir() if not path.name.startswith(".")):
                found.setdefault(Path(name).stem, {})[twin.name.lower()] = twin / name
    return found


def _pair(folder: Path, name: str, sides: Sides, root: Path, links: Links) -> Found | Unusable:
    for side, other in (("before", "after"), ("after", "before")):
        if side not in sides:
            return Unusable(f"{sides[other]}: has no {side} beside it; add or remove it")
    pictures = (sides["before"], sides["after"])
    try:
        for picture in pictures:
            links.check(str(folder), picture)
    except QuadsError as error:
        return Unusable(str(error))
    place = (folder.relative_to(root) / (name or "pair")).as_posix()
    return Found(str(pictures[0]), place, pictures, {"task": task_of(folder, root)}, stamp_of(*pictures))
