"""The pairs in a file of quads: the published run-ready form (cond1, cond2, source, target, text), or ours."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from relation_adapter.data.rows import Links, inside, plain_text
from relation_adapter.data.sources.found import Found, Reader, Unusable, stamp_of, task_of, texts_of
from relation_adapter.data.sources.objects import json_objects
from relation_adapter.errors import QuadsError


def read_run_ready(path: Path) -> Reader:
    """Every pair once. The asked ones first, for their instruction is known; then those that are only shown."""
    seen: set[int] = set()
    links = Links(path.parent)
    for asked in (True, False):
        for one in json_objects(path):
            if not isinstance(one, Unusable):
                yield from _pair(*one, path.parent, asked, seen, links)
            elif asked:
                yield one


def _pair(where: str, item: Mapping[str, object], root: Path, asked: bool, seen: set[int], links: Links) -> Reader:
    published = not item.keys().isdisjoint({"cond1", "cond2"})
    keys = ("source", "target") if asked else ("cond1", "cond2") if published else ("before", "after")
    if asked and item.get("target") is None:
        return
    try:
        pictures = tuple(_picture(f"{where}: {key}", item.get(key), root, links) for key in keys)
        texts = texts_of(where, item)
    except QuadsError as error:
        yield Unusable(str(error))
        return
    name = pictures[0].relative_to(root).with_suffix("").as_posix()
    key = _key(pictures)
    if key in seen:
        return
    seen.add(key)
    if not asked:
        texts.pop("instruction", None)  # it says what was done to the other pair
    for field, picture in zip(keys, pictures, strict=True):
        if not picture.is_file():
            yield Unusable(f"{where}: {field}: {picture}: no such file; copy it there or remove the row")
            return
    if pictures[0].parent != root:
        texts = {"task": task_of(pictures[0].parent, root), **texts}
    yield Found(where, f"{name}-{key:016x}", pictures, texts, stamp_of(*pictures))


def _picture(where: str, value: object, root: Path, links: Links) -> Path:
    if value is None:
        raise QuadsError(f"{where} is missing; a quad needs it")
    picture = root / inside(where, plain_text(where, value))
    links.check(where, picture)
    return picture


def _key(pictures: tuple[Path, ...]) -> int:
    """One number a pair: a set of numbers stays small where a set of paths would not."""
    text = "\0".join(map(str, pictures)).encode(errors="surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest()[:8])
