"""From pairs in the published layout to two training steps, once undisturbed and once killed on the way.

    python benchmarks/data_pass.py [--tasks 8] [--pairs 26] [--size 64] [--seed 0] [--folder FOLDER] [--undisturbed]

Writes procedural pairs as Relation252K lies on the hub (`<task>/Group1/labels.json`, glued pictures, no descriptions),
then runs every `relation-adapter data` command, and `train`, as a process each. The annotations come from a server on
this machine that misbehaves as real ones do (tests/fake_vlm.py). In the second run the processes of import, annotate
and cache are killed (SIGKILL) at moments drawn from the seed and started again. Prints the seconds of every stage, and
whether both runs ended in the same files, byte for byte, and the same weights.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from safetensors.torch import load_file

from relation_adapter import procedural
from relation_adapter.data.procedural_set import choose, procedural_quads
from relation_adapter.data.schema import Category
from relation_adapter.data.strips import glue
from relation_adapter.images import save_picture

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
fake_vlm = import_module("fake_vlm")

# What stays different between two runs: places, times, and journals, whose lines come in the order of the replies.
PASSING = (".answers", ".verified", ".lock", "log.jsonl", "config.json", "starts.json", "tensorboard", "README.txt")


@dataclass(frozen=True)
class Stage:
    """A command, and what grows while it works: it is killed once that has grown far enough."""

    name: str
    arguments: list[str]
    grown: Callable[[], int] | None = None
    whole: int = 0


def write_published(folder: Path, tasks: int, pairs: int, size: int) -> int:
    """Procedural pairs in the published layout; how many."""
    names = [
        entry.name for category in get_args(Category) for entry in procedural.tasks(category, seen=True)[: tasks // 4]
    ]
    wanted = choose(names=names, count=-(-pairs // 2), size=size)
    rows: dict[Path, list[dict[str, str]]] = {}
    for number, quad in enumerate(procedural_quads(wanted)):
        group = folder / f"{names.index(quad.task) + 1}-{quad.task}" / "Group1"
        for half, (left, right) in enumerate(((quad.before, quad.after), (quad.source, quad.target))):
            name = f"{2 * number + half:06d}.png"
            save_picture(glue(left, right), group / name)
            rows.setdefault(group, []).append({"img_name": name})
    for group, entries in rows.items():
        (group / "labels.json").write_text(json.dumps(entries))
    return sum(map(len, rows.values()))


def stages(source: Path, out: Path, server: Any, count: int) -> list[Stage]:
    """Every command of the way, with what shows how far it is."""
    pairs, annotated, quads = (out / "set" / name for name in ("pairs.jsonl", "annotated.jsonl", "quads.jsonl"))
    cache, run = out / "cache", out / "run"
    asked = ["--vlm", "fake", "--base-url", server.url, "--threads", "8", "--first-wait", "0.01"]
    steps = ["--set", f"cache={cache}", "--set", "steps=2", "--set", "threads=1"]
    return [
        Stage(
            "import", ["data", "import", str(source), "-o", str(out / "set")], _files(out / "set", "*.png"), 2 * count
        ),
        Stage("verify", ["data", "verify", str(pairs)]),
        Stage(
            "annotate",
            ["data", "annotate", str(pairs), "-o", str(annotated), *asked],
            lambda: sum(server.answered.values()),
            count,
        ),
        Stage("build", ["data", "build", str(annotated), "-o", str(quads), "--force"]),
        Stage(
            "cache",
            ["data", "cache", str(quads), "-o", str(cache), "--shard", "16"],
            _files(cache, "*.safetensors"),
            4 * count // 16,
        ),
        Stage("train", ["train", "debug", *steps, "--run", str(run)]),
    ]


def _files(folder: Path, pattern: str) -> Callable[[], int]:
    return lambda: sum(1 for _ in folder.rglob(pattern))


def start(arguments: list[str]) -> Any:
    """A command as a process."""
    command = [sys.executable, "-m", "relation_adapter", *arguments]
    environment = os.environ | {"OPENAI_API_KEY": "none", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, text=True)


def run_stage(stage: Stage, kill_at: int | None = None, start: Callable[[list[str]], Any] = start) -> bool:
    """Run a command as a process, to its end or to its kill; whether it was killed."""
    process = start(stage.arguments)
    if kill_at is not None and stage.grown is not None:
        while process.poll() is None and stage.grown() < kill_at:
            time.sleep(0.005)
        process.kill()
    _, told = process.communicate()
    if process.returncode not in (0, 1, -9):  # 1: some pairs were refused, or are problems; they are told
        raise SystemExit(f"{' '.join(stage.arguments)}: exit code {process.returncode}\n{told}")
    return process.returncode == -9


def one_pass(
    source: Path,
    out: Path,
    count: int,
    seed: int,
    killed: bool,
    finish: Callable[[Stage], object] = run_stage,
    start: Callable[[list[str]], Any] = start,
) -> dict[str, float]:
    """All stages; the CPU seconds that the processes of each took to its end.

    finish: runs one undisturbed. start: begins the process of one that is killed.
    """
    rng, taken, kills = random.Random(seed), {}, 0
    server = fake_vlm.FakeVlm(seed=seed, trouble=0.4, refuses=0.03, spoils=0.03, slow=0.1)
    with fake_vlm.serving(server):
        for stage in stages(source, out, server, count):
            was_killed = False
            if killed and stage.grown is not None:
                kill_at = max(1, round(stage.whole * rng.uniform(0.1, 0.6)))
                was_killed = run_stage(stage, kill_at, start)
                kills += was_killed
            began, used = time.monotonic(), _cpu_seconds()
            finish(stage)
            taken[stage.name] = _cpu_seconds() - used
            wall = time.monotonic() - began
            print(
                f"{stage.name}: {wall:.1f} s, {taken[stage.name]:.1f} of CPU{' after a kill' if was_killed else ''}",
                flush=True,
            )
    if killed and kills < 3:
        raise SystemExit(f"{kills} of 3 processes were killed; the others ended first: give more pairs")
    return taken


def _cpu_seconds() -> float:
    """What the processes that ended took, start included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def differences(first: Path, second: Path) -> Iterator[str]:
    """Files that two runs do not share, or that differ."""
    names = {
        path.relative_to(folder)
        for folder in (first, second)
        for path in folder.rglob("*")
        if path.is_file() and not any(mark in str(path.relative_to(folder)) for mark in PASSING)
    }
    for name in sorted(names):
        if not (first / name).exists() or not (second / name).exists():
            yield f"{name}: only in one run"
        elif name.parts[0] == "run" and name.suffix == ".safetensors":
            # safetensors writes its metadata in random order, and the state knows its folder
            one, two = load_file(first / name), load_file(second / name)
            if one.keys() != two.keys() or not all(bool((one[key] == two[key]).all()) for key in one):
                yield f"{name}: other weights"
        elif _told(first / name) != _told(second / name):
            yield f"{name}: other bytes"


def _told(path: Path) -> object:
    """What a file holds; of pairs set aside which and why in a word, as what the server said last is its own affair."""
    if not path.name.endswith(".aside.jsonl"):
        return path.read_bytes()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [(row["before"], row["kind"]) for row in rows]


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--tasks", type=int, default=8, help="a quarter of every category")
    options.add_argument("--pairs", type=int, default=26, help="of every task")
    options.add_argument("--size", type=int, default=64)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--folder", type=Path)
    options.add_argument("--undisturbed", action="store_true", help="the first run alone, for its times")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        count = write_published(folder / "published", given.tasks, given.pairs, given.size)
        print(f"{count} pairs of {given.tasks} tasks, {given.size} px")
        taken = one_pass(folder / "published", folder / "whole", count, given.seed, killed=False)
        print("pairs a CPU second: " + ", ".join(f"{name} {count / max(cpu, 0.01):.0f}" for name, cpu in taken.items()))
        if given.undisturbed:
            return
        one_pass(folder / "published", folder / "killed", count, given.seed, killed=True)
        found = list(differences(folder / "whole", folder / "killed"))
        print("\n".join(found) or "both runs ended in the same files and weights")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
