"""Pairs as a Hugging Face data set: parquet with the pictures inside, and a card; no network is asked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relation_adapter.data.export import Exported, read_pair_rows, settle
from relation_adapter.data.pairs import FIELDS, PICTURES, PairRow
from relation_adapter.data.sources.hub_datasets import hub_datasets
from relation_adapter.errors import UsageError
from relation_adapter.files import locked_folder, reason, write_whole, writing_whole

SHARD_ROWS = 1000
GROUP_ROWS = 50  # pictures of so many pairs are in memory at once
SPLITS = {None: "train", "train": "train", "seen": "test_seen", "unseen": "test_unseen"}

CARD = """\
---
license: {licence_word}
task_categories:
- image-to-image
pretty_name: {title_word}
configs:
- config_name: default
  data_files:
{files}
---

# {title}

Pairs of pictures before and after an edit; pairs of one task show the same edit.

| split | pairs | tasks |
|---|---|---|
{counts}

| column | what it is |
|---|---|
| `before`, `after` | the two pictures |
| `task` | the name of the edit |
| `category` | `low_level`, `style`, `editing` or `customized` |
| `instruction` | what was done to this very picture |
| `before_description`, `after_description` | what the pictures show |
| `split` | `train`; `seen` (held out, of tasks in training); `unseen` (of tasks kept out of training) |

Columns are null where a value is not known. To open it: `datasets.load_dataset("{name}", split="train")`; to make
pairs of it again: `relation-adapter data import {name} --form datasets -o pairs/`.
"""


@dataclass
class _Split:
    """A split as it is filled: rows and shards so far, their tasks, and the rows of the shard that is open."""

    rows: int = 0
    shards: int = 0
    tasks: Counter[str | None] = field(default_factory=Counter)
    held: list[tuple[str, PairRow]] = field(default_factory=list)


def export_datasets(
    path: Path,
    folder: Path,
    bad: Callable[[str], None],
    title: str = "Pairs",
    licence: str = "unknown",
    progress: Callable[[], None] = lambda: None,
) -> Exported:
    """`data/SPLIT-00000.parquet` and so on, each whole or not at all, and `README.md`, the card.

    Pictures go in as the bytes of their files. A pair whose file cannot be read is told and left out. Raises UsageError
    where the disk refuses, MissingExtraError without the package.
    """
    schema = _schema(hub_datasets())
    done, splits = Exported(), dict[str, _Split]()
    with locked_folder(folder):
        settle(folder, path, "datasets")
        try:
            for where, row in read_pair_rows(path, done, bad):
                split = splits.setdefault(SPLITS[row.split], _Split())
                split.held.append((where, row))
                progress()
                if len(split.held) == SHARD_ROWS:
                    _shard(folder, SPLITS[row.split], split, schema, done, bad)
            for name, split in splits.items():
                _shard(folder, name, split, schema, done, bad)
            write_whole(folder / "README.md", _card(folder, splits, title, licence).encode())
        except OSError as error:
            raise UsageError(f"{folder}: cannot be written ({reason(error)}); free some space, run it again") from error
    return done


def _schema(datasets: Any) -> Any:
    features = {name: datasets.Image() if name in PICTURES else datasets.Value("string") for name in FIELDS}
    return datasets.Features(features).arrow_schema


def _shard(folder: Path, name: str, split: _Split, schema: Any, done: Exported, bad: Callable[[str], None]) -> None:
    """Write the rows held as one file, where it is not there from an earlier call."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not split.held:
        return
    path = folder / "data" / f"{name}-{split.shards:05d}.parquet"
    split.shards += 1
    split.tasks.update(row.task for _, row in split.held)
    if path.exists():
        rows = pq.read_metadata(path).num_rows
        done.kept += rows
        if left := len(split.held) - rows:
            done.unusable += left
            bad(f"{path}: {left:,} pairs were left out when it was written; remove it to have them tried again")
    else:
        rows = 0
        with writing_whole(path) as part, pq.ParquetWriter(part, schema) as writer:
            for start in range(0, len(split.held), GROUP_ROWS):
                items = list(_items(split.held[start : start + GROUP_ROWS], done, bad))
                writer.write_table(pa.Table.from_pylist(items, schema=schema))
                rows += len(items)
    split.rows, done.rows = split.rows + rows, done.rows + rows
    split.held.clear()


def _items(rows: list[tuple[str, PairRow]], done: Exported, bad: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    for where, row in rows:
        try:
            pictures = {
                side: {"bytes": getattr(row, side).read_bytes(), "path": getattr(row, side).name} for side in PICTURES
            }
        except OSError as error:
            done.unusable += 1
            bad(f"{where}: {error.filename}: cannot be read ({reason(error)}); copy it there or remove the row")
            continue
        yield {name: getattr(row, name) for name in FIELDS} | pictures


def _card(folder: Path, splits: dict[str, _Split], title: str, licence: str) -> str:
    names = sorted(splits, key=["train", "test_seen", "test_unseen"].index)
    return CARD.format(
        title=title,
        title_word=json.dumps(title, ensure_ascii=False),  # JSON is YAML, whatever signs are in it
        licence_word=json.dumps(licence, ensure_ascii=False),
        name=folder.resolve().name,
        files="\n".join(f"  - split: {name}\n    path: data/{name}-*.parquet" for name in names),
        counts="\n".join(f"| `{name}` | {splits[name].rows:,} | {len(splits[name].tasks):,} |" for name in names),
    )
