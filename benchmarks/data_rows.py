"""Memory of every data command as the rows grow.

    python benchmarks/data_rows.py [--rows 1000,10000,100000] [--folder FOLDER] [--without cache]

Generates that many pairs (noise of 16 px, 150 pairs a task) in the published run-ready form, runs each command on them
as a process of its own, and prints its largest resident memory and the rows a second, start included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
fake_vlm = import_module("fake_vlm")

PAIRS_A_TASK = 150
SIDE = 16
# The largest memory of a process counts that of the one it was forked from, so a small one stands between.
CHILD = """
import os, resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code if code >= 0 else 99)
"""


class Forgetting(list[Any]):
    """For the server's memory of what it was asked: 100,000 pictures are too many to keep."""

    def append(self, _: object) -> None:
        """Forget it."""


@dataclass(frozen=True)
class Measured:
    """What one command took: seconds, and MiB at its largest."""

    seconds: float
    mebibytes: float


def generate(folder: Path, rows: int) -> Path:
    """Pairs of noise with their tasks, as Pair JSONL with pictures beside it."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pairs.jsonl"
    with path.open("w") as file:
        for number in range(rows):
            task = f"task {number // PAIRS_A_TASK}"
            place = f"{task}/{number:06d}"
            (folder / task).mkdir(exist_ok=True)
            before = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            for side, pixels in (("before", before), ("after", 255 - before)):
                Image.fromarray(pixels).save(folder / f"{place}-{side}.bmp")
            names = {side: f"{place}-{side}.bmp" for side in ("before", "after")}
            file.write(json.dumps({**names, "task": task, "category": "style", "instruction": None}) + "\n")
    return path


def measure(*arguments: str) -> Measured:
    """Run one command of the program to its end."""
    command = [sys.executable, "-S", "-c", CHILD, sys.executable, "-m", "relation_adapter", *arguments]
    environment = os.environ | {"OPENAI_API_KEY": "none", "OMP_NUM_THREADS": "1"}
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr[-2000:]}")
    return Measured(time.monotonic() - start, int(done.stdout) / 1024)


def commands(folder: Path, pairs: Path, server: Any, rows: int, without: list[str]) -> dict[str, Measured]:
    """Every command in turn."""
    annotated, quads = pairs.with_name("annotated.jsonl"), pairs.with_name("quads.jsonl")
    asked = ("--vlm", "fake", "--base-url", server.url, "--threads", "8")
    found: dict[str, Measured] = {}
    for name, arguments in (
        ("export labels", ("data", "export", str(pairs), "--form", "labels", "-o", str(folder / "labels"))),
        ("import labels", ("data", "import", str(folder / "labels"), "-o", str(folder / "imported"))),
        ("verify", ("data", "verify", str(pairs))),
        ("annotate", ("data", "annotate", str(pairs), "-o", str(annotated), *asked)),
        ("build", ("data", "build", str(pairs), "-o", str(quads), "--cap", "300")),
        ("verify quads", ("data", "verify", str(quads))),
        ("cache --dry-run", ("data", "cache", str(quads), "-o", str(folder / "cache"), "--dry-run")),
        ("cache", ("data", "cache", str(quads), "-o", str(folder / "cache"), "--side", "16", "--dtype", "bf16")),
    ):
        if name not in without:
            found[name] = measure(*arguments)
            print(
                f"{rows:,} rows, {name}: {found[name].mebibytes:.0f} MiB, {rows / found[name].seconds:,.0f} rows/s",
                flush=True,
            )
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--rows", default="1000,10000,100000")
    options.add_argument("--folder", type=Path)
    options.add_argument("--without", default="", help="commands to leave out, with commas between")
    given = options.parse_args()
    counts = [int(count) for count in given.rows.split(",")]
    table: dict[int, dict[str, Measured]] = {}
    for rows in counts:
        vlm = fake_vlm.FakeVlm(bodies=Forgetting())
        with tempfile.TemporaryDirectory(dir=given.folder) as temporary, fake_vlm.serving(vlm) as server:
            folder = Path(temporary)
            table[rows] = commands(folder, generate(folder / "set", rows), server, rows, given.without.split(","))
    print("| command | " + " | ".join(f"{rows:,} rows" for rows in counts) + " |")
    print("|---|" + "---|" * len(counts))
    for name in table[counts[0]]:
        cells = (f"{table[rows][name].mebibytes:.0f} MiB" for rows in counts)
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
