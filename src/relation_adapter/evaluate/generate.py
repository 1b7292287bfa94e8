"""Edit every quad with any editor, into a folder of pictures and a `rows.jsonl`; safe to kill and run again."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np

from relation_adapter import stores
from relation_adapter.data.schema import PICTURES, Quad, read_quads
from relation_adapter.data.spread import Spread
from relation_adapter.editor import Editor, EditRequest, EditResult, begin
from relation_adapter.errors import InputError, UsageError
from relation_adapter.evaluate.rows import Row, append_row, has_rows, open_rows, read_rows, row_key, write_rows
from relation_adapter.files import locked_folder, reason, remove_parts, seen
from relation_adapter.images import open_picture, save_picture, to_rgb
from relation_adapter.overlap import overlapped

Progress = Callable[[int, int, Row], None]


@dataclass(frozen=True)
class Summary:
    """Counts of one call: edited now, failed now, and skipped because an earlier call had done them."""

    done: int
    failed: int
    skipped: int


def generate(
    quads: str | os.PathLike[str] | Sequence[Quad],
    editor: Editor,
    out: str | os.PathLike[str],
    seed: int = 0,
    progress: Progress | None = None,
) -> Summary:
    """Edit every quad and keep `out/rows.jsonl` up to date; the same call again resumes and retries what failed.

    A row is the quad's fields, its paths relative to `out`, and output, seed (the item's), seconds, peak_gib, model
    and error (None or the message). A bad item becomes a row with an error and the batch goes on. At the end the file
    holds one row a quad, in quad order. progress(number, count, row) is called after every item, not always by this
    thread; those that an earlier call had done come first.

    Raises QuadsError on a bad quads file; UsageError when `out` holds results of other quads, another seed or another
    model, or another process works there; PictureError or InputError when the disk refuses: finished rows are safe.
    """
    return generate_with(None, quads, editor.name, lambda: editor, out, seed, progress)


def generate_with(
    spread: Spread | None,
    quads: str | os.PathLike[str] | Sequence[Quad],
    name: str,
    make: Callable[[], Editor],
    out: str | os.PathLike[str],
    seed: int = 0,
    progress: Progress | None = None,
) -> Summary:
    """As `generate`, by whatever workers `spread` has; each makes its own editor, which has to be called `name`.

    Workers save the pictures, this process alone writes rows. What is in memory does not grow with the rows done.
    spread: None edits here, and meanwhile opens the next pictures and saves the last ones.
    """
    if seed < 0:
        raise UsageError(f"seed {seed} is negative; use 0 or more")
    if isinstance(quads, (str, os.PathLike)):
        quads = read_quads(quads)
    folder = Path(out)
    with locked_folder(folder):
        remove_parts(folder)
        rows = [_plan(index, quad, name, seed, folder) for index, quad in enumerate(quads)]
        finished = _resume(folder, rows)
        counts = {"done": 0, "failed": 0, "skipped": len(finished)}
        if progress is not None:
            for index in finished:
                progress(index + 1, len(rows), rows[index])
        todo = (Task(index, quad, rows[index]) for index, quad in enumerate(quads) if index not in finished)
        with open_rows(folder) as file:

            def keep(found: tuple[int, Row]) -> None:
                index, made = found
                rows[index] |= made
                append_row(file, rows[index])
                counts["done" if made["error"] is None else "failed"] += 1
                if progress is not None:
                    progress(index + 1, len(rows), rows[index])

            if spread is not None:
                for found in spread(partial(Edits, make, name, folder), todo, _lost):
                    keep(found)
            elif len(finished) < len(rows):
                edits = Edits(make, name, folder)
                overlapped(todo, open_request, edits.edit, edits.save, keep)
        write_rows(folder, rows)
    return Summary(**counts)


@dataclass(frozen=True)
class Task:
    """One edit to be made. plan: what its row holds whatever the outcome, and the name of its picture as `output`."""

    index: int
    quad: Quad
    plan: Row


@dataclass(frozen=True)
class Edited:
    """What became of an edit. row: what that adds to the item's row. complete: makes the picture; None: it failed."""

    task: Task
    row: Row
    complete: Callable[[], EditResult] | None = None


class Edits:
    """What a worker does: edit after edit, by an editor of its own."""

    def __init__(self, make: Callable[[], Editor], name: str, folder: Path) -> None:
        if not seen(folder):
            raise UsageError(f"{folder}: a worker does not see it; give a folder on a disk that all machines share")
        self.editor, self.folder = make(), folder
        if self.editor.name != name:
            raise UsageError(
                f"a worker has '{self.editor.name}' where '{name}' is wanted; give every machine the same weights"
            )

    def __call__(self, task: Task) -> tuple[int, Row]:
        """Make one edit and save it; what that adds to its row, an error where the item or the editor failed."""
        return self.save(self.edit(task, lambda: open_request(task)))

    def edit(self, task: Task, opened: Callable[[], EditRequest]) -> Edited:
        """Make one edit as far as it needs the editor; `opened` gives its request, or raises."""
        start = time.perf_counter()
        try:
            complete = begin(self.editor, opened())
        except Exception as error:  # An editor is anybody's code; whatever it raises is this item's failure alone.
            return Edited(task, _failed(_since(start), _message(error)))
        return Edited(task, {"seconds": _since(start), "peak_gib": peak_gib(), "error": None}, complete)

    def save(self, edited: Edited) -> tuple[int, Row]:
        """Complete the picture, where there is one, and save it."""
        index, row = edited.task.index, edited.row
        if edited.complete is None:
            return index, row
        try:
            result = edited.complete()
            image = to_rgb(result.image)
            image.load()  # An editor may return a file not decoded yet; what is wrong with it is to show here.
        except Exception as error:
            return index, _failed(row["seconds"], _message(error))
        # Outside of the try: a disk that refuses is no fault of the item, and would fail all others too.
        save_picture(image, self.folder / edited.task.plan["output"])
        if result.seconds:
            row["seconds"] = round(result.seconds, 3)
        # An editor that tried several seeds says which one made the picture.
        return index, row | ({"kept_seed": result.details["seed"]} if "seed" in result.details else {})


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 3)


def _lost(task: Task, why: str) -> tuple[int, Row]:
    return task.index, _failed(None, why)


def _failed(seconds: float | None, why: str) -> Row:
    return {"output": None, "seconds": seconds, "error": why}


def item_seed(seed: int, index: int) -> int:
    """The seed of item `index` (from 0) of a batch with `seed`: 31 bits, the same in any order, batch and resume."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0]) >> 1


def _plan(index: int, quad: Quad, model: str, seed: int, folder: Path) -> Row:
    """What the row of an item will hold whatever the outcome, and the name of its picture as `output`."""
    plan: Row = {field.name: getattr(quad, field.name) for field in fields(quad)}
    for name in PICTURES:
        plan[name] = None if plan[name] is None else _relative(plan[name], folder)
    parts = [f"{index:06d}", _slug(quad.task or ""), _slug(quad.source.stem)]
    return plan | {"output": "_".join(filter(None, parts)) + ".png", "seed": item_seed(seed, index), "model": model}


def _relative(path: Path, folder: Path) -> str:
    """`path` as seen from `folder`; links in folder names are followed first, as `..` would.

    Of a store and a disk one sees the other by its whole name alone.
    """
    place = stores.address(path)
    if (place is None) != (stores.address(folder) is None):
        return place or Path(os.path.realpath(path)).as_posix()
    real = Path(os.path.realpath(path.parent)) / path.name
    return Path(os.path.relpath(real, os.path.realpath(folder))).as_posix()


def _slug(text: str) -> str:
    """Letters, digits and hyphens, at most 24 characters."""
    return re.sub(r"[\W_]+", "-", text).strip("-")[:24]


def _finished(row: Row, there: Container[str]) -> bool:
    output = row.get("output")
    return row.get("error") is None and isinstance(output, str) and output in there


def _resume(folder: Path, plans: list[Row]) -> set[int]:
    """Put the finished rows of earlier calls in the place of their plans, and say which; on disk the latest are kept.

    Raises UsageError where finished rows are not of this batch.
    """
    earlier = _earlier(folder, plans)
    write_rows(folder, list(earlier.values()))
    finished, there = set(), stores.names(folder)
    for index, plan in enumerate(plans):
        row = earlier.get(row_key(plan))
        if row is not None and _finished(row, there):
            plans[index] = row
            finished.add(index)
    return finished


def _earlier(folder: Path, plans: Sequence[Row]) -> dict[str, Row]:
    """Rows of earlier calls by key, the latest of each; refuses finished rows that are not of this batch."""
    if not has_rows(folder):
        return {}
    outputs = {row_key(plan): plan["output"] for plan in plans}
    rows: dict[str, Row] = {}
    for row in read_rows(folder):
        key = row_key(row)
        if key in outputs and row.get("output") in (None, outputs[key]):
            rows[key] = row
        elif row.get("error") is None:
            raise UsageError(f"{folder} holds results of {_difference(row, plans)}; choose another folder")
    return rows


def _difference(row: Row, plans: Sequence[Row]) -> str:
    """Why a finished row is not of this batch, in words."""
    if plans and row.get("model") != plans[0]["model"]:
        return f"model '{row.get('model')}', not '{plans[0]['model']}'"
    same_quad = any(all(row.get(name) == plan[name] for name in PICTURES) for plan in plans)
    return "another seed, order or instruction" if same_quad else "other quads"


def peak_gib() -> float | None:
    """The most memory held so far, in GiB: of the GPU where there is one, else of the process; None where not told."""
    torch = sys.modules.get("torch")  # Loaded by the editor, where it needs it.
    if torch is not None and torch.cuda.is_available():
        return round(torch.cuda.max_memory_reserved() / 2**30, 2)
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30, 2)


def open_request(task: Task) -> EditRequest:
    """Open the pictures of an edit. Raises PictureError."""
    pair = (open_picture(task.quad.before), open_picture(task.quad.after))
    return EditRequest([pair], open_picture(task.quad.source), task.quad.instruction, task.plan["seed"])


def _message(error: Exception) -> str:
    text = reason(error)
    return text if isinstance(error, (InputError, UsageError)) else f"{type(error).__name__}: {text}"
