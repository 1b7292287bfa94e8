"""The table of a judge: `judged.jsonl`, one row a quad, and `judged.json`, which says who judged what and how.

A single table holds scores of one editor's results, each seen alone. A paired one holds two editors' results, each seen
beside the other, so that a score depends on the rival. The columns differ in name: the two never meet in one table.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from relation_adapter import stores
from relation_adapter.errors import InputError, UsageError
from relation_adapter.evaluate.rows import Row, absolute_rows, read_rows, write_rows
from relation_adapter.evaluate.stats import quad_key
from relation_adapter.files import reason, write_whole

Mode = Literal["single", "paired"]

TABLE, HEAD = "judged.jsonl", "judged.json"
PLACES = {"single": ("",), "paired": ("first_", "second_")}  # the columns of an editor begin so
COLUMNS = {"single": ("gpt_c", "gpt_a"), "paired": ("paired_gpt_c", "paired_gpt_a")}
SHARED = ("before", "after", "source", "instruction", "task", "category", "split")
PATHS = ("before", "after", "source")


@dataclass(frozen=True)
class Head:
    """Who judged what, and how. folders: the batches', as seen from the table's. seed: of the order of two results."""

    mode: Mode
    judge: str
    prompt: str
    prompt_sha256: str
    side: int
    folders: tuple[str, ...]
    both_orders: bool | None = None
    seed: int | None = None

    def text(self) -> str:
        """In one line."""
        return f"{self.mode}, by {self.judge}, prompt {self.prompt} {self.prompt_sha256[:12]}, {self.side} px a picture"


def seen_from(path: str | os.PathLike[str], folder: Path) -> str:
    """A path relative to a folder."""
    return Path(os.path.relpath(os.path.realpath(path), os.path.realpath(folder))).as_posix()


def claim(out: Path, head: Head) -> None:
    """Say in the folder whose scores it will hold. Raises UsageError where it holds others."""
    path = out / HEAD
    if stores.is_file(path):
        found, wanted = asdict(read_head(out)), asdict(head)
        for name, value in wanted.items():
            if found[name] != value:
                raise UsageError(
                    f"{out} holds scores of {name} {found[name]!r}, not {value!r}; give another folder with -o"
                )
        return
    try:
        write_whole(path, json.dumps(asdict(head), indent=1, ensure_ascii=False).encode() + b"\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({reason(error)}); free some space or choose another") from error


def read_head(folder: Path) -> Head:
    """Who judged. Raises InputError."""
    path = folder / HEAD
    try:
        values = json.loads(stores.read(path))
        return Head(**values | {"folders": tuple(values["folders"])})
    except FileNotFoundError as error:
        raise InputError(f"{folder}: nothing was judged into this folder; run `evaluate judge -o {folder}`") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: not the head of a table ({reason(error)}); judge into another folder") from error


def read_judged(folder: Path) -> list[Row]:
    """The rows of a table, every picture's path made absolute. Raises InputError."""
    base = os.path.realpath(folder)
    names = (*PATHS, *(f"{place}output" for place in PLACES[read_head(folder).mode]))
    return [
        row | {name: os.path.normpath(os.path.join(base, row[name])) for name in names}
        for row in read_rows(folder, TABLE)
    ]


def write_judged(folder: Path, rows: Iterable[Row], mode: Mode) -> None:
    """Write the table whole; the rows hold absolute paths. Raises InputError."""
    names = (*PATHS, *(f"{place}output" for place in PLACES[mode]))
    write_rows(folder, [row | {name: seen_from(row[name], folder) for name in names} for row in rows], TABLE)


def sides(folder: Path) -> list[list[Row]]:
    """Of every editor in a table its rows as a batch has them: the quad, output, model, error and COLUMNS of the mode.

    What `stats.mean` and `stats.compare` take. Raises InputError.
    """
    mode, rows = read_head(folder).mode, read_judged(folder)
    return [[_side(row, mode, place) for row in rows] for place in PLACES[mode]]


def _side(row: Row, mode: Mode, place: str) -> Row:
    scores = {name: row.get(f"{place}{plain}") for name, plain in zip(COLUMNS[mode], COLUMNS["single"], strict=True)}
    shared = {name: row.get(name) for name in SHARED}
    return shared | {"output": row[f"{place}output"], "model": row[f"{place}model"], "error": row["why"]} | scores


@dataclass(frozen=True)
class Found:
    """What there is to judge: one row a quad with every editor's `output` and `model`, under PLACES.

    without: quads that lack a picture, as where an edit failed; alone: rows of quads that the other batch lacks.
    """

    rows: list[Row]
    without: int
    alone: int


def to_judge(folders: Sequence[Path]) -> Found:
    """The quads of a batch, or those that two batches share. Raises InputError where there are none."""
    batches = [_by_quad(absolute_rows(folder)) for folder in folders]
    mode: Mode = "paired" if len(folders) == 2 else "single"
    shared = [key for key in batches[0] if all(key in batch for batch in batches)]
    rows = []
    for key in shared:
        made = [batch[key] for batch in batches]
        if all(row.get("error") is None and all(row.get(name) for name in (*PATHS, "output")) for row in made):
            row = {name: made[0].get(name) for name in SHARED}
            for place, folder, one in zip(PLACES[mode], folders, made, strict=True):
                row |= {f"{place}output": one["output"], f"{place}model": one.get("model") or folder.name}
            rows.append(row)
    if not rows:
        what = "both have a result of" if mode == "paired" else "has a result"
        raise InputError(f"{' and '.join(map(str, folders))}: no quad that {what}; edit the same quads first")
    return Found(rows, len(shared) - len(rows), sum(map(len, batches)) - len(shared) * len(batches))


def _by_quad(rows: Iterable[Row]) -> dict[tuple[Any, ...], Row]:
    """Rows by quad; a batch may hold the same quad several times, with other seeds."""
    seen: Counter[tuple[Any, ...]] = Counter()
    found = {}
    for row in rows:
        key = quad_key(row)
        found[*key, seen[key]] = row
        seen[key] += 1
    return found
