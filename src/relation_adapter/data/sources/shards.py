"""WebDataset shards: tar files in which the members of a sample follow each other and share their name up to a dot.

`0001.before.png`, `0001.after.png` and `0001.json`; or one glued picture, `0001.png` or `0001.glued.png`. The JSON has
the keys of a pair row or those of Relation252K; `0001.txt` is the instruction.
"""

from __future__ import annotations

import itertools
import posixpath
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from relation_adapter.data.rows import inside, parsed, plain_text, shown
from relation_adapter.data.sources.found import Found, Reader, Unusable, natural, texts_of
from relation_adapter.errors import QuadsError, UsageError
from relation_adapter.files import reason

SUFFIXES = (".tar", ".tar.gz", ".tgz")
LARGEST = 256 * 2**20  # bytes of one member


def shard_files(path: Path) -> list[Path]:
    """The shard, or the shards in a folder."""
    files = [path] if path.is_file() else [one for one in path.iterdir() if one.name.endswith(SUFFIXES)]
    return sorted(files, key=lambda one: natural(one.name))


def read_shards(path: Path) -> Reader:
    """The pairs of a shard or of all shards of a folder, read from front to end; nothing is unpacked."""
    for shard in shard_files(path):
        try:
            with tarfile.open(shard, "r|*") as tar:
                yield from _samples(shard, tar)
        except (tarfile.TarError, EOFError) as error:
            yield Unusable(f"{shard}: damaged or cut short ({reason(error)}); copy it again")
        except OSError as error:
            raise UsageError(f"{shard}: cannot be read ({reason(error)}); check it and its permissions") from error


def _samples(shard: Path, tar: tarfile.TarFile) -> Reader:
    seen: set[str] = set()
    for key, members in itertools.groupby(_members(tar), key=lambda one: one[0]):
        data = {kind: one for _, kind, one in members}
        if key in seen:
            yield Unusable(f"{shard}: {key}: comes twice, not in a row; pack the members of a sample together")
        else:
            yield _sample(shard, key, data)
        seen.add(key)


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, str, bytes | None]]:
    """(sample, what it is of it, bytes) of every member; None where a member is no file or too large.

    Hidden ones are left out: macOS packs a `._0001.png` beside every file.
    """
    for member in tar:
        folder, name = posixpath.split(member.name)
        if member.isdir() or name.startswith("."):
            continue
        stem, _, kind = name.partition(".")
        file = tar.extractfile(member) if member.isreg() and member.size <= LARGEST else None
        yield posixpath.join(folder, stem), kind.lower(), None if file is None else file.read()


def _sample(shard: Path, key: str, members: dict[str, bytes | None]) -> Found | Unusable:
    where = f"{shard}: {key}"
    data = {kind: one for kind, one in members.items() if one is not None}
    if len(data) < len(members):
        return Unusable(f"{where}: holds a link, or a member over {LARGEST:,} bytes; pack it again without")
    try:
        name = str(PurePosixPath(inside(where, plain_text(where, key))))  # `./0001` is 0001
        texts = _texts(where, data)
    except QuadsError as error:
        return Unusable(str(error))
    sides = {kind.partition(".")[0]: one for kind, one in data.items() if kind not in ("json", "txt")}
    if {"before", "after"} <= sides.keys():
        pictures: tuple[bytes, ...] = (sides["before"], sides["after"])
    elif len(sides) == 1 and not {"before", "after"} & sides.keys():
        pictures = tuple(sides.values())
    else:
        held = ", ".join(members)
        return Unusable(f"{where}: holds {held}; give it before and after, or one picture of both side by side")
    return Found(where, f"{shard.name}/{name}", pictures, texts)


def _texts(where: str, data: dict[str, bytes]) -> dict[str, str]:
    texts: dict[str, str] = {}
    if "json" in data:
        item = parsed(f"{where}.json", data["json"])
        if not isinstance(item, dict):
            raise QuadsError(f"{where}.json: {shown(item)} is not an object; mend or remove it")
        texts = texts_of(f"{where}.json", item)
    if "txt" in data:
        text = data["txt"].decode("utf-8", errors="surrogateescape").strip()
        texts.setdefault("instruction", plain_text(f"{where}.txt", text))
    return texts
