"""What annotating would cost, told before anything is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from relation_adapter.data.annotate import AnnotateOptions, described, description, look, missing
from relation_adapter.data.naming import naming, samples
from relation_adapter.data.pairs import PairRow, read_pairs
from relation_adapter.data.strips import strip_sizes
from relation_adapter.errors import PictureError
from relation_adapter.images import Size, picture_size
from relation_adapter.vlm.asking import Question, Vlm
from relation_adapter.vlm.server import ServerOptions, likely_cost
from relation_adapter.vlm.spending import Spent

REPLY_TOKENS = 200


@dataclass
class Estimate:
    """rows: of the file; unusable: with a picture that cannot be read; known: questions that the journal answers.

    cost: of the questions to ask, each once. measured: how many of these are counted by what earlier ones cost.
    """

    rows: int = 0
    unusable: int = 0
    known: int = 0
    measured: int = 0
    cost: Spent = field(default_factory=Spent)
    met: set[str] = field(default_factory=set, repr=False)  # those to ask


def estimate(pairs: Path, vlm: Vlm, options: AnnotateOptions, server: ServerOptions) -> Estimate:
    """Count what `annotate` would ask, were no request to fail. Sends nothing and writes nothing. Raises QuadsError."""
    total = Estimate()
    if options.naming is not None:
        for rows in samples(pairs).values():
            sheet = (options.side, options.side // 2 * len(rows))
            with suppress(PictureError):
                count_question(total, vlm, server, naming(rows, options.naming, options.side), [sheet])
    for row in read_pairs(pairs):
        total.rows += 1
        try:
            sizes = _sizes(row, options.side)
            for question in _questions(row, vlm, options):
                count_question(total, vlm, server, question, sizes)
        except PictureError:
            total.unusable += 1
    return total


def _questions(row: PairRow, vlm: Vlm, options: AnnotateOptions) -> Iterator[Question]:
    """Those that a row leads to; the second look as far as its words are known."""
    if missing(row):
        question = description(row, options)
        yield question
        known = vlm.known(question)
        if known is not None and known.kind != "answered":
            return
        row = described(row, known.values) if known else row
    if options.second_look is not None:
        yield look(row, options.second_look, options.side)


def count_question(total: Estimate, vlm: Vlm, server: ServerOptions, question: Question, sizes: Sequence[Size]) -> None:
    """Add what a question would cost; what is sent has these sizes, (width, height) in pixels."""
    if vlm.known(question) is not None:
        total.known += 1
        return
    key = question.key(vlm.model)
    if key in total.met:
        return
    total.met.add(key)
    answers, cost = vlm.journal.usual(question.prompt.sha256, vlm.model)
    if answers:
        total.measured += 1
        total.cost += Spent(1, round(cost.input_tokens / answers), round(cost.output_tokens / answers))
    else:
        guess = likely_cost(sizes, question.words, server)
        total.cost += Spent(1, guess.input_tokens, min(REPLY_TOKENS, guess.output_tokens))


def _sizes(row: PairRow, side: int) -> list[Size]:
    left, right = strip_sizes(picture_size(row.before), picture_size(row.after), side)
    return [(left[0] + right[0], left[1])]
