"""`relation-adapter data build` and `data cache`: from pairs to quads to features."""

from __future__ import annotations

import os
import sqlite3
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from relation_adapter.cli import far, pipelines
from relation_adapter.cli.say import result, say
from relation_adapter.config import MODELS
from relation_adapter.errors import UsageError
from relation_adapter.files import reason
from relation_adapter.importing import large_imports

if TYPE_CHECKING:
    from relation_adapter.data.build import TaskPlan
    from relation_adapter.data.cache_plan import Encoders, Plan
    from relation_adapter.pipeline import RelationPipeline

MOST_TOLD = 20  # problems, a line each; the rest are counted


@contextmanager
def _temporary_file() -> Iterator[None]:
    """A disk with no room for what waits there is told in one line."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise UsageError(
            f"the temporary file of all rows cannot be written ({reason(error)}); free some space, or set TMPDIR to a "
            "folder on a larger disk"
        ) from error


@_temporary_file()
def build(options: Namespace) -> int:
    """Write the quads of a file of pairs, and explain their counts."""
    from relation_adapter.data.build import BuildOptions, explain
    from relation_adapter.data.build import build as plan
    from relation_adapter.data.pairs import read_pairs
    from relation_adapter.data.schema import write_quads

    if os.path.lexists(options.out) and not options.force:
        raise UsageError(f"-o {options.out} exists; --force overwrites it")
    if os.path.realpath(options.out) == os.path.realpath(options.pairs):
        raise UsageError(f"-o {options.out} is the file of pairs; choose another")
    chosen = BuildOptions(options.cap, options.unseen, options.benchmark, options.seed)
    rows = tqdm(read_pairs(options.pairs), desc="reading", unit="pair", dynamic_ncols=True, disable=None)
    tasks = plan(rows, options.pairs.parent, chosen)
    quads = (quad for task in tasks for quad in task.quads())
    total = sum(task.train_quads + task.benchmark_quads for task in tasks)
    write_quads(options.out, tqdm(quads, total=total, desc="writing", unit="quad", dynamic_ncols=True, disable=None))
    result(options.out)
    for line in explain(tasks).splitlines():
        say(line)
    if options.counts:
        for task in tasks:
            say(_count_line(task))
    return 0


def _count_line(task: TaskPlan) -> str:
    kind = "unseen" if task.unseen else "seen"
    return (
        f"{task.task}: {kind}, {task.pairs:,} pairs, {task.train_quads:,} quads to train on, "
        f"{task.benchmark_quads:,} held out"
    )


@_temporary_file()
def cache(options: Namespace) -> int:
    """Encode what the quads need; 1 where some had to be left out."""
    from relation_adapter.data.cache import CacheOptions, write_cache
    from relation_adapter.data.cache_plan import make_plan
    from relation_adapter.data.schema import iter_quads
    from relation_adapter.data.spread import serially

    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"-o {options.out} is a file; give a folder")
    with far.cluster(options) as workers, ExitStack() as stack:
        make = partial(_encoders, far.plain(options))
        encoders = make() if workers is None else far.heard(workers, lambda: make().told_only())
        spread = None if workers is None else workers.spread
        read = iter_quads(options.quads, refuse_links=True)
        quads = tqdm(read, desc="looking", unit="quad", dynamic_ncols=True, disable=None)
        if options.dry_run:
            plan = make_plan(quads, encoders, spread or serially)
            _tell_size(plan)
            return _tell_problems([*plan.wrong])
        bar = stack.enter_context(tqdm(unit="entry", dynamic_ncols=True, disable=None))

        def hear(plan: Plan) -> None:
            _tell_size(plan)
            bar.reset(sum(plan.entries().values()))

        limits = CacheOptions(shard_entries=options.shard, workers=options.workers, check=options.check)
        done = write_cache(quads, options.out, encoders, limits, hear, bar.update, spread, make)
    result(done.manifest)
    say(f"{done.encoded:,} encoded, {done.found:,} found; {done.quads:,} quads to train on or test with")
    return _tell_problems(done.problems)


def _tell_size(plan: Plan) -> None:
    sizes, counts = plan.bytes(), plan.entries()
    parts = [f"{counts[kind]:,} {kind} {_size(sizes[kind])}" for kind in counts]
    buckets = [size for _, size, _ in plan.groups() if size is not None]
    say(f"{len(plan):,} quads need {_size(sum(sizes.values()))}: {', '.join(parts)}")
    say(f"buckets: {', '.join(f'{width}x{height}' for width, height in buckets)}")


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _tell_problems(problems: Any) -> int:
    for problem in problems[:MOST_TOLD]:
        say(problem)
    if len(problems) > MOST_TOLD:
        say(f"and {len(problems) - MOST_TOLD:,} more")
    return 1 if problems else 0


def _encoders(options: Namespace) -> Encoders:
    """The encoders of the model that is named, on the GPU where there is one."""
    with large_imports(freeze=True):
        import torch

        from relation_adapter.train.cache_features import encoders

    name = "published" if options.model == pipelines.FLUX else options.model
    beside_base = name in MODELS and MODELS[name].base is not None
    pipe = _open_base(options, name) if beside_base else _open_own(options)
    dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32, None: None}
    area = None if options.side is None else options.side**2
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return encoders(pipe, device, dtypes[options.dtype], area)


def _open_base(options: Namespace, name: str) -> RelationPipeline:
    from relation_adapter.hub import Places
    from relation_adapter.pipeline import RelationPipeline
    from relation_adapter.pipeline.flux_dev import load_base

    places = Places(folder=options.weights, offline=options.offline)
    found = load_base(places, MODELS[name], options.base, options.image_encoder, parts={"transformer": None})
    return RelationPipeline.from_components(found)


def _open_own(options: Namespace) -> RelationPipeline:
    pipelines.check_model(options)
    for name in ("weights", "base", "image_encoder", "offline"):
        if getattr(options, name):
            raise UsageError(f"--{name.replace('_', '-')} goes with --model published or directed")
    return pipelines.open_pipeline(options)
