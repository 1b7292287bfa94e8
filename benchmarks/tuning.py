"""Whether a relation fitted to one pair edits other photos better than the relation as it is read.

For each task and item: parameters are drawn, the pair is a crop of one photo, the tests are crops of the four others.
Figures are mean squared errors over those of leaving the picture as it is, before and after `train --from-pair`.

    python benchmarks/tuning.py [--items 2] [--tasks brighten sepia ...] [--lora-rank N] [--sheet FILE.png]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
from photos import EDITS, PHOTOS, SETTLED, SIZE, Row, mse
from PIL import Image

from relation_adapter import RelationPipeline
from relation_adapter.contact_sheet import contact_sheet
from relation_adapter.images import open_picture, save_picture
from relation_adapter.procedural import task
from relation_adapter.procedural.pixels import Picture
from relation_adapter.procedural.task import crop_photo
from relation_adapter.relation import Relation
from relation_adapter.train.tuning import Tuning, tune

MORE = ("vignette", "duotone", "threshold", "solarize", "neon outlines", "slide", "cross-hatching", "photo frame")


def main() -> None:
    options = _options()
    tuning = Tuning(options.steps, options.rate, options.lora_rank)
    photos = [np.asarray(open_picture(path)) for path in sorted(PHOTOS.iterdir()) if path.suffix in (".jpg", ".png")]
    rows, found = [], []
    print("| task | as read | tuned | kept step | error on what is kept out | CPU seconds |\n|---|---|---|---|---|---|")
    for name in options.tasks:
        for item in range(options.items):
            pair, tests = draw(name, photos, item)
            pipe = RelationPipeline.from_pretrained(options.model)
            pipe.set_progress_bar_config(disable=True)
            read = edited(pipe, pipe.encode_relation([pair]), tests)
            start = time.process_time()
            tuned = tune(pipe, [pair], tuning)
            seconds = time.process_time() - start
            after = edited(pipe, tuned.relation, tests)
            ratios = [error(results, tests) for results in (read, after)]
            found.append(ratios)
            held = f"{tuned.error_before:.3f} to {tuned.error:.3f}"
            print(f"| {name} | {ratios[0]:.3f} | {ratios[1]:.3f} | {tuned.step} | {held} | {seconds:.0f} |", flush=True)
            rows.append([*pair, *tests[0], read[0], after[0]])
    report(np.array(found))
    if options.sheet:
        columns = ("before", "after", "source", "truth", "as read", "tuned")
        titles = [name for name in options.tasks for _ in range(options.items)]
        save_picture(contact_sheet(rows, columns, titles, cell=128), options.sheet)


def draw(name: str, photos: Sequence[Picture], item: int) -> tuple[tuple[Image.Image, Image.Image], list[Row]]:
    """A pair of one photo, and (source, target) of every other, all with the same parameters."""
    rng = np.random.default_rng([sum(map(ord, name)), item])
    of, settled = SETTLED.get(name, (name, None))
    chosen = task(of)
    params = chosen.draw_params(rng) if settled is None else settled
    first = int(rng.integers(len(photos)))
    order = [first, *(index for index in range(len(photos)) if index != first)]
    pairs = []
    for index in order:
        before = crop_photo(rng, photos[index], SIZE)
        pairs.append([Image.fromarray(np.ascontiguousarray(one)) for one in (before, chosen.apply(before, params))])
    return (pairs[0][0], pairs[0][1]), pairs[1:]


def edited(pipe: RelationPipeline, relation: Relation, tests: Sequence[Row]) -> Row:
    return [pipe(image=source, relation=relation, seed=0).images[0] for source, _ in tests]


def error(results: Row, tests: Sequence[Row]) -> float:
    errors = sum(mse(result, target) for result, (_, target) in zip(results, tests, strict=True))
    return errors / sum(mse(source, target) for source, target in tests)


def report(ratios: np.ndarray) -> None:
    before, after = ratios.T
    print(f"mean {before.mean():.3f} to {after.mean():.3f}; median {np.median(before):.3f} to {np.median(after):.3f}")
    print(f"geometric mean of tuned / as read: {np.exp(np.log((after + 1e-6) / (before + 1e-6)).mean()):.3f}")
    print(f"better in {(after < before - 1e-6).sum()}, left alone in {(after == before).sum()}, of {len(ratios)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--tasks", nargs="+", default=[*EDITS, *MORE])
    parser.add_argument("--items", type=int, default=2)
    parser.add_argument("--steps", type=int, default=Tuning.steps)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--lora-rank", type=int, default=0)
    parser.add_argument("--sheet", help="write a contact sheet of one photo an item")
    return parser.parse_args()


if __name__ == "__main__":
    main()
