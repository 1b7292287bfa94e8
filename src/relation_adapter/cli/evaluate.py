"""`relation-adapter evaluate`: scores of what editors made of quads."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from tqdm import tqdm

from relation_adapter.cli.say import result, say
from relation_adapter.evaluate import score as scoring
from relation_adapter.evaluate.metrics import DEFAULT, METRICS
from relation_adapter.evaluate.rows import ROWS_NAME, latest_rows
from relation_adapter.evaluate.stats import mean


def score(options: Namespace) -> int:
    """Score batches; 1 where some pictures could not be read."""
    if options.metrics == ["list"]:
        for name, metric in METRICS.items():
            result(f"{name}: {', '.join(metric.columns)}; {metric.how}")
        return 0
    names = options.metrics or DEFAULT
    return max([_score(folder, names) for folder in options.folders])


def _score(folder: Path, names: list[str]) -> int:
    with tqdm(unit="row", dynamic_ncols=True, disable=None) as bar:

        def progress(number: int, count: int) -> None:
            bar.total = count
            bar.update()

        summary = scoring.score(folder, names, progress)
    result(folder / ROWS_NAME)
    for line in summary.failed:
        say(line)
    say(
        f"{folder}: {summary.done} scored, {len(summary.failed)} failed, {summary.skipped} scored before, "
        f"{summary.without} without a target or an output"
    )
    rows = latest_rows(folder)
    for column in (column for name in names for column in METRICS[name].columns):
        found = mean(rows, column)
        if found is not None:
            say(f"{column} {found.value:.4f} ({found.low:.4f} to {found.high:.4f}, mean over {found.tasks} tasks)")
    return 1 if summary.failed else 0
