"""The report of a comparison: batches of editors, and tables of judges, as one page and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import relation_adapter
from relation_adapter.errors import InputError, UsageError
from relation_adapter.evaluate import report_tables as tables
from relation_adapter.evaluate.batches import Batch, Judged, apart, read_batches, read_judges, same_ways
from relation_adapter.evaluate.report_page import Section, html, markdown
from relation_adapter.evaluate.report_pictures import Figure, plots, sheets
from relation_adapter.files import reason, write_whole

PAGE, TEXT = "index.html", "report.md"
TITLE = "Editors compared"
BESIDE_THE_PAPER = (
    "Rows marked as the paper's are of other pictures (Relation252K, 512 px), another CLIP and FID, and a judge of "
    "other rivals: they show the layout and the size of differences to expect, and rank nothing of this page.",
    "MSE is of pixels in [0, 1] at the target's size, a mean over tasks. GPT-C and GPT-A are of those quads that the "
    "judge scored, where one paired table is given (see Judges).",
)


def report(folders: Sequence[Path], judged: Sequence[Path], out: Path) -> Path:
    """Write `index.html`, which is whole in itself, and `report.md` with its pictures, into a folder; the page's path.

    folders: of `generate`, scored. judged: of `judge`; single tables in the batches are found by themselves.

    Raises:
        UsageError: no folder; `out` is a file, or one of the batches.
        InputError: a folder without rows, or whose rows have no score; the disk refuses.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"-o {out} is a file; give a folder")
    if any(out.resolve() == folder.resolve() for folder in (*folders, *judged)):
        raise UsageError(f"-o {out} is what the report is of; give another folder")
    batches, left_out = same_ways(read_batches(folders))
    if not left_out and not tables.present(batches):
        raise InputError(f"{folders[0]}: its rows have no scores; run `relation-adapter evaluate score` on it first")
    sections = _sections(batches, read_judges(judged, batches), left_out)
    files = {part.name: part.data for one in sections for part in one.parts if isinstance(part, Figure)}
    files |= {TEXT: markdown(TITLE, sections).encode(), PAGE: html(TITLE, sections).encode()}
    for name, data in files.items():
        try:
            write_whole(out / name, data)
        except OSError as error:
            raise InputError(f"{out / name}: cannot be written ({reason(error)}); free some space") from error
    return out / PAGE


def _sections(batches: Sequence[Batch], judges: Sequence[Judged], left_out: Sequence[str]) -> list[Section]:
    paper = [
        tables.table_1(batches, judges),
        tables.table_2(batches, judges),
        tables.table_3(batches, judges),
        *tables.dense_tables(batches),
        tables.table_9(batches, judges),
        tables.table_10(batches, judges),
    ]
    sections = [
        Section("Editors", _what(batches), [tables.editors(batches), tables.cost(batches)]),
        Section("What does not compare", [*left_out, *apart(batches), *_judges_apart(judges)] or ["Nothing found."]),
        Section("The paper's tables", BESIDE_THE_PAPER, paper),
        Section("Strength", (), plots(batches)),
        Section("Differences between editors", (), [tables.differences(batches)] if len(batches) > 1 else ()),
        Section("Judges", (), tables.judge_tables(batches, judges)),
        Section("Best, middle and worst", (), sheets(batches)),
        Section("Every task", (), [tables.by_task(batches)]),
    ]
    return [one for one in sections if one.parts or one.text]


def _what(batches: Sequence[Batch]) -> list[str]:
    lines = [f"{batch.name}: {batch.model}, folder {batch.folder.name}" for batch in batches]
    return [*lines, f"relation-adapter {relation_adapter.__version__}"]


def _judges_apart(judges: Sequence[Judged]) -> list[str]:
    """What may not be read together of the judges' scores."""
    modes = [one.head.mode for one in judges]
    notes = []
    if len(set(modes)) > 1:
        notes.append("Scores of results seen alone and of results seen beside a rival are different numbers")
    if modes.count("paired") > 1:
        notes.append("Several paired tables: each stands alone, since the rival differs; none fills the paper's tables")
    return notes
