"""`relation-adapter data annotate`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from tqdm import tqdm

from relation_adapter.cli import asking, far
from relation_adapter.cli.say import result, say
from relation_adapter.data.annotate import AnnotateOptions, Summary, Verdict, annotate, aside_path, rejects_path
from relation_adapter.data.annotate_cost import estimate
from relation_adapter.vlm.journal import open_journal
from relation_adapter.vlm.prompts import load_prompt
from relation_adapter.vlm.spending import Spent


def run(options: Namespace) -> int:
    """Annotate, or tell what it would cost; 1 where rows were set aside."""
    asking.check(options)
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
    stop = asking.stopping()
    with (
        open_journal(_answers(options), writing=not options.replay) as journal,
        far.cluster(options) as workers,
        asking.asking(options, journal, workers, stop) as who,
    ):
        before = journal.spent
        with tqdm(unit="pair", dynamic_ncols=True, disable=None) as bar:
            progress, given = asking.Progress(bar, _trouble), (options.pairs, options.out, who.vlm, wanted)
            summary = annotate(*given, progress, stop, bar.reset, who.spread, who.make)
        return _report(options, summary, asking.difference(journal.spent, before))


def _answers(options: Namespace) -> Path:
    return options.answers or options.out.with_suffix(".answers")


def _tell_cost(options: Namespace, wanted: AnnotateOptions) -> int:
    with open_journal(_answers(options), writing=False) as journal:
        vlm = asking.model(options, journal, replay=True)
        told = estimate(options.pairs, vlm, wanted, asking.server_options(options))
        asking.tell(told, journal, options)
    return 0


def _trouble(verdict: Verdict) -> str | None:
    """What is told of a row at once: that it got no answer."""
    return None if verdict.kind in ("kept", "rejected") else f"{verdict.row.before}: {verdict.kind}: {verdict.why}"


def _report(options: Namespace, summary: Summary, spent: Spent) -> int:
    result(options.out)
    kinds = summary.kinds
    for group, why in summary.unnamed:
        say(f"{group}: the task got no name: {why}")
    parts = [f"{count:,} {kind}" for kind, count in sorted(kinds.items()) if kind != "kept"]
    say(
        f"{summary.rows:,} rows: {kinds['kept']:,} kept, {summary.given:,} of them complete before"
        f"{'; ' if parts else ''}{', '.join(parts)}; "
        f"asked for {summary.asked:,} now: {asking.cost_text(spent, options)}"
    )
    failed = summary.rows - kinds["kept"] - kinds["rejected"]
    if failed:
        say(f"set aside: {aside_path(options.out)}")
    if kinds["rejected"]:
        say(f"rejected by the second look: {rejects_path(options.out)}")
    return 1 if failed or summary.unnamed else 0
