"""`relation-adapter data verify`."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Iterator

from tqdm import tqdm

from relation_adapter.cli.say import result, say
from relation_adapter.data.build import PUBLISHED_QUADS, BuildOptions
from relation_adapter.data.verify import Verified, verify
from relation_adapter.data.verify_journal import Journal

# Relation252K: its paper counts 33,274 pairs in one place and 33,274 pictures in another.
PUBLISHED_TASKS = 218
PUBLISHED_PAIRS = (33_274, 33_274 // 2)
PUBLISHED_CATEGORIES = {"low_level": 32, "style": 84, "editing": 63, "customized": 39}
CAP = BuildOptions.cap


def run(options: Namespace) -> int:
    """Verify; 1 where there is a problem, each told on stdout."""
    journal = Journal(options.file.parent / f".{options.file.name}.verified", options.fresh)
    try:
        with tqdm(unit="row", dynamic_ncols=True, disable=None) as bar:
            found = verify(options.file, result, options.workers, journal, bar.update)
    finally:
        journal.close()
    if options.published:
        for text in _differences(found):
            found.problems += 1
            result(f"{options.file}: {text}")
    if options.counts:
        for task, rows in sorted(found.tasks.items(), key=lambda one: str(one[0])):
            result(f"{task or '-'}\t{_category(found, task)}\t{rows}")
    for line in _summary(found):
        say(line)
    return 1 if found.problems else 0


def _summary(found: Verified) -> Iterator[str]:
    what = "quads" if found.quads else "pairs"
    yield f"{found.rows:,} {what}, {found.known:,} of them looked at before; {found.described:,} have an instruction"
    named = len(found.tasks) - (None in found.tasks)
    sizes = sorted(found.tasks.values())
    yield (
        f"{named:,} tasks (published {PUBLISHED_TASKS}) of {sizes[0]:,} to {sizes[-1]:,} {what}, "
        f"{sizes[len(sizes) // 2]:,} in the middle; {found.tasks[None]:,} {what} without a task"
    )
    categories = Counter(_category(found, task) for task in found.tasks)
    yield (
        "tasks of each category: "
        + ", ".join(
            f"{name} {categories[name]:,} (published {published})" for name, published in PUBLISHED_CATEGORIES.items()
        )
        + f", not known {categories['-']:,}"
    )
    if found.quads:
        yield f"{found.rows:,} quads (published {PUBLISHED_QUADS:,}); " + ", ".join(
            f"{split or 'no split'} {count:,}" for split, count in sorted(found.splits.items(), key=str)
        )
    else:
        yield (
            f"{found.rows:,} pairs, {2 * found.rows:,} pictures (published 33,274, called pairs and pictures); "
            f"by rotation, at most {CAP:,} a task, {_quads(found):,} quads (published {PUBLISHED_QUADS:,})"
        )
    yield f"{found.problems:,} problems" if found.problems else "no problems"


def _differences(found: Verified) -> Iterator[str]:
    tasks = len(found.tasks) - (None in found.tasks)
    if tasks != PUBLISHED_TASKS:
        yield f"{tasks:,} tasks, not the published {PUBLISHED_TASKS}"
    if not found.quads and found.rows not in PUBLISHED_PAIRS:
        yield f"{found.rows:,} pairs, not the published {PUBLISHED_PAIRS[0]:,} (or half, if those are pictures)"
    if found.quads and found.rows != PUBLISHED_QUADS:  # what pairs would make is no fault of theirs: see docs/data.md
        yield f"{found.rows:,} quads, not the published {PUBLISHED_QUADS:,}"


def _quads(found: Verified) -> int:
    return sum(min(CAP, count * (count - 1)) for task, count in found.tasks.items() if task is not None)


def _category(found: Verified, task: str | None) -> str:
    return "/".join(sorted(map(str, found.categories[task] - {None}))) or "-"
