"""What weights of `mini` can do: the scores of the model card, and its pictures.

    python benchmarks/mini.py --run FOLDER [--model mini|FILE] [--per-task 10] [--first 0] [--write] [--pictures]

Edits the first quads of every task of the frozen benchmark with the right pair, that pair swapped and another task's,
as `ablation.py` does for its designs, and keeps the rows in FOLDER; then the photos of `photos.py`. `--write` puts the
tables into docs/mini.md, `--pictures` draws docs/mini/*.jpg anew. What to train and what to read exactly was chosen by
quads 0 to 9 of every task; `--first 10` measures others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import photos
import torch
from ablation import edit, measure
from ablation_quads import Bench, bench, name_of
from ablation_table import SPLITS, scores, task_means
from PIL import Image

from relation_adapter import RelationPipeline
from relation_adapter.contact_sheet import contact_sheet
from relation_adapter.files import write_whole
from relation_adapter.pipeline import RelationEditor
from relation_adapter.procedural import CATEGORIES
from relation_adapter.relation import weights_mark

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "mini.md"
START, END = "<!-- table: benchmarks/mini.py --write -->", "<!-- end of table -->"
Rows = Sequence[dict[str, Any]]
SHOWN = 12  # tasks on a sheet
COLUMNS = ("before", "after", "source", "truth", "result")


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    pipe = RelationPipeline.from_pretrained(options.model)
    pipe.set_progress_bar_config(disable=True)
    quads = bench(options.run, options.per_task, options.first)
    rows = _rows(pipe, quads, options)
    text = "\n\n".join([summary(rows, options), by_category(rows), by_task(rows), on_photos(pipe, options.pictures)])
    print(text)
    if options.write:
        head, rest = PAGE.read_text().split(START)
        PAGE.write_text(f"{head}{START}\n\n{text}\n\n{END}{rest.split(END)[1]}")
    if options.pictures:
        draw(pipe, quads, rows)


def _rows(pipe: Any, quads: Bench, options: argparse.Namespace) -> Rows:
    """Measured now, or by an earlier call with the same weights."""
    mark = weights_mark(None, pipe.transformer, pipe.adapter)[:12]
    kept = options.run / f"rows-{name_of(options.per_task, options.first)}-{mark}.json"
    if not kept.exists():
        write_whole(kept, json.dumps(measure(pipe, quads)).encode())
    found: Rows = json.loads(kept.read_bytes())
    return found


def summary(rows: Rows, options: argparse.Namespace) -> str:
    parts = {split: [row for row in rows if row["split"] == split] for split in SPLITS}
    which = f"numbers {name_of(options.per_task, options.first)}" if options.first else f"the first {options.per_task}"
    head = f"Of the frozen benchmark, {which} of every task: {len(rows):,} quads."
    return f"{head}\n\n{scores('tasks', {name: [part] for name, part in parts.items()})}"


def by_category(rows: Rows) -> str:
    parts = {
        f"{category}, {split}": [row for row in rows if (row["category"], row["split"]) == (category, split)]
        for split in SPLITS
        for category in CATEGORIES
    }
    return scores("category", {name: [part] for name, part in parts.items() if part})


def by_task(rows: Rows) -> str:
    """The tasks by their error over that of doing nothing, in four bands."""
    nothing = task_means(rows, "nothing")
    found = sorted((error / nothing[task], task) for task, error in task_means(rows, "mse").items())
    bands = [(0.0, 0.15), (0.15, 0.3), (0.3, 0.5), (0.5, 0.8), (0.8, np.inf)]
    lines = ["| error over that of doing nothing | tasks |", "|---|---|"]
    for low, high in bands:
        names = [f"{task} {value:.2f}" for value, task in found if low <= value < high]
        title = f"{low:g} to {high:g}" if np.isfinite(high) else f"over {low:g}"
        lines.append(f"| {title} | {len(names)}: {', '.join(names)} |")
    return "\n".join(lines)


def on_photos(pipe: Any, sheet: bool) -> str:
    """The ten edits of `photos.py`, as a table, and a sheet of them."""
    found = photos.run(RelationEditor(pipe, "mini"), items=20)
    if sheet:
        photos.sheet(found).save(DOCS / "mini" / "photos.jpg", quality=80, optimize=True)
    return f"Photos that no training saw, crops of 128 pixels, 20 an edit:\n\n{photos.table(found)}"


def draw(pipe: Any, quads: Bench, rows: Rows) -> None:
    """Sheets of the best and of the worst tasks, one quad each."""
    nothing = task_means(rows, "nothing")
    order = sorted(nothing, key=lambda task: task_means(rows, "mse")[task] / nothing[task])
    numbers = {told["task"]: number for number, told in reversed(list(enumerate(quads.told)))}
    step = max(1, len(order) // SHOWN)
    for name, tasks in (("tasks", order[::step][:SHOWN]), ("failures", order[-SHOWN:])):
        chosen = quads.pictures[[numbers[task] for task in tasks]]
        outputs = edit(pipe, chosen, (0, 1))
        sheet = [[*map(Image.fromarray, quad), Image.fromarray(out)] for quad, out in zip(chosen, outputs, strict=True)]
        contact_sheet(sheet, COLUMNS, tasks, cell=128).save(DOCS / "mini" / f"{name}.jpg", quality=80, optimize=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--run", type=Path, required=True, help="folder of quads and rows")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--per-task", type=int, default=10, help="quads of the benchmark's 30 of every task")
    parser.add_argument("--first", type=int, default=0, help="their first number")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/mini.md")
    parser.add_argument("--pictures", action="store_true", help="draw docs/mini/*.jpg")
    return parser.parse_args()


if __name__ == "__main__":
    main()
