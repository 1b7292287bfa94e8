"""From pairs to quads: what is trained on and what is held out, the same for the same seed, with its counts explained.

Two pairs of one task make a quad: one shows the edit, the other is source and target. As published (section 3.3 of
arXiv 2506.02528), quads come by rotation, at most 2,000 a task, and the benchmark has 30 of every task, seen or unseen.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from relation_adapter.data.pair_store import PairStore
from relation_adapter.data.pairs import PairRow
from relation_adapter.data.schema import Quad, Split
from relation_adapter.errors import UsageError

PUBLISHED_QUADS = 251_580


@dataclass(frozen=True)
class BuildOptions:
    """How quads are made.

    cap: most training quads a task. unseen: tasks that training never meets, by name or how many to draw; None: one of
    ten, at most the published 10. benchmark: quads a task that are held out. seed: of every choice.
    """

    cap: int = 2000
    unseen: int | Sequence[str] | None = 10
    benchmark: int = 30
    seed: int = 0

    @property
    def held_out(self) -> int:
        """Pairs a task that make the benchmark's quads: m of them make m (m - 1), so 6 make 30."""
        return next(m for m in itertools.count() if m * (m - 1) >= self.benchmark)


@dataclass(frozen=True)
class TaskPlan:
    """What becomes of the pairs of one task: how many are held out, how many trained on.

    shared: pairs left out of training because a picture of theirs is in a pair held out, of this task or of another.
    """

    task: str
    unseen: bool
    pairs: int
    tested_pairs: int
    train_pairs: int
    shared: int
    options: BuildOptions
    store: PairStore = field(compare=False, repr=False)

    @property
    def tested(self) -> tuple[PairRow, ...]:
        """The pairs held out, in the order in which they are turned."""
        return self.store.tested(self.task)

    @property
    def train(self) -> tuple[PairRow, ...]:
        """The pairs trained on, in the order in which they are turned."""
        return () if self.unseen else self.store.train(self.task)

    @property
    def benchmark_quads(self) -> int:
        """How many are held out."""
        return min(self.options.benchmark, self.tested_pairs * max(self.tested_pairs - 1, 0))

    @property
    def train_quads(self) -> int:
        """How many are trained on."""
        return min(self.options.cap, self.train_pairs * max(self.train_pairs - 1, 0))

    @property
    def capped(self) -> bool:
        """Whether more would have been possible."""
        return self.train_pairs * (self.train_pairs - 1) > self.options.cap

    def quads(self) -> Iterator[Quad]:
        """Those to train on, then those held out."""
        yield from _quads(self.train, self.train_quads, "train")
        yield from _quads(self.tested, self.benchmark_quads, "unseen" if self.unseen else "seen")


def build(pairs: Iterable[PairRow], root: Path, options: BuildOptions | None = None) -> list[TaskPlan]:
    """Decide for every pair whether it is trained on, held out or neither; one plan a task, tasks in order.

    A split that a pair is given is kept: `unseen` makes its task one of those, `seen` holds it out, `train` never does.
    A choice depends on the seed, the task and the pictures' paths below `root`: not on the order of the rows, nor on
    where the folder lies. A picture is the same wherever its file's bytes are. The pairs wait in a temporary file:
    memory holds one task.

    Raises:
        UsageError: options out of range, a pair without a task, a task to leave unseen that is not there, or that has
            pairs given to training.
    """
    options = options or BuildOptions()
    if options.cap < 1 or options.benchmark < 0:
        raise UsageError(f"cap={options.cap}, benchmark={options.benchmark}; give at least 1 and 0")
    store = PairStore(pairs, root, lambda *words: _draw(options.seed, *words))
    unseen = _unseen_tasks(store, options)
    for task, count in store.counts.items():
        store.hold_out(task, _most_tested(count, task in unseen, options))
    return [_plan(store, task, task in unseen, options) for task in sorted(store.counts)]


def turned(rows: Sequence[PairRow]) -> Iterator[tuple[PairRow, PairRow]]:
    """All (shown, asked) of different pairs, by rotation: at turn k, pair i shows and pair i + k is asked.

    Wherever it is cut off, every pair has shown, and was asked, equally often, give or take one.
    """
    for turn in range(1, len(rows)):
        for number, shown in enumerate(rows):
            yield shown, rows[(number + turn) % len(rows)]


def explain(plans: Sequence[TaskPlan]) -> str:
    """Where every pair went and where every quad comes from, in a few lines."""
    seen, unseen = [one for one in plans if not one.unseen], [one for one in plans if one.unseen]
    train, most = sum(one.train_quads for one in plans), max((one.options.cap for one in plans), default=0)
    capped = [one for one in plans if one.capped]
    tested, shared = sum(one.tested_pairs for one in plans), sum(one.shared for one in plans)
    trained, total = sum(one.train_pairs for one in plans), sum(one.pairs for one in plans)
    idle = total - trained - tested - shared
    doubles = plans[0].store.doubles if plans else 0
    lines = [
        f"{len(plans):,} tasks: {len(seen):,} seen, {len(unseen):,} unseen",
        f"{total:,} pairs: {trained:,} to train on, {tested:,} held out, {shared:,} left out because they share a "
        f"picture with one held out, {idle:,} of unseen tasks not needed"
        + (f"; {doubles:,} rows name a pair again" if doubles else ""),
        f"{train:,} quads to train on: n pairs make n (n - 1), at most {most:,} a task, which {len(capped):,} tasks "
        f"reach (the paper has {PUBLISHED_QUADS:,}; its pairs per task are not published, so that number cannot be "
        "recomputed)",
        f"{sum(one.benchmark_quads for one in seen):,} quads held out of seen tasks, "
        f"{sum(one.benchmark_quads for one in unseen):,} of unseen tasks",
    ]
    for what, tasks in (
        ("give nothing to train on", [one.task for one in seen if not one.train_quads]),
        (
            "have too few pairs for the whole benchmark",
            [p.task for p in plans if p.benchmark_quads < p.options.benchmark],
        ),
    ):
        if tasks:
            lines.append(f"{len(tasks):,} tasks {what}: {', '.join(tasks[:5])}{', ...' if len(tasks) > 5 else ''}")
    return "\n".join(lines)


def _draw(seed: int, *words: str) -> bytes:
    return hashlib.sha256("\0".join((str(seed), *words)).encode()).digest()


def _unseen_tasks(store: PairStore, options: BuildOptions) -> set[str]:
    """Those that are given so, by name or by their pairs; the others, up to the number wished for, are drawn."""
    tasks = list(store.counts)
    unseen = {task for task, splits in store.given.items() if "unseen" in splits}
    wanted = min(10, len(tasks) // 10) if options.unseen is None else options.unseen
    if isinstance(wanted, int):
        if not 0 <= wanted < max(len(tasks), 1):
            raise UsageError(f"unseen={wanted} of {len(tasks)} tasks; leave some to train on")
        open_tasks = [task for task in tasks if task not in store.given]
        open_tasks.sort(key=lambda task: _draw(options.seed, "unseen", task))
        unseen.update(open_tasks[: max(0, wanted - len(unseen))])
    elif strange := sorted(set(wanted) - set(tasks)):
        raise UsageError(f"unseen: no task is called {strange[0]!r}; check its name")
    else:
        unseen.update(wanted)
    if len(unseen) == len(tasks):
        raise UsageError(f"unseen: all of {len(tasks)} tasks; leave some to train on")
    for task in sorted(unseen):
        if strange := sorted(store.given.get(task, set()) - {"unseen"}):
            raise UsageError(f"unseen: {task!r} has pairs whose split is {strange[0]}; settle which it is")
    return unseen


def _most_tested(pairs: int, unseen: bool, options: BuildOptions) -> int:
    """How many pairs of a task are held out.

    A seen task keeps at least two pairs of three, and is not tested at all where that leaves fewer than two.
    """
    most = min(options.held_out, pairs if unseen else pairs // 3)
    return most if most >= 2 else 0


def _plan(store: PairStore, task: str, unseen: bool, options: BuildOptions) -> TaskPlan:
    pairs, tested, open_pairs = store.counts[task], store.count_tested(task), store.count_train(task)
    train, shared = (0, 0) if unseen else (open_pairs, pairs - tested - open_pairs)
    return TaskPlan(task, unseen, pairs, tested, train, shared, options, store)


def _quads(rows: Sequence[PairRow], most: int, split: Split) -> Iterator[Quad]:
    for shown, asked in itertools.islice(turned(rows), most):
        yield Quad(
            before=shown.before,
            after=shown.after,
            source=asked.before,
            target=asked.after,
            instruction=asked.instruction,
            task=asked.task,
            category=asked.category,
            split=split,
        )
