"""Batches on a Ray cluster of this machine: the same bytes, how much faster, how much memory, how many rows a second.

python benchmarks/scale.py identical
python benchmarks/scale.py efficiency --quads 60
python benchmarks/scale.py memory --rows 10000
python benchmarks/scale.py rows
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of this process and of all workers

import psutil
from PIL import Image, ImageChops

from relation_adapter.cli import main as command
from relation_adapter.data.schema import Quad, write_quads
from relation_adapter.editor import Editor, EditRequest, FunctionEditor
from relation_adapter.evaluate.generate import generate, generate_with
from relation_adapter.evaluate.rows import Row, append_row, open_rows, read_rows, write_rows
from relation_adapter.images import save_picture
from relation_adapter.scale import Slots, connect

MIB = 2**20


def mini() -> Editor:
    from relation_adapter.pipeline import RelationEditor, RelationPipeline

    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    return RelationEditor(pipe, "mini")


def inverted(request: EditRequest) -> Image.Image:
    return ImageChops.invert(request.source)


def quick() -> Editor:
    return FunctionEditor(inverted, "inverted")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("identical", "efficiency", "memory", "rows"))
    parser.add_argument("--quads", type=int, default=16)
    parser.add_argument("--rows", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        globals()[options.what](Path(folder), options)


def identical(folder: Path, options: argparse.Namespace) -> None:
    """Pictures and rows of mini, by 1, 2 and 4 workers and by this process alone."""
    quads = procedural(folder, options.quads)
    generate(quads, mini(), folder / "alone")
    alone = made(folder / "alone")
    for workers in (1, 2, 4):
        with connect(slots=Slots(workers)) as cluster:
            generate_with(cluster.spread, quads, "mini", mini, folder / str(workers))
        told = "the same bytes" if made(folder / str(workers)) == alone else "DIFFERENT"
        print(f"{workers} workers, {options.quads} quads: {told}", flush=True)


def made(folder: Path) -> tuple[dict[str, bytes], list[Row]]:
    """Pictures, and rows without what was measured."""
    rows = [
        {key: value for key, value in row.items() if key not in ("seconds", "peak_gib")} for row in read_rows(folder)
    ]
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}, rows


def efficiency(folder: Path, options: argparse.Namespace) -> None:
    """Pictures a second of mini, and a second of processor time of all that takes part: this process, workers, Ray.

    Once all workers have begun: the first two of each are not counted. The latter stays when others use the cores.
    """
    quads = procedural(folder, options.quads)
    alone: tuple[float, float] | None = None
    for workers in (0, 1, 2):
        at: list[tuple[float, float]] = []

        def progress(*_: object, at: list[tuple[float, float]] = at) -> None:
            at.append((time.perf_counter(), processor_seconds()))

        begun = time.perf_counter()
        if workers == 0:
            generate(quads, mini(), folder / "alone", progress=progress)
        else:
            with connect(slots=Slots(workers)) as cluster:
                generate_with(cluster.spread, quads, "mini", mini, folder / str(workers), progress=progress)
        whole, skip = time.perf_counter() - begun, 2 * max(1, workers)
        seconds, processor = (last - first for first, last in zip(at[skip - 1], at[-1], strict=True))
        rates = (len(at) - skip) / seconds, (len(at) - skip) / processor
        alone = alone or rates
        told = f"{rates[0]:.2f} pictures/s, {rates[0] / alone[0] / max(1, workers):.0%} of one process a worker"
        told += f"; {rates[1]:.2f} a second of processor time, {rates[1] / alone[1]:.0%}"
        print(
            f"{workers or 'no'} workers: {told}; {processor / seconds:.2f} cores used; {whole:.1f} s in all", flush=True
        )


def processor_seconds() -> float:
    """Of this process and all that it started."""
    this = psutil.Process()
    times = [one.cpu_times() for one in (this, *this.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def memory(folder: Path, options: argparse.Namespace) -> None:
    """What driver, workers and object store hold while many rows are made of tiny pictures."""
    picture = folder / "set" / "tiny.png"
    save_picture(Image.effect_noise((16, 16), 80).convert("RGB"), picture)
    write_quads(folder / "set" / "quads.jsonl", (Quad(picture, picture, picture) for _ in range(options.rows)))
    with connect(slots=Slots(2)) as cluster, sampling(options.rows // 10) as progress:
        begun = time.perf_counter()
        quads = folder / "set" / "quads.jsonl"
        generate_with(cluster.spread, quads, "inverted", quick, folder / "out", progress=progress)
        print(f"{options.rows / (time.perf_counter() - begun):.0f} rows/s, start and end included")


@contextmanager
def sampling(every: int) -> Iterator[Callable[..., None]]:
    """A progress that prints, so often, the memory of this process, of the workers and of the object store, in MiB."""
    count, lock = 0, threading.Lock()
    print("rows    driver  workers (each)      object store")

    def progress(*_: object) -> None:
        nonlocal count
        with lock:
            count += 1
            if count % every == 0 or count == 100:
                print(
                    f"{count:6d}  {held(psutil.Process()):6.0f}  {workers_held():18s}  {store_held():6.1f}", flush=True
                )

    yield progress


def held(process: psutil.Process) -> float:
    """MiB that are its own, not shared."""
    return float(process.memory_full_info().uss) / MIB


def workers_held() -> str:
    found = [one for one in psutil.Process().children(recursive=True) if "MapWorker" in " ".join(one.cmdline())]
    return " ".join(f"{held(one):.0f}" for one in found)


def store_held() -> float:
    """MiB of the object store that are in use, as Ray counts them."""
    import ray

    free: dict[str, Any] = ray.available_resources()
    return float(ray.cluster_resources()["object_store_memory"] - free.get("object_store_memory", 0.0)) / MIB


def rows(folder: Path, options: argparse.Namespace) -> None:
    """How many rows a second the one process that writes them can append, and put in order at the end."""
    row: Row = {"before": "../set/a-before.png", "after": "../set/a-after.png", "source": "../set/a-source.png"}
    row |= {"target": None, "instruction": "give the photo the look of an old print", "task": "old print"}
    row |= {"category": "style", "split": None, "output": "000000_old-print_a-source.png", "seed": 2**30}
    row |= {"model": "flux-dev@01234567", "seconds": 5.123, "peak_gib": 38.2, "error": None}
    with open_rows(folder) as file:
        begun = time.perf_counter()
        for number in range(options.rows):
            append_row(file, row | {"seed": number})
        rate = options.rows / (time.perf_counter() - begun)
    size = (folder / "rows.jsonl").stat().st_size / options.rows
    begun = time.perf_counter()
    write_rows(folder, read_rows(folder))
    whole = time.perf_counter() - begun
    print(f"{rate:,.0f} rows/s appended and on disk; {size:.0f} bytes a row; all read and written in {whole:.2f} s")


def procedural(folder: Path, count: int) -> Path:
    """Quads of two tasks at 128 px."""
    arguments = [
        "data",
        "procedural",
        "-o",
        str(folder / "set"),
        "--tasks",
        "sepia,add hat",
        "--count",
        str(count // 2),
    ]
    command(arguments)
    return folder / "set" / "quads.jsonl"


if __name__ == "__main__":
    main()
