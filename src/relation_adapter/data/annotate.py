"""Pairs described by a vision-language model: two descriptions and an instruction each, as in figure 9 of the paper.

Nothing is asked twice: answers are found in the journal again by the content of the pictures. What is given already
is kept; only fields that are null are filled.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from relation_adapter.data.naming import AHEAD, Names, filled, name_groups
from relation_adapter.data.pairs import PairRow, pair_values, read_pairs, write_pairs
from relation_adapter.data.spread import Spread, threaded
from relation_adapter.data.strips import STRIP, open_strip, pictures_hash
from relation_adapter.errors import InputError, PictureError, UsageError
from relation_adapter.files import locked_folder, reason, remove_parts, writing_whole
from relation_adapter.vlm.asking import Outcome, Question, Vlm
from relation_adapter.vlm.prompts import Prompt
from relation_adapter.vlm.schema import object_schema

Kind = Literal["kept", "refused", "bad", "unanswered", "unusable", "rejected"]

TEXT = {"type": "string"}
REPLY = object_schema(left_image_description=TEXT, right_image_description=TEXT, edit_instruction=TEXT)
FIELDS = {
    "left_image_description": "before_description",
    "right_image_description": "after_description",
    "edit_instruction": "instruction",
}
LOOK = object_schema(shown={"type": "boolean"}, reason=TEXT)


@dataclass(frozen=True)
class AnnotateOptions:
    """What is asked. side: most pixels a side of each half of the strip. threads: questions at once.

    second_look: whether the pair shows the instruction; None does not ask. naming: of tasks that have no name or no
    category; None leaves them without.
    """

    prompt: Prompt
    second_look: Prompt | None = None
    naming: Prompt | None = None
    side: int = 512
    threads: int = 4


@dataclass(frozen=True)
class Verdict:
    """What became of a row. asked: whether the server was asked for it now; given: whether nothing was to be asked."""

    row: PairRow
    kind: Kind
    why: str = ""
    reply: str = ""
    asked: bool = False
    given: bool = False


@dataclass
class Summary:
    """Counts of rows. kinds: by what became of them; asked: of the server now; given: complete before.

    unnamed: (place of the task, why) where it could not be named.
    """

    kinds: Counter[Kind] = field(default_factory=Counter)
    asked: int = 0
    given: int = 0
    unnamed: list[tuple[str, str]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """All of them."""
        return self.kinds.total()


def aside_path(out: Path) -> Path:
    """Where rows are listed that got no answer: refused, of a wrong shape, unanswered, or with an unusable picture."""
    return out.with_name(f"{out.stem}.aside.jsonl")


def rejects_path(out: Path) -> Path:
    """Where rows are listed whose pictures do not show their instruction."""
    return out.with_name(f"{out.stem}.rejects.jsonl")


def annotate(
    pairs: Path,
    out: Path,
    vlm: Vlm,
    options: AnnotateOptions,
    progress: Callable[[Verdict], object] = lambda verdict: None,
    stopping: Callable[[], object] = lambda: None,
    hear: Callable[[int], object] = lambda rows: None,
    spread: Spread | None = None,
    make: Callable[[], Vlm] | None = None,
) -> Summary:
    """Write `out`, the rows that have all three texts, and beside it what was set aside (`aside_path`, `rejects_path`).

    The files appear once every row has been asked for. Every row is read before anything is asked and paid for; hear is
    then told how many there are. progress is called for every row, in order; stopping when the work ends early and what
    is under way is waited for. spread: workers that look at the pictures and ask, each through what `make` gives, which
    asks at the desk of `vlm`; None: threads of this process.

    Raises QuadsError on a bad file of pairs; UsageError where another process writes into the folder; VlmError where
    the server cannot be asked any more; InputError where the disk refuses. All answers so far are then in the journal,
    and the same call goes on.
    """
    if out.resolve() == pairs.resolve():
        raise UsageError(f"{out}: is the file of pairs itself; write to another")
    hear(sum(1 for row in read_pairs(pairs) if pair_values(row, out)))
    with locked_folder(out.parent):
        remove_parts(out.parent)
        spread = spread or threaded(options.threads, functools.partial(_stop, vlm, stopping), AHEAD)
        return _annotated(pairs, out, make or (lambda: vlm), options, progress, spread)


def _annotated(
    pairs: Path,
    out: Path,
    make: Callable[[], Vlm],
    options: AnnotateOptions,
    progress: Callable[[Verdict], object],
    spread: Spread,
) -> Summary:
    summary, names = Summary(), dict[str, Names]()
    if options.naming is not None:
        names, summary.unnamed = name_groups(pairs, make, options.naming, options.side, spread)
    rows = (filled(row, names) for row in read_pairs(pairs))
    verdicts = spread(functools.partial(_judging, make, options), rows, _lost, True)
    with ExitStack() as stack:
        sides = {"aside": stack.enter_context(_lines(aside_path(out)))}
        if options.second_look is not None:
            sides["rejected"] = stack.enter_context(_lines(rejects_path(out)))
        write_pairs(out, _sorted(verdicts, summary, sides, out, progress))
    return summary


def _judging(make: Callable[[], Vlm], options: AnnotateOptions) -> Callable[[PairRow], Verdict]:
    return functools.partial(judged, vlm=make(), options=options)


def _lost(row: PairRow, why: str) -> Verdict:
    return Verdict(row, "unanswered", why)


def judged(row: PairRow, vlm: Vlm, options: AnnotateOptions) -> Verdict:
    """A row with its texts filled in, and looked at once more where that is wished."""
    given, asked = True, False
    try:
        if missing(row):
            outcome = vlm.outcome(description(row, options))
            given, asked = False, not outcome.replayed
            if outcome.kind != "answered":
                return _set_aside(row, outcome)
            row = described(row, outcome.values)
        if options.second_look is not None:
            outcome = vlm.outcome(look(row, options.second_look, options.side))
            given, asked = False, asked or not outcome.replayed
            if outcome.kind != "answered":
                return _set_aside(row, outcome)
            if not outcome.values["shown"]:
                return Verdict(row, "rejected", str(outcome.values["reason"]), asked=asked)
    except PictureError as error:
        return Verdict(row, "unusable", str(error))
    return Verdict(row, "kept", asked=asked, given=given)


def missing(row: PairRow) -> bool:
    """Whether a text is to be asked for."""
    return any(getattr(row, name) is None for name in FIELDS.values())


def described(row: PairRow, values: Mapping[str, Any]) -> PairRow:
    """The row with what is null filled from a reply."""
    return replace(row, **{ours: values[theirs] for theirs, ours in FIELDS.items() if getattr(row, ours) is None})


def description(row: PairRow, options: AnnotateOptions) -> Question:
    """What the two pictures show, and the edit between them."""
    return _question(row, options.prompt, REPLY, options.side)


def look(row: PairRow, prompt: Prompt, side: int) -> Question:
    """Whether the pictures show the instruction."""
    text = prompt.with_words(instruction=row.instruction or "")
    return replace(_question(row, prompt, LOOK, side), text=text)


def _question(row: PairRow, prompt: Prompt, schema: Mapping[str, Any], side: int) -> Question:
    pictures = pictures_hash((row.before, row.after), STRIP, side)
    about = {"before": row.before.name, "after": row.after.name, "task": row.task}
    return Question(prompt, schema, pictures, lambda: [open_strip(row.before, row.after, side)], about=about)


def _set_aside(row: PairRow, outcome: Outcome) -> Verdict:
    kind: Kind = outcome.kind if outcome.kind != "answered" else "bad"
    return Verdict(row, kind, outcome.why, outcome.reply, asked=not outcome.replayed)


def _stop(vlm: Vlm, stopping: Callable[[], object]) -> None:
    vlm.stop()
    stopping()


def _sorted(
    verdicts: Iterator[Verdict],
    summary: Summary,
    sides: Mapping[str, Callable[[Mapping[str, Any]], None]],
    out: Path,
    progress: Callable[[Verdict], object],
) -> Iterator[PairRow]:
    """The rows that are kept; the others go to files of their own."""
    for verdict in verdicts:
        summary.kinds[verdict.kind] += 1
        summary.asked += verdict.asked
        summary.given += verdict.given
        if verdict.kind == "kept":
            yield verdict.row
        else:
            told = {"kind": verdict.kind, "why": verdict.why, "reply": verdict.reply}
            sides["rejected" if verdict.kind == "rejected" else "aside"](pair_values(verdict.row, out) | told)
        progress(verdict)


@contextmanager
def _lines(path: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """What appends a line to a file of JSON lines, which appears whole once the block ends."""
    with _refused(path), writing_whole(path) as part, part.open("wb") as file:

        def add(values: Mapping[str, Any]) -> None:
            with _refused(path):
                file.write((json.dumps(values, ensure_ascii=False) + "\n").encode(errors="replace"))

        yield add


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({reason(error)}); free some space and run the same again"
        ) from error
