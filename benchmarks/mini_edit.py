"""Where the time of an edit with `mini` goes, what starting costs, and whether memory stays flat.

    python benchmarks/mini_edit.py [--sizes 512x384 2000x1500] [--edits 20] [--starts 3] [--memory 1000] [--threads 1]

Each edit has a pair of its own, as in a batch of quads; part by part the mean of `--edits` edits, in percent of the
whole. A start is a process of its own, from nothing to the first picture. `--memory`: so many edits by one pipeline,
its memory looked at on the way. JSON lines, then the tables.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch
from batch import make_quads, size_of

from relation_adapter import RelationPipeline
from relation_adapter.data.schema import Quad
from relation_adapter.editor import EditRequest
from relation_adapter.images import open_picture, save_picture
from relation_adapter.pipeline import RelationEditor

# A part, and the functions whose time it is, where they are looked up. What they call of another part is not theirs.
PARTS = {
    "open three pictures": ("mini_edit.open_picture",),
    "hashes": ("relation_adapter.pipeline.editor.picture_hash", "relation_adapter.pipeline.results.fingerprint"),
    "encode the pair": ("relation_adapter.pipeline.relation_pipeline.RelationPipeline._encode_relation",),
    "keys and values": ("relation_adapter.pipeline.relation_pipeline.RelationStore",),
    "fit": ("relation_adapter.pipeline.request.fit_source",),
    "encode the source": ("relation_adapter.pipeline.flow_loop._draw",),
    "source's pass": ("relation_adapter.pipeline.flow_loop._see_source",),
    "steps": ("relation_adapter.pipeline.flow_loop.velocity",),
    "decode": ("relation_adapter.pipeline.results.decode",),
    "size and detail": (
        "relation_adapter.pipeline.results.to_output",
        "relation_adapter.pipeline.pictures.picture_of_strips",
    ),
    "save": ("mini_edit.save_picture",),
}
START = """
import time; start = time.perf_counter()
import torch; told = [time.perf_counter() - start]
from relation_adapter import RelationPipeline; told.append(time.perf_counter() - start)
pipe = RelationPipeline.from_pretrained("mini"); told.append(time.perf_counter() - start)
from relation_adapter.images import open_picture, save_picture
before, after, source = map(open_picture, {pictures!r})
pipe.set_progress_bar_config(disable=True)
save_picture(pipe(source, pairs=[(before, after)]).images[0], {out!r}); told.append(time.perf_counter() - start)
print(*told)
"""
STAGES = ("torch imported", "and this package", "model loaded", "first picture saved")


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    with tempfile.TemporaryDirectory() as folder:
        sets = {size: make_quads(Path(folder) / size, size_of(size), options.edits) for size in options.sizes}
        splits = {size: split(pipe, quads, Path(folder)) for size, quads in sets.items()}
        for size, parts in splits.items():
            print(json.dumps({"size": size, "seconds": parts, "threads": options.threads}))
        first = next(iter(sets.values()))
        started = starts(first[1], Path(folder), options.starts)
        print(json.dumps({"start": started}))
        grown = memory(pipe, first, options.memory)
        print(json.dumps({"memory_mib": grown}))
    print("\n" + table(splits) + "\n\n" + start_table(started))
    if grown:
        print(f"\nmemory, MiB, after edits: {', '.join(f'{count}: {mib:.0f}' for count, mib in grown.items())}")


def split(pipe: Any, quads: list[Quad], folder: Path) -> dict[str, float]:
    """Mean seconds of every part of an edit, and of the whole, after two edits that do not count."""
    with timed() as seconds:
        for number, quad in enumerate(quads):
            if number == min(2, len(quads) - 1):
                seconds.clear()
                start, counted = time.perf_counter(), len(quads) - number
            # A pair that no other edit had; the order stands for a different one.
            pair = (quad.source, quad.after) if number % 2 else (quad.after, quad.source)
            request = EditRequest([(open_picture(pair[0]), open_picture(pair[1]))], open_picture(quad.source))
            save_picture(RelationEditor(pipe).edit(request).image, folder / "out.png")
        whole = time.perf_counter() - start
    found = {part: seconds[part] / counted for part in PARTS}
    return found | {"all else": whole / counted - sum(found.values()), "whole": whole / counted}


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Seconds by part, while the functions of PARTS are wrapped."""
    seconds: dict[str, float] = defaultdict(float)
    inner = [0.0]  # of the calls at work: what those inside them took
    undo = []
    for part, names in PARTS.items():
        for name in names:
            holder, attribute = _holder(name.replace("mini_edit", __name__))
            function = getattr(holder, attribute)
            undo.append((holder, attribute, function))
            setattr(holder, attribute, _wrapped(function, part, seconds, inner))
    try:
        yield seconds
    finally:
        for holder, attribute, function in undo:
            setattr(holder, attribute, function)


def _wrapped(
    function: Callable[..., Any], part: str, seconds: dict[str, float], inner: list[float]
) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        start = time.perf_counter()
        inner.append(0.0)
        try:
            return function(*args, **options)
        finally:
            took = time.perf_counter() - start
            seconds[part] += took - inner.pop()
            inner[-1] += took

    return call


def _holder(name: str) -> tuple[Any, str]:
    """The module or class that holds a dotted name, and the last word of it."""
    home, _, attribute = name.rpartition(".")
    try:
        return importlib.import_module(home), attribute
    except ModuleNotFoundError:
        module, _, kind = home.rpartition(".")
        return getattr(importlib.import_module(module), kind), attribute


def starts(quad: Quad, folder: Path, count: int) -> dict[str, float]:
    """Median seconds from the start of a process to each stage, after one that does not count."""
    pictures = [str(path) for path in (quad.before, quad.after, quad.source)]
    code = START.format(pictures=pictures, out=str(folder / "first.png"))
    runs = []
    for _ in range(count and count + 1):
        run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        runs.append([float(word) for word in run.stdout.split()])
    return {stage: statistics.median(times) for stage, times in zip(STAGES, zip(*runs[1:], strict=True), strict=False)}


def memory(pipe: Any, quads: list[Quad], edits: int) -> dict[int, float]:
    """MiB that the process holds after so many edits by one editor, of many pairs."""
    editor, process, found = RelationEditor(pipe), psutil.Process(), {}
    for number in range(1, edits + 1):
        quad, other = quads[number % len(quads)], quads[(number * 7) % len(quads)]
        request = EditRequest([(open_picture(other.source), open_picture(quad.after))], open_picture(quad.source))
        editor.edit(request)
        if number % max(1, edits // 10) == 0:
            found[number] = process.memory_info().rss / 2**20
    return found


def table(splits: dict[str, dict[str, float]]) -> str:
    """A column a size."""
    rows = {part: [f"{one[part] / one['whole']:.1%}" for one in splits.values()] for part in (*PARTS, "all else")}
    rows["whole, s"] = [f"{one['whole']:.3f}" for one in splits.values()]
    head = [f"| part | {' | '.join(splits)} |", "|---" * (len(splits) + 1) + "|"]
    return "\n".join(head + [f"| {part} | {' | '.join(cells)} |" for part, cells in rows.items()])


def start_table(started: dict[str, float]) -> str:
    return "\n".join(["| start | s |", "|---|---|", *(f"| {stage} | {s:.2f} |" for stage, s in started.items())])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["512x384", "2000x1500"], metavar="WxH")
    parser.add_argument("--edits", type=int, default=20)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--memory", type=int, default=0, metavar="N", help="edits to look at the memory over")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    return parser.parse_args()


if __name__ == "__main__":
    main()
