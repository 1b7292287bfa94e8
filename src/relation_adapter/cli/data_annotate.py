"""`relation-adapter data annotate`."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from relation_adapter.cli.say import result, say
from relation_adapter.data.annotate import AnnotateOptions, Summary, Verdict, annotate, aside_path, rejects_path
from relation_adapter.data.annotate_cost import Estimate, estimate
from relation_adapter.errors import UsageError
from relation_adapter.vlm.asking import Limits, Vlm
from relation_adapter.vlm.journal import Journal, open_journal
from relation_adapter.vlm.prompts import load_prompt
from relation_adapter.vlm.server import Server, ServerOptions
from relation_adapter.vlm.spending import Budget, Price, Spent

TOLD = 10  # rows set aside that are named one by one


def run(options: Namespace) -> int:
    """Annotate, or tell what it would cost; 1 where rows were set aside."""
    if options.dry_run and options.replay:
        raise UsageError("give --dry-run or --replay, not both")
    if "money" in options.budget and options.price is None:
        raise UsageError("--budget money=N needs --price IN,OUT, the money for a million tokens")
    wanted = AnnotateOptions(
        prompt=load_prompt(options.prompt or "annotate"),
        second_look=load_prompt("second_look") if options.second_look else None,
        naming=load_prompt("name_task") if options.name_tasks else None,
        side=options.side,
        threads=options.threads,
    )
    if options.dry_run:
        return _tell_cost(options, wanted)
    # A replay takes the folder's lock no more than a dry run does: it may lie where nobody can write.
    with open_journal(_answers(options), writing=not options.replay) as journal:
        vlm = _vlm(options, journal, None if options.replay else Server(_server(options)))
        before = journal.spent
        with tqdm(unit="pair", dynamic_ncols=True, disable=None) as bar:
            summary = annotate(options.pairs, options.out, vlm, wanted, _Progress(bar), _stopping())
        return _report(options, summary, _difference(journal.spent, before))


def _vlm(options: Namespace, journal: Journal, server: Server | None) -> Vlm:
    limits = Limits(options.rate, options.tries, first_wait=options.first_wait, budget=_budget(options))
    return Vlm(journal, server, options.vlm, limits, ("refused", "bad") if options.ask_again else ())


def _server(options: Namespace) -> ServerOptions:
    return ServerOptions(options.vlm, options.base_url, options.timeout, options.reply_format, dict(options.request))


def _budget(options: Namespace) -> Budget:
    requests, tokens = (options.budget.get(kind) for kind in ("requests", "tokens"))
    return Budget(
        None if requests is None else int(requests),
        None if tokens is None else int(tokens),
        options.budget.get("money"),
        None if options.price is None else Price(*options.price),
    )


def _answers(options: Namespace) -> Path:
    return options.answers or options.out.with_suffix(".answers")


def _tell_cost(options: Namespace, wanted: AnnotateOptions) -> int:
    with open_journal(_answers(options), writing=False) as journal:
        told = estimate(options.pairs, _vlm(options, journal, None), wanted, _server(options))
        say(f"{told.rows:,} rows; {told.known:,} questions are answered in the journal{_unusable(told)}")
        say(f"to ask, were none to fail: {_text(told.cost, options)}, {_basis(told)}{_time(told.cost, options)}")
        say(f"spent before: {_text(journal.spent, options)}")
    return 0


def _unusable(told: Estimate) -> str:
    return f"; {told.unusable:,} rows have a picture that cannot be read" if told.unusable else ""


def _basis(told: Estimate) -> str:
    if not told.measured:
        return "by guess: a token is 28x28 pixels or three letters"
    return f"{told.measured:,} of them by what answers have cost so far"


def _time(cost: Spent, options: Namespace) -> str:
    return f"; at least {cost.requests / options.rate:,.1f} minutes at this rate" if options.rate else ""


def _text(spent: Spent, options: Namespace) -> str:
    money = f", {Price(*options.price).of(spent):,.2f} in money" if options.price else ""
    return f"{spent.requests:,} requests, {spent.input_tokens:,} tokens in and {spent.output_tokens:,} out{money}"


def _difference(now: Spent, before: Spent) -> Spent:
    return Spent(
        now.requests - before.requests,
        now.input_tokens - before.input_tokens,
        now.output_tokens - before.output_tokens,
    )


class _Progress:
    """The bar moves, and the first rows that are set aside are named."""

    def __init__(self, bar: tqdm) -> None:
        self._bar, self._named = bar, 0

    def __call__(self, verdict: Verdict) -> None:
        self._bar.update()
        if verdict.kind not in ("kept", "rejected"):
            self._named += 1
            if self._named <= TOLD:
                say(f"{verdict.row.before}: {verdict.kind}: {verdict.why}")
            if self._named == TOLD:
                say("further ones are listed at the end")


def _stopping() -> Callable[[], object]:
    told: list[bool] = []

    def tell() -> None:
        if not told:
            told.append(True)
            say("stopping; replies under way are waited for")

    return tell


def _report(options: Namespace, summary: Summary, spent: Spent) -> int:
    result(options.out)
    kinds = summary.kinds
    for group, why in summary.unnamed:
        say(f"{group}: the task got no name: {why}")
    parts = [f"{count:,} {kind}" for kind, count in sorted(kinds.items()) if kind != "kept"]
    say(
        f"{summary.rows:,} rows: {kinds['kept']:,} kept, {summary.given:,} of them complete before"
        f"{'; ' if parts else ''}{', '.join(parts)}; asked for {summary.asked:,} now: {_text(spent, options)}"
    )
    failed = summary.rows - kinds["kept"] - kinds["rejected"]
    if failed:
        say(f"set aside: {aside_path(options.out)}")
    if kinds["rejected"]:
        say(f"rejected by the second look: {rejects_path(options.out)}")
    return 1 if failed or summary.unnamed else 0
