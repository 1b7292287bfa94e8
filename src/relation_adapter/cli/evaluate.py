"""`relation-adapter evaluate`: scores of what editors made of quads."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from relation_adapter.cli import far
from relation_adapter.cli.say import quiet_loading, result, say
from relation_adapter.data.spread import Spread, serially
from relation_adapter.errors import UsageError
from relation_adapter.evaluate import score as scoring
from relation_adapter.evaluate import sets
from relation_adapter.evaluate.metrics import DEFAULT, METRICS, choose, expanded
from relation_adapter.evaluate.networks import Networks
from relation_adapter.evaluate.rows import ROWS_NAME, latest_rows
from relation_adapter.evaluate.stats import mean
from relation_adapter.hub import Places


def score(options: Namespace) -> int:
    """Score batches; 1 where some pictures could not be read."""
    given = dict(text.split("=", 1) for text in options.network)
    networks = Networks(Places(folder=options.weights, offline=options.offline), given)
    if options.metrics == ["list"]:
        for name, metric in METRICS.items():
            result(f"{name}: {', '.join(metric.columns)}; {metric.told(networks)}")
        for name in sets.SET_METRICS:
            result(f"{name}: {sets.SETS_NAME}; {sets.HOW}; {networks.told('inception')}")
        return 0
    if not options.folders:
        raise UsageError("no folder to score; give one or more that `evaluate generate` wrote")
    names = expanded(options.metrics or DEFAULT)
    of_rows = [name for name in names if name not in sets.SET_METRICS]
    choose(of_rows)  # a wrong name is told before anything is scored
    if any(METRICS[name].network for name in of_rows):
        quiet_loading()
    failed = 0
    with far.cluster(options) as workers:
        spread = serially if workers is None else workers.spread
        for folder in options.folders:
            if of_rows:
                failed += _score_rows(folder, of_rows, networks, spread)
            if of_sets := [name for name in names if name in sets.SET_METRICS]:
                _score_sets(folder, of_sets, networks, spread)
    return 1 if failed else 0


def _score_rows(folder: Path, names: Sequence[str], networks: Networks, spread: Spread) -> int:
    """The number of rows that failed."""
    with _bar() as progress:
        summary = scoring.score(folder, names, progress, networks, spread)
    result(folder / ROWS_NAME)
    for line in summary.failed:
        say(line)
    say(
        f"{folder}: {summary.done} scored, {len(summary.failed)} failed, {summary.skipped} scored before, "
        f"{summary.without} that none of the metrics is for"
    )
    rows = latest_rows(folder)
    for column in (column for name in names for column in METRICS[name].columns):
        found = mean(rows, column)
        if found is not None:
            say(f"{column} {found.value:.4f} ({found.low:.4f} to {found.high:.4f}, mean over {found.tasks} tasks)")
    return len(summary.failed)


def _score_sets(folder: Path, names: Sequence[str], networks: Networks, spread: Spread) -> None:
    with _bar() as progress:
        found: dict[str, Any] = sets.score_sets(folder, names, progress, networks, spread)
    result(folder / sets.SETS_NAME)
    for name in names:
        groups = [
            f"{group} {one['value']:.4f} ({one['pictures']})" for group, one in found[name].items() if group != "how"
        ]
        say(f"{name} (pictures): {', '.join(groups) or f'none, below {sets.LEAST} outputs with a target'}")


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A bar that grows with every row."""
    with tqdm(unit="row", dynamic_ncols=True, disable=None) as bar:

        def progress(number: int, count: int) -> None:
            bar.total = count
            bar.update()

        yield progress
