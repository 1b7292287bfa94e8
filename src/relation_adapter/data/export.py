"""Pairs and quads in the published forms; the same call again goes on where it was stopped."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from relation_adapter.data.looks import other_shapes
from relation_adapter.data.ordered import in_order
from relation_adapter.data.pairs import PairRow
from relation_adapter.data.rows import write_lines, written
from relation_adapter.data.schema import PUBLISHED, Quad, iter_quads
from relation_adapter.data.strips import glue
from relation_adapter.data.verify import read_rows
from relation_adapter.errors import PictureError, QuadsError, UsageError
from relation_adapter.files import locked_folder, reason, remove_parts, write_whole, writing_whole
from relation_adapter.images import open_picture, quick_png, resize

SETTINGS_NAME = "export.json"
SPOOL = ".labels.lines"


@dataclass
class Exported:
    """Rows written, those of them that an earlier call had written, and rows that could not be."""

    rows: int = 0
    kept: int = 0
    unusable: int = 0


def read_pair_rows(path: Path, done: Exported, bad: Callable[[str], None]) -> Iterator[tuple[str, PairRow]]:
    """(file:line, pair) of a file of pairs; a row that cannot be read is told. Raises UsageError on a file of quads."""

    def tell(text: str) -> None:
        done.unusable += 1
        bad(text)

    for number, row in read_rows(path, tell):
        if isinstance(row, Quad):
            raise UsageError(f"{path}: holds quads; this form is written from a file of pairs")
        yield f"{path}:{number}", row


def settle(folder: Path, source: Path, form: str) -> None:
    """See to it that a folder never mixes two exports. Raises UsageError."""
    path = folder / SETTINGS_NAME
    try:
        status = source.stat()
        settings = {"form": form, "source": str(source.resolve()), "bytes": status.st_size, "time": status.st_mtime_ns}
        text = (json.dumps(settings, indent=2) + "\n").encode(errors="surrogateescape")
        if path.exists() and path.read_bytes() != text:
            raise UsageError(f"{folder}: holds an export of other pairs (see {SETTINGS_NAME}); choose another folder")
        if not path.exists() and any(not one.name.startswith(".") for one in folder.iterdir()):
            raise UsageError(f"{folder}: is not empty; choose another folder")
        for place, _, _ in os.walk(folder):
            remove_parts(Path(place))
        write_whole(path, text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({reason(error)}); choose another place") from error


# Relation252K: <task>/Group1/labels.json and glued pictures.


@dataclass(frozen=True)
class _Label:
    where: str
    row: PairRow
    picture: Path


def export_labels(
    path: Path, folder: Path, bad: Callable[[str], None], workers: int = 1, progress: Callable[[], None] = lambda: None
) -> Exported:
    """`<task>/Group1/labels.json` and pictures with before on the left; labels.json appears once all are there.

    A row without a task, of a task whose folder is another's, or whose pictures differ in shape, is told and left out.
    Raises UsageError.
    """
    done = Exported()
    with locked_folder(folder):
        settle(folder, path, "labels")
        groups: set[Path] = set()
        try:
            for spool in folder.glob(f"*/Group1/{SPOOL}"):
                spool.unlink()
            for label, made in in_order(_glue, _labels(path, folder, done, bad), workers):
                progress()
                if isinstance(made, str):
                    done.unusable += 1
                    bad(made)
                    continue
                done.rows, done.kept = done.rows + 1, done.kept + (not made)
                groups.add(label.picture.parent)
                with (label.picture.parent / SPOOL).open("ab") as file:
                    file.write(_label_line(label))
            for group in sorted(groups):
                _close(group)
        except OSError as error:
            raise UsageError(f"{folder}: cannot be written ({reason(error)}); free some space, run it again") from error
    return done


def _labels(path: Path, folder: Path, done: Exported, bad: Callable[[str], None]) -> Iterator[_Label]:
    counts, owners = Counter[str](), dict[str, str]()
    for where, row in read_pair_rows(path, done, bad):
        name = folder_name(row.task or "")
        if row.task is None:
            done.unusable += 1
            bad(f"{where}: has no task, which names the folder; name it first")
            continue
        if owners.setdefault(name, row.task) != row.task:
            done.unusable += 1
            bad(f"{where}: task {row.task!r} would go into the folder of {owners[name]!r}; rename one of them")
            continue
        counts[name] += 1
        yield _Label(where, row, folder / name / "Group1" / f"{counts[name]:06d}.png")


def folder_name(task: str) -> str:
    """A task's name as one folder's."""
    return re.sub(r'[<>:"|?*\\/\x00-\x1f\x7f]', "_", task).strip(". ") or "_"


def _glue(label: _Label) -> tuple[_Label, bool | str]:
    """Whether the glued picture was made now, or why it cannot be."""
    if label.picture.exists():
        return label, False
    try:
        before, after = open_picture(label.row.before), open_picture(label.row.after)
    except PictureError as error:
        return label, f"{label.where}: {error}"
    if sizes := other_shapes(before, after):
        return label, f"{label.where}: before and after differ in shape: {sizes}; crop them alike first"
    write_whole(label.picture, quick_png(glue(before, resize(after, before.size))))
    return label, True


def _label_line(label: _Label) -> bytes:
    row = label.row
    item = {
        "img_name": label.picture.name,
        "left_image_description": row.before_description or "",
        "right_image_description": row.after_description or "",
        "edit_instruction": row.instruction or "",
    }
    return (json.dumps(item, ensure_ascii=False) + "\n").encode()


def _close(group: Path) -> None:
    """The lines of a group as one array."""
    with writing_whole(group / "labels.json") as part, part.open("wb") as out, (group / SPOOL).open("rb") as file:
        for number, line in enumerate(file):
            out.write((b",\n" if number else b"[\n") + line.rstrip(b"\n"))
        out.write(b"\n]\n")
    (group / SPOOL).unlink()


# The run-ready form: cond1, cond2, source, target, text.


def export_run_ready(path: Path, out: Path, progress: Callable[[], None] = lambda: None) -> Exported:
    """Quads, one object a line, paths relative to `out`, beside or above the pictures; whole or not at all.

    Raises QuadsError on a row that cannot be read, has no target, or whose pictures `out` does not lie above.
    """
    return Exported(write_lines(out, _run_ready(iter_quads(path), out, progress)))


def _run_ready(quads: Iterable[Quad], out: Path, progress: Callable[[], None]) -> Iterator[dict[str, str]]:
    for number, quad in enumerate(quads, start=1):
        if quad.target is None:
            raise QuadsError(f"quad {number} has no target; the run-ready form needs one")
        yield {key: value or "" for key, value in written(quad, out, PUBLISHED).items()}
        progress()
