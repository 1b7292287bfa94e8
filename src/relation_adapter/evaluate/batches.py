"""What a report is made of: batches of several editors, the tables of judges, and what of them does not compare."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from relation_adapter.errors import InputError, UsageError
from relation_adapter.evaluate.judged import HEAD, Head, read_head, sides
from relation_adapter.evaluate.rows import Row, absolute_rows, read_how
from relation_adapter.evaluate.sets import read_sets
from relation_adapter.evaluate.stats import quad_key

_STRENGTH = re.compile(r"\s+strength[= ](\d+(?:\.\d+)?)(?=\s|$)")
_OWN_JUDGE = "judge"  # where `evaluate judge FOLDER` puts its table


@dataclass(frozen=True)
class Batch:
    """What one editor made. name: short, of no other batch; rows: with absolute paths, failed ones too.

    base, strength: the editor's name without its strength, and the strength that the name says, 1 where it says none.
    """

    name: str
    model: str
    folder: Path
    rows: list[Row]
    sets: dict[str, Any]
    how: dict[str, str]

    @property
    def done(self) -> list[Row]:
        return [row for row in self.rows if row.get("error") is None]

    @property
    def quads(self) -> set[tuple[Any, ...]]:
        return {quad_key(row) for row in self.done}

    @property
    def base(self) -> str:
        return _STRENGTH.sub("", self.model)

    @property
    def strength(self) -> float:
        found = _STRENGTH.search(self.model)
        return float(found[1]) if found else 1.0


@dataclass(frozen=True)
class Judged:
    """One table of a judge. sides: of every editor in it, its batch's real path and its rows."""

    head: Head
    folder: Path
    sides: list[tuple[str, list[Row]]]


def read_batches(folders: Sequence[Path]) -> list[Batch]:
    """The batches; a folder counts once.

    Raises InputError where a folder holds no rows, UsageError without folders or where two hold the same editor's
    results of the same quads.
    """
    unique = list({os.path.realpath(folder): folder for folder in folders}.values())
    if not unique:
        raise UsageError("no folder to report on; give one or more that `evaluate generate` wrote")
    batches = [_read(folder) for folder in unique]
    names = [batch.name for batch in batches]
    return [
        replace(batch, name=f"{batch.name} ({batch.folder.name})") if names.count(batch.name) > 1 else batch
        for batch in batches
    ]


def _read(folder: Path) -> Batch:
    rows = absolute_rows(folder)
    if not rows:
        raise InputError(f"{folder}: its rows.jsonl is empty; edit some quads into it first")
    model = str(rows[0].get("model") or folder.name)
    return Batch(_short(model), model, folder, rows, read_sets(folder), read_how(folder))


def _short(model: str) -> str:
    """The editor's name without its weights' mark; of a file of weights the file's name, not where it lies."""
    file, mark, rest = model.partition("@")
    name = Path(file).stem if file.endswith(".safetensors") else file
    return re.sub(r"@[0-9a-f]{8}\b", "", name + mark + rest)


def read_judges(outs: Sequence[Path], batches: Sequence[Batch]) -> list[Judged]:
    """The tables named, and those that lie in the batches. Raises InputError."""
    own = [batch.folder / _OWN_JUDGE for batch in batches if (batch.folder / _OWN_JUDGE / HEAD).exists()]
    found = []
    for folder in {os.path.realpath(out): out for out in (*outs, *own)}.values():
        head = read_head(folder)
        places = [os.path.realpath(folder / place) for place in head.folders]
        found.append(Judged(head, folder, list(zip(places, sides(folder), strict=True))))
    return found


def same_ways(batches: Sequence[Batch]) -> tuple[list[Batch], list[str]]:
    """The batches without those columns that another made in another way, and what was left out."""
    ways = {
        column: {batch.how[column] for batch in batches if column in batch.how} for b in batches for column in b.how
    }
    apart = sorted(column for column, how in ways.items() if len(how) > 1)
    notes = [
        f"{column} was made in several ways ({' / '.join(sorted(ways[column]))}), so it is in no table; score all "
        "folders in one way"
        for column in apart
    ]
    cleaned = [
        replace(batch, rows=[{name: value for name, value in row.items() if name not in apart} for row in batch.rows])
        for batch in batches
    ]
    return cleaned, notes


def shared_quads(batches: Sequence[Batch]) -> set[tuple[Any, ...]]:
    """The quads of which every editor has a result."""
    return set.intersection(*(batch.quads for batch in batches))


def apart(batches: Sequence[Batch]) -> list[str]:
    """What does not compare between the batches, a sentence each."""
    first, *others = batches
    notes = [
        f"{batch.name}: {failed} of {len(batch.rows)} edits failed and count nowhere"
        for batch in batches
        if (failed := len(batch.rows) - len(batch.done))
    ]
    for batch in others:
        both = first.quads & batch.quads
        if batch.quads != first.quads:
            notes.append(
                f"{batch.name} has other quads than {first.name}: {len(batch.quads)} against {len(first.quads)}, "
                f"{len(both)} in common; means over all of its own do not compare, paired tests and table 1 do"
            )
        seeds, theirs = ({quad_key(row): row.get("seed") for row in one.done} for one in (first, batch))
        if other := sum(seeds[key] != theirs[key] for key in both):
            notes.append(f"{batch.name} and {first.name}: other seeds for {other} of {len(both)} quads in common")
    return notes + _other_sizes(batches)


def _other_sizes(batches: Sequence[Batch]) -> list[str]:
    """Where results of one quad differ in size between the editors, or from their target."""
    notes = []
    for batch in batches:
        sizes = [(_size(row["output"]), _size(row["target"])) for row in batch.done if row.get("target")]
        if wrong := sum(output is not None and output != target for output, target in sizes):
            notes.append(f"{batch.name}: {wrong} of {len(sizes)} results are resized to their target's size for scores")
    return notes


def _size(path: str) -> tuple[int, int] | None:
    try:
        with Image.open(path) as picture:  # the header alone
            return picture.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
