"""Folders of pictures: `cat_before.jpg` beside `cat_after.jpg`, or `before/cat.jpg` and `after/cat.jpg`."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from relation_adapter.data.rows import Links
from relation_adapter.data.sources.found import (
    Found,
    Reader,
    Unusable,
    folders_in,
    natural,
    stamp_of,
    task_of,
)
from relation_adapter.errors import QuadsError
from relation_adapter.images import is_picture_name

SIDE = re.compile(r"(.*?)[ _.-]?(before|after)", re.IGNORECASE | re.DOTALL)
TWINS = {"before", "after"}
Sides = dict[str, list[Path]]  # pictures by "before" and "after"


def read_folders(root: Path) -> Reader:
    """Every pair below `root`; its task is the name of the folder that it lies in, `before` and `after` left out."""
    links = Links(root)
    for folder, names in folders_in(root):
        if TWINS & {part.lower() for part in folder.relative_to(root).parts}:
            continue  # a folder above has looked into it
        for name, sides in sorted(_sides(folder, names).items(), key=lambda one: natural(one[0])):
            yield _pair(folder, name, sides, root, links)


def _sides(folder: Path, names: list[str]) -> dict[str, Sides]:
    found: dict[str, Sides] = defaultdict(lambda: {"before": [], "after": []})
    for name in filter(is_picture_name, names):
        match = SIDE.fullmatch(Path(name).stem)
        if match:
            found[match[1]][match[2].lower()].append(folder / name)
    for twin in sorted(folder.iterdir()):
        if twin.name.lower() in TWINS and twin.is_dir():
            for inner, names in folders_in(twin):
                for name in filter(is_picture_name, names):
                    place = (inner / name).relative_to(twin).with_suffix("").as_posix()
                    found[place][twin.name.lower()].append(inner / name)
    return found


def _pair(folder: Path, name: str, sides: Sides, root: Path, links: Links) -> Found | Unusable:
    for side, other in (("before", "after"), ("after", "before")):
        if not sides[side]:
            return Unusable(f"{sides[other][0]}: has no {side} beside it; add or remove it")
        if len(sides[side]) > 1:
            first, second, *_ = sides[side]
            return Unusable(f"{second}: so is {first.relative_to(folder)} the {side} of {name!r}; keep one")
    pictures = (sides["before"][0], sides["after"][0])
    try:
        for picture in pictures:
            links.check(str(folder), picture)
    except QuadsError as error:
        return Unusable(str(error))
    # A pair in `before/hat/` is not one in `hat/` of the same name.
    place = folder.relative_to(root) / ("before" if "/" in name else "") / (name or "pair")
    task = task_of((folder / name).parent if name else folder, root)
    return Found(str(pictures[0]), place.as_posix(), pictures, {"task": task}, stamp_of(*pictures))
