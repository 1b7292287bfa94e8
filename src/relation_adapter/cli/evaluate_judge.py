"""`relation-adapter evaluate judge` and `evaluate agreement`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from tqdm import tqdm

from relation_adapter.cli import asking, far
from relation_adapter.cli.say import result, say
from relation_adapter.errors import UsageError
from relation_adapter.evaluate.agreement import Agreement, Kappa, between_judges, between_orders, place_bias
from relation_adapter.evaluate.judge import PROMPTS, JudgeOptions, Summary, Verdict, estimate, judge, put_columns
from relation_adapter.evaluate.judged import COLUMNS, TABLE, Mode, read_head, sides, to_judge
from relation_adapter.evaluate.stats import compare, mean
from relation_adapter.vlm.journal import open_journal
from relation_adapter.vlm.prompts import load_prompt
from relation_adapter.vlm.spending import Spent

OWN = "judge"  # in a batch's folder: the scores that are its columns
LABELS = ("consistency (GPT-C)", "accuracy (GPT-A)")


def run(options: Namespace) -> int:
    """Judge, or tell what it would cost; 1 where a result got no score."""
    asking.check(options)
    if options.against and not options.out:
        raise UsageError("--against needs -o OUT, a folder for what two editors' results were scored beside each other")
    folders = [options.folder, *([options.against] if options.against else [])]
    out = options.out or options.folder / OWN
    wanted = JudgeOptions(
        prompt=load_prompt(options.prompt or PROMPTS["paired" if options.against else "single"]),
        side=options.side,
        threads=options.threads,
        seed=options.seed,
        both_orders=not options.one_order,
    )
    answers = options.answers or out / "answers"
    to_judge(folders)  # Raises before a folder is made in a place that holds no batch.
    if options.dry_run:
        return _tell_cost(options, folders, answers, wanted)
    stop = asking.stopping()
    with (
        open_journal(answers, writing=not options.replay) as journal,
        far.cluster(options) as workers,
        asking.asking(options, journal, workers, stop) as who,
    ):
        before = journal.spent
        with tqdm(unit="quad", dynamic_ncols=True, disable=None) as bar:
            progress = asking.Progress(bar, _trouble)
            summary = judge(folders, out, who.vlm, wanted, progress, stop, who.spread, who.make)
        spent = asking.difference(journal.spent, before)
    if options.out is None:
        put_columns(options.folder, sides(out)[0], read_head(out).text())
    return _report(options, out, summary, spent)


def _tell_cost(options: Namespace, folders: list[Path], answers: Path, wanted: JudgeOptions) -> int:
    with open_journal(answers, writing=False) as journal:
        vlm = asking.model(options, journal, replay=True)
        asking.tell(estimate(folders, vlm, wanted, asking.server_options(options)), journal, options)
    return 0


def _trouble(verdict: Verdict) -> str | None:
    """What is told of a quad at once: that it got no score."""
    name = Path(verdict.row.get("output") or verdict.row["first_output"]).name
    return None if verdict.kind == "answered" else f"{name}: {verdict.row['why']}"


def _report(options: Namespace, out: Path, summary: Summary, spent: Spent) -> int:
    result(out / TABLE)
    kinds, total = summary.kinds, summary.kinds.total()
    parts = [f"{count:,} {kind}" for kind, count in sorted(kinds.items()) if kind != "answered"]
    parts += [f"{summary.without:,} more without a result"] if summary.without else []
    parts += [f"{summary.alone:,} rows of quads that the other batch lacks"] if summary.alone else []
    say(
        f"{total:,} quads: {kinds['answered']:,} scored{''.join(f'; {part}' for part in parts)}; "
        f"asked about {summary.asked:,} now: {asking.cost_text(spent, options)}"
    )
    mode = read_head(out).mode
    for rows in sides(out):
        for name, label in zip(COLUMNS[mode], LABELS, strict=True):
            found = mean(rows, name)
            if found is not None:
                interval = f"{found.low:.3f} to {found.high:.3f}, mean over {found.tasks} tasks"
                say(f"{rows[0]['model']}: {mode} {label} {found.value:.3f} ({interval})")
    if mode == "paired":
        _tell_difference(out, mode)
    return 0 if total == kinds["answered"] else 1


def _tell_difference(out: Path, mode: Mode) -> None:
    first, second = sides(out)
    names = f"{first[0]['model']} less {second[0]['model']}"
    for name, label in zip(COLUMNS[mode], LABELS, strict=True):
        found = compare(first, second, name)
        if found is not None:
            interval = f"{found.low:+.3f} to {found.high:+.3f}"
            say(f"{names}, {label}: {found.difference:+.3f} ({interval}), p {found.p:.4f}")
    bias = place_bias(out)
    if bias is not None:
        say(f"by its place alone what is shown first is scored {bias:+.3f} over the other; both orders even that out")


def agreement(options: Namespace) -> int:
    """Tell how far two tables agree, or the two orders of one; one line a criterion on stdout."""
    found = between_judges(options.folder, options.other) if options.other else between_orders(options.folder)
    for name, one in found.items():
        result(f"{name}: {_text(one)}")
    return 0


def _text(one: Agreement) -> str:
    kappas = f"kappa {_kappa(one.plain)}, weighted {_kappa(one.weighted)}"
    return f"{kappas}; {one.same:.1%} of {one.ratings:,} ratings of {one.quads:,} quads are the same"


def _kappa(kappa: Kappa) -> str:
    if kappa.value is None:
        return "not defined (one score throughout)"
    return f"{kappa.value:.3f} ({kappa.low:.3f} to {kappa.high:.3f})"
