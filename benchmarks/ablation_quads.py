"""The quads that `ablation.py` measures with: drawn once, kept on disk, read by every run."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from relation_adapter.data.procedural_set import HELD_OUT, Item, ProceduralSet, benchmark, category_of, pictures_of
from relation_adapter.files import write_whole, writing_whole
from relation_adapter.procedural import TASKS, DrawnQuad, rng_at
from relation_adapter.procedural.pixels import Picture

OTHERS = 9  # further draws of the same task, to choose the true target from
TRIES = 60
OTHER = 10_000_000  # numbers from which other parameters are drawn
SAME = 1e-4  # mean square in [0, 1] below which an edit made twice has led back


@dataclass(frozen=True)
class Bench:
    """The first quads of every task of the frozen benchmark.

    pictures: uint8 (N, 4, S, S, 3), before, after, source, target. others: uint8 (N, OTHERS, S, S, 3), targets of other
    draws of the task on the same source, of which the first counts[i] are there. told: task, category, split, number.
    reversible: edits that undo themselves, so that their direction cannot be told. mixed: for each quad the number of
    one of another task.
    """

    pictures: npt.NDArray[np.uint8]
    others: npt.NDArray[np.uint8]
    counts: list[int]
    told: list[dict[str, Any]]
    reversible: list[bool]
    mixed: npt.NDArray[np.int64]


def bench(folder: Path, per_task: int, first: int = 0) -> Bench:
    """`per_task` of the 30 quads of every task, from the first number on; drawn where the folder has none."""
    kept = folder / f"quads-{name_of(per_task, first)}"
    if not (kept / "told.json").exists():
        _draw(kept, benchmark(first + per_task), first)
    told = json.loads((kept / "told.json").read_bytes())
    names = [entry["task"] for entry in told["quads"]]
    return Bench(
        pictures=np.load(kept / "pictures.npy", mmap_mode="r"),
        others=np.load(kept / "others.npy", mmap_mode="r"),
        counts=told["counts"],
        told=told["quads"],
        reversible=told["reversible"],
        mixed=_mixed(names),
    )


def name_of(per_task: int, first: int) -> str:
    """Of files about those quads."""
    return f"{first}-{first + per_task - 1}" if first else str(per_task)


def _draw(kept: Path, wanted: ProceduralSet, first: int) -> None:
    items = [item for item in wanted.iter_items() if item.number >= first]
    pictures = np.zeros((len(items), 4, wanted.size, wanted.size, 3), np.uint8)
    others = np.zeros((len(items), OTHERS, wanted.size, wanted.size, 3), np.uint8)
    counts, reversible = [], []
    for number, item in enumerate(items):
        quad = wanted.draw(item)
        pictures[number] = pictures_of(quad)
        found = other_targets(wanted, item, quad)
        others[number, : len(found)] = found or 0
        counts.append(len(found))
        reversible.append(undoes_itself(quad))
    for name, array in (("pictures", pictures), ("others", others)):
        with writing_whole(kept / f"{name}.npy") as part, part.open("wb") as file:
            np.save(file, array)
    quads = [
        {"task": item.task, "category": category_of(item), "split": item.split, "number": item.number} for item in items
    ]
    write_whole(kept / "told.json", json.dumps({"quads": quads, "counts": counts, "reversible": reversible}).encode())


def other_targets(wanted: ProceduralSet, item: Item, quad: DrawnQuad) -> list[Picture]:
    """Up to nine targets that other parameters of the task make of the quad's source.

    None where the parameters change the source, as those of a restoration do: the true result is then always the same.
    """
    entry, found = TASKS[item.task], []
    rng = rng_at(wanted.seed, item.task, item.index)
    params = entry.draw_params(rng)
    entry.draw_pair(rng, params, wanted.size)
    for step in range(TRIES):
        other = entry.draw_params(rng_at(wanted.seed, item.task, item.index + OTHER + step))
        if other == params:
            continue
        source, target = entry.draw_pair(copy.deepcopy(rng), other, wanted.size)
        if not np.array_equal(source, quad.source):
            return []
        if not np.array_equal(target, quad.target):
            found.append(target)
        if len(found) == OTHERS or (step > OTHERS and not found):
            break
    return found


def undoes_itself(quad: DrawnQuad) -> bool:
    """Whether the edit made on the target leads back to the source, as a mirror does."""
    entry = TASKS[quad.task]
    if not entry.on_photos or entry.backwards:
        return False
    again = entry.apply(quad.target, quad.params)
    if again.shape != quad.source.shape:
        return False
    return float(np.mean((again / 255 - quad.source / 255) ** 2)) < SAME


def _mixed(tasks: list[str]) -> npt.NDArray[np.int64]:
    """For each quad one of another task, drawn once for all designs."""
    rng, count = np.random.default_rng(HELD_OUT), len(tasks)
    found = rng.permutation(count)
    while clash := [number for number in range(count) if tasks[found[number]] == tasks[number]]:
        found[clash] = rng.integers(count, size=len(clash))
    return found
