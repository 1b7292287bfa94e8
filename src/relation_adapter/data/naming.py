"""Tasks without a name or a category are named by a vision-language model that sees some of their pairs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from relation_adapter.data.pairs import PairRow, read_pairs
from relation_adapter.data.schema import Category
from relation_adapter.data.spread import Spread
from relation_adapter.data.strips import SHEET, open_sheet, pictures_hash
from relation_adapter.errors import PictureError
from relation_adapter.vlm.asking import Outcome, Question, Vlm
from relation_adapter.vlm.prompts import Prompt
from relation_adapter.vlm.schema import object_schema

REPLY = object_schema(task={"type": "string"}, category={"type": "string", "enum": list(get_args(Category))})
SHOWN = 4  # pairs
AHEAD = 16  # questions a thread: one that waits for a busy server does not hold up the others


@dataclass(frozen=True)
class Names:
    """What a task is called, and which kind of edit it is."""

    task: str
    category: Category


def group_of(row: PairRow) -> str:
    """Rows of one group are of one task: that of their name, or where there is none that of their folder."""
    return row.task if row.task is not None else row.before.parent.as_posix()


def unnamed(row: PairRow) -> bool:
    """Whether its group is to be named."""
    return row.task is None or row.category is None


def filled(row: PairRow, names: Mapping[str, Names]) -> PairRow:
    """The row with what is null filled from the names of its group."""
    found = names.get(group_of(row)) if unnamed(row) else None
    if found is None:
        return row
    return replace(row, task=row.task or found.task, category=row.category or found.category)


def samples(pairs: Path) -> dict[str, list[PairRow]]:
    """The first pairs of every group that is to be named."""
    groups: dict[str, list[PairRow]] = {}
    for row in read_pairs(pairs):
        if unnamed(row):
            rows = groups.setdefault(group_of(row), [])
            if len(rows) < SHOWN:
                rows.append(row)
    return groups


def name_groups(
    pairs: Path, make: Callable[[], Vlm], prompt: Prompt, side: int, spread: Spread
) -> tuple[dict[str, Names], list[tuple[str, str]]]:
    """Names by group, and (group, why) of those that got none. Raises what `Vlm.outcome` raises."""
    groups = samples(pairs)
    work = functools.partial(_asking, make, prompt, side)
    names: dict[str, Names] = {}
    without: list[tuple[str, str]] = []
    for group, outcome in zip(groups, spread(work, groups.values(), _lost, True), strict=True):
        if outcome.kind == "answered":
            names[group] = Names(**outcome.values)
        else:
            without.append((group, outcome.why))
    return names, without


def naming(rows: Sequence[PairRow], prompt: Prompt, side: int) -> Question:
    """What the edit of these pairs is called."""
    cell = max(1, side // 2)
    pictures = [(row.before, row.after) for row in rows]
    about = {"before": rows[0].before.name, "after": rows[0].after.name, "task": rows[0].task}
    identity = pictures_hash([path for pair in pictures for path in pair], SHEET, cell)
    return Question(prompt, REPLY, identity, lambda: [open_sheet(pictures, cell)], about=about)


def _asking(make: Callable[[], Vlm], prompt: Prompt, side: int) -> Callable[[Sequence[PairRow]], Outcome]:
    return functools.partial(_outcome, vlm=make(), prompt=prompt, side=side)


def _lost(rows: Sequence[PairRow], why: str) -> Outcome:
    return Outcome("unanswered", why=why)


def _outcome(rows: Sequence[PairRow], vlm: Vlm, prompt: Prompt, side: int) -> Outcome:
    try:
        return vlm.outcome(naming(rows, prompt, side))
    except PictureError as error:
        return Outcome("unanswered", why=str(error))
