"""Relation252K as published: `<task>/Group1/labels.json` beside pictures that hold before and after side by side.

The keys are img_name, left_image_description, right_image_description and edit_instruction. Files of objects with
commas between them and no brackets, as the published page shows them, and of one object a line are read too.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from relation_adapter.data.rows import Links, inside, plain_text
from relation_adapter.data.sources.found import (
    Found,
    Reader,
    Unusable,
    folders_in,
    stamp_of,
    task_of,
    texts_of,
)
from relation_adapter.data.sources.objects import json_objects
from relation_adapter.errors import QuadsError
from relation_adapter.images import is_picture_name

NAMES = ("labels.json", "labels.jsonl")


def read_labels(root: Path) -> Reader:
    """The pairs of every labels file below `root`, which may be a task's folder or a group's too."""
    links = Links(root)
    for folder, names in folders_in(root):
        for name in NAMES:
            if name in names:
                yield from _group(folder, folder / name, names, root, links)


def _group(folder: Path, labels: Path, names: list[str], root: Path, links: Links) -> Reader:
    pictures = list(filter(is_picture_name, names))
    by_stem = {Path(name).stem: name for name in reversed(pictures)}
    left, used = set(pictures), dict[str, str]()
    for one in json_objects(labels):
        if isinstance(one, Unusable):
            yield one
            continue
        where, item = one
        try:
            name = _picture(where, item, by_stem, folder, links)
            texts = {"task": task_of(folder, root), **texts_of(where, item)}
        except QuadsError as error:
            left.discard(str(item.get("img_name")))  # told once
            yield Unusable(str(error))
            continue
        left.discard(name)
        path = folder / name
        if not path.is_file():
            yield Unusable(f"{where}: img_name: {path}: no such file; copy it there or remove the label")
            continue
        place = _place(path.relative_to(root), used)
        yield Found(where, place, (path,), texts, stamp_of(path))
    yield from (
        Unusable(f"{folder / name}: {labels.name} does not name it; label or remove it") for name in sorted(left)
    )


def _picture(where: str, item: dict[str, object], by_stem: dict[str, str], folder: Path, links: Links) -> str:
    where = f"{where}: img_name"
    if item.get("img_name") is None:
        raise QuadsError(f"{where} is missing; every label names its picture")
    name = str(PurePosixPath(inside(where, plain_text(where, item["img_name"]))))  # `./1.png` is 1.png
    if not (folder / name).is_file():
        name = by_stem.get(name, name)  # img_name may come without its suffix
    links.check(where, folder / name)
    return name


def _place(path: Path, used: dict[str, str]) -> str:
    """A name for the two halves; `1.png` and `1.jpg` get two."""
    stem = path.with_suffix("").as_posix()
    if used.setdefault(stem, path.name) == path.name:
        return stem
    return f"{stem}-{path.suffix[1:]}"
