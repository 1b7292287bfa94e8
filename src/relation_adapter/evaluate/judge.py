"""Results scored by a vision-language model: consistency with the source (GPT-C) and accuracy (GPT-A), from 1 to 5.

Paired, as in the paper (appendix B.2, figure 10): one picture with the example, the source and two editors' results.
The paper does not say in which order the two stand. Here it is drawn from the seed, and by default every quad is asked
about in both orders and the scores are averaged, as models favour a place. Single: one result alone. Nothing is asked
twice: answers are found in the journal again by the content of the pictures, the words and the model.
"""

from __future__ import annotations

import functools
import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from relation_adapter.contact_sheet import contact_sheet
from relation_adapter.data.annotate_cost import Estimate, count_question
from relation_adapter.data.naming import AHEAD
from relation_adapter.data.spread import Spread, threaded
from relation_adapter.data.strips import pictures_hash
from relation_adapter.errors import PictureError, UsageError
from relation_adapter.evaluate.judged import COLUMNS, PLACES, Head, Mode, claim, seen_from, to_judge, write_judged
from relation_adapter.evaluate.rows import Row, add_how, latest_rows, write_rows
from relation_adapter.files import locked_folder, remove_parts
from relation_adapter.images import open_picture
from relation_adapter.vlm.asking import Question, Vlm
from relation_adapter.vlm.prompts import Prompt
from relation_adapter.vlm.schema import object_schema
from relation_adapter.vlm.server import ServerOptions

Kind = Literal["answered", "refused", "bad", "unanswered", "unusable"]

CRITERIA = ("consistency", "accuracy")
SCALE = (1, 2, 3, 4, 5)
SCORES = object_schema(**{name: {"type": "integer", "enum": list(SCALE)} for name in CRITERIA})
PROMPTS = {"single": "judge_single", "paired": "judge_paired"}
# How the pictures stand: before, after, source and the results, by number. SHOWN is part of what identifies a question.
LAYOUT: dict[Mode, tuple[tuple[int, ...], ...]] = {"single": ((0, 1), (2, 3)), "paired": ((0, 3), (1, 4), (2,))}
NAMES = ("A", "A1", "B", "B1", "B2")
SHOWN = "judged 1"


@dataclass(frozen=True)
class JudgeOptions:
    """side: most pixels a side of each picture. threads: questions at once. seed: which of two results comes first.

    both_orders: ask about two results a second time with their places exchanged; False asks once, as the paper does.
    """

    prompt: Prompt
    side: int = 512
    threads: int = 4
    seed: int = 0
    both_orders: bool = True


@dataclass(frozen=True)
class Verdict:
    """What became of a quad. row: as the table holds it, with absolute paths. asked: whether the server was, now."""

    row: Row
    kind: Kind
    asked: bool = False


@dataclass
class Summary:
    """Counts of quads. kinds: by what became of them; asked: of the server now; without, alone: as `Found`."""

    kinds: Counter[Kind] = field(default_factory=Counter)
    asked: int = 0
    without: int = 0
    alone: int = 0


def judge(
    folders: Sequence[Path],
    out: Path,
    vlm: Vlm,
    options: JudgeOptions,
    progress: Callable[[Verdict], object] = lambda verdict: None,
    stopping: Callable[[], object] = lambda: None,
    spread: Spread | None = None,
    make: Callable[[], Vlm] | None = None,
) -> Summary:
    """Write the table of a judge (`judged.py`) into `out`: of one batch, single, or of two, paired.

    The table appears once every quad has been asked about; progress is called for every one, in order, stopping when
    the work ends early. spread: workers that look at the pictures and ask, each through what `make` gives, which asks
    at the desk of `vlm`; None: threads of this process.

    Raises InputError without a batch in a folder, without a quad to judge, or where the disk refuses; UsageError where
    `out` holds other scores, is a batch itself, or another process writes there; VlmError where the server cannot be
    asked any more. All answers so far are then in the journal, and the same call goes on.
    """
    head = _head(folders, out, vlm.model, options)
    spread = spread or threaded(options.threads, functools.partial(_stop, vlm, stopping), AHEAD)
    with locked_folder(out):
        remove_parts(out)
        found = to_judge(folders)
        claim(out, head)
        summary, rows = Summary(without=found.without, alone=found.alone), []
        work = functools.partial(_judging, make or (lambda: vlm), head.mode, options)
        for verdict in spread(work, found.rows, functools.partial(_lost, head.mode), True):
            summary.kinds[verdict.kind] += 1
            summary.asked += verdict.asked
            rows.append(verdict.row)
            progress(verdict)
        write_judged(out, rows, head.mode)
    return summary


def estimate(folders: Sequence[Path], vlm: Vlm, options: JudgeOptions, server: ServerOptions) -> Estimate:
    """Count what `judge` would ask, were no request to fail. Sends nothing and writes nothing. Raises InputError."""
    mode, total = _mode(folders), Estimate()
    size = (options.side * max(map(len, LAYOUT[mode])), options.side * len(LAYOUT[mode]))
    for row in to_judge(folders).rows:
        total.rows += 1
        try:
            for order in orders(row, mode, options):
                count_question(total, vlm, server, question(row, mode, order, options), [size])
        except PictureError:
            total.unusable += 1
    return total


def put_columns(folder: Path, rows: Sequence[Row], how: str) -> None:
    """Make the scores of a single table columns of the batch's `rows.jsonl`, instead of any that are there.

    rows: as `sides` gives them. how: told in `metrics.json`. Raises InputError; UsageError where another process works
    in the folder.
    """
    names, base = COLUMNS["single"], os.path.realpath(folder)
    scores = {row["output"]: {name: row[name] for name in names} for row in rows if row["error"] is None}
    with locked_folder(folder):
        kept = [{name: value for name, value in row.items() if name not in names} for row in latest_rows(folder)]
        places = [os.path.normpath(os.path.join(base, row.get("output") or "")) for row in kept]
        write_rows(folder, [row | scores.get(place, {}) for row, place in zip(kept, places, strict=True)])
        add_how(folder, dict.fromkeys(names, how))


def _judging(make: Callable[[], Vlm], mode: Mode, options: JudgeOptions) -> Callable[[Row], Verdict]:
    return functools.partial(judged, mode=mode, vlm=make(), options=options)


def _lost(mode: Mode, row: Row, why: str) -> Verdict:
    return _verdict(row, mode, [], "unanswered", f"unanswered: {why}")


def judged(row: Row, mode: Mode, vlm: Vlm, options: JudgeOptions) -> Verdict:
    """A quad's row with its scores: the mean over the orders, None where one of them got no answer."""
    answers: list[Row] = []
    kind: Kind = "answered"
    why, reply, asked = None, None, False
    try:
        for order in orders(row, mode, options):
            one = question(row, mode, order, options)
            outcome = vlm.outcome(one)
            asked = asked or not outcome.replayed
            if outcome.kind != "answered":
                kind, why, reply = outcome.kind, f"{outcome.kind}: {outcome.why}", outcome.reply
                break
            answers.append(_answer(outcome.values, order, one.key(vlm.model), vlm))
    except PictureError as error:
        kind, why = "unusable", str(error)
    return _verdict(row, mode, answers, kind, why, reply, asked)


def _verdict(
    row: Row,
    mode: Mode,
    answers: Sequence[Row],
    kind: Kind,
    why: str | None,
    reply: str | None = None,
    asked: bool = False,
) -> Verdict:
    scores: dict[str, float | None] = {}
    for number, place in enumerate(PLACES[mode]):
        for criterion, name in enumerate(COLUMNS["single"]):
            given = [answer["scores"][number][criterion] for answer in answers]
            scores[f"{place}{name}"] = float(np.mean(given)) if kind == "answered" else None
    return Verdict(row | scores | {"answers": list(answers), "why": why, "reply": reply}, kind, asked)


def orders(row: Row, mode: Mode, options: JudgeOptions) -> list[tuple[int, ...]]:
    """Whose result is shown as B1 and whose as B2, by number, for every time that a quad is asked about."""
    if mode == "single":
        return [(0,)]
    name = Path(row["first_output"]).name  # says which quad of the batch it is, wherever that lies
    drawn = (0, 1) if random.Random(f"{options.seed} {name}").random() < 0.5 else (1, 0)
    return [drawn, drawn[::-1]] if options.both_orders else [drawn]


def question(row: Row, mode: Mode, order: Sequence[int], options: JudgeOptions) -> Question:
    """What is asked about the results of a quad in one order. Raises PictureError."""
    results = [row[f"{PLACES[mode][number]}output"] for number in order]
    files = [Path(name) for name in (row["before"], row["after"], row["source"], *results)]
    schema = object_schema(**dict.fromkeys(NAMES[3 : len(files)], SCORES))
    about = {name: path.name for name, path in zip(NAMES, files, strict=False)} | {"task": row.get("task")}
    shown = pictures_hash(files, SHOWN, options.side)
    return Question(options.prompt, schema, shown, lambda: [composite(files, mode, options.side)], about=about)


def composite(files: Sequence[Path], mode: Mode, side: int) -> Image.Image:
    """Before, after, source and one or two results in one picture, each under its name. Raises PictureError."""
    rows = [[open_picture(files[number]) for number in row] for row in LAYOUT[mode]]
    return contact_sheet(rows, cell=side, names=[[NAMES[number] for number in row] for row in LAYOUT[mode]])


def _answer(values: Any, order: Sequence[int], key: str, vlm: Vlm) -> Row:
    """scores: [consistency, accuracy] of every editor, in the folders' order. key: of the answer in the journal."""
    shown = [[values[name][criterion] for criterion in CRITERIA] for name in NAMES[3 : 3 + len(order)]]
    kept = vlm.desk.final(key) or {}
    scores = [shown[order.index(number)] for number in range(len(order))]
    return {"order": list(order), "scores": scores, "answered_by": kept.get("answered_by"), "key": key}


def _mode(folders: Sequence[Path]) -> Mode:
    if len(folders) not in (1, 2) or len({folder.resolve() for folder in folders}) < len(folders):
        raise UsageError("give the folder of one batch, or those of two different batches to be seen side by side")
    return "paired" if len(folders) == 2 else "single"


def _head(folders: Sequence[Path], out: Path, judge: str, options: JudgeOptions) -> Head:
    mode = _mode(folders)
    if out.resolve() in {folder.resolve() for folder in folders}:
        raise UsageError(f"{out}: is a batch itself; give a folder of its own for the scores")
    places = tuple(seen_from(folder, out) for folder in folders)
    order = (options.both_orders, options.seed) if mode == "paired" else (None, None)
    return Head(mode, judge, options.prompt.name, options.prompt.sha256, options.side, places, *order)


def _stop(vlm: Vlm, stopping: Callable[[], object]) -> None:
    vlm.stop()
    stopping()
