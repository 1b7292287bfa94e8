"""The paper's ablation at the size of a small `mini`: designs one step apart, trained and measured alike.

    OMP_NUM_THREADS=1 python benchmarks/ablation.py --run FOLDER [--steps 800] [--batch 32] [--designs in_context,...]
        [--seeds 0] [--again 1] [--per-task 3] [--threads 1] [--write]

Trains every design that is asked for, one after the other, from scratch on the same batches; edits quads of the frozen
benchmark that no training sees, with the right pair, with that pair swapped, and with the pair of another task; prints
the tables over all that the folder holds. The same command again goes on where it was stopped. `--again S` then trains
the best and the worst design once more with seed S. `--write` puts the tables into docs/ablation.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ablation_quads import Bench, bench
from ablation_table import by_design, ranked, table, write_table
from PIL import Image

from relation_adapter import RelationPipeline
from relation_adapter.config import MODELS, ModelConfig
from relation_adapter.evaluate import metrics
from relation_adapter.files import write_whole
from relation_adapter.model.weights import read_info
from relation_adapter.procedural.pixels import Picture, to_float
from relation_adapter.train.loop import train
from relation_adapter.train.presets import PRESETS, TrainConfig

SIZE = 64  # px that all are trained at
HEADS, WIDTH = 4, 128  # half as wide as mini
BATCH = 32  # edits at once
TIMED = 20  # edits one by one, for the seconds
ROWS = "rows.json"
DEFAULT = ("in_context", "published", "roles", "together", "directed")


def designs() -> dict[str, ModelConfig]:
    """Every row of the table, from the paper's variant without adapter to what `mini` is."""
    mini = MODELS["mini"]
    plain = mini.token_channels  # without the nets for pixels, which the ablation is not about
    shape = replace(mini.transformer, out_channels=plain, num_attention_heads=HEADS, pooled_projection_dim=WIDTH)
    mini = replace(
        mini,
        pixel_hidden=0,
        exemplar_size=SIZE,
        native_area=SIZE * SIZE,
        transformer=shape,
        token_dim=WIDTH,
        resampler_heads=HEADS,
        second_look=False,
        correction=False,
        steps=2,
    )
    directed = replace(mini, relation_vector=False)
    together = replace(directed, source_attention="joint", source_time="shared")
    roles = replace(
        together,
        projector="pooled_mlp",
        image_features="latents_pooled",
        feature_dim=2 * mini.feature_dim,
        num_tokens=8,
    )
    in_context = replace(
        together, relation_branch="in_context", projector="none", token_dim=mini.feature_dim, roles=False
    )
    found = {
        "in_context": in_context,
        "in_context_roles": replace(in_context, roles=True),
        "published": replace(roles, roles=False),
        "roles": roles,
        "together": together,
        "directed": directed,
        "mini": mini,
    }
    return {name: replace(design, name=f"ablation-{name}") for name, design in found.items()}


def config_of(design: ModelConfig, seed: int, options: argparse.Namespace) -> TrainConfig:
    """The settings that mini had when the table was made, at one shape of picture; no validation, for time."""
    preset = PRESETS["mini"]
    return replace(
        preset,
        model=design,
        data=replace(preset.data, size=SIZE, shapes=((SIZE, SIZE),), scene_share=0.29, core_share=0.25, done_share=0),
        time_sampling="near_one",
        others=0,
        seed=seed,
        steps=options.steps,
        batch=options.batch,
        threads=options.threads,
        workers=0,
        save_every=100,
        validate_every=10 * options.steps,
    )


def run(name: str, seed: int, options: argparse.Namespace) -> None:
    """Train and measure one design with one seed, as far as that is not done."""
    folder = options.run / f"{name}-{seed}"
    config = config_of(designs()[name], seed, options)
    weights = folder / "model.safetensors"
    if not weights.exists() or read_info(weights)[1].get("steps") != options.steps:
        train(config, folder, lambda line: None)
    settings = {"steps": options.steps, "batch": options.batch, "per_task": options.per_task}
    rows = folder / ROWS
    if rows.exists() and json.loads(rows.read_bytes())["settings"] == settings:
        return
    pipe = RelationPipeline.from_pretrained(weights)
    pipe.set_progress_bar_config(disable=True)
    quads = bench(options.run, options.per_task)
    found = {
        "design": name,
        "seed": seed,
        "settings": settings,
        "weights": sum(p.numel() for part in (pipe.transformer, pipe.adapter) for p in part.parameters()),
        "sequence": sequence(pipe.design),
        "quads_per_second": speed(folder),
        "seconds": seconds_per_edit(pipe, quads),
        "rows": measure(pipe, quads),
    }
    write_whole(rows, json.dumps(found).encode())


def sequence(design: ModelConfig) -> dict[str, int]:
    """Tokens that go through the transformer: at every step, and once for an edit."""
    one = design.native_area // design.patch**2
    pair = 2 * (design.exemplar_size // design.patch) ** 2 if design.relation_branch == "in_context" else 0
    if design.reuses_source:
        return {"step": design.text_length + one, "once": one}
    return {"step": design.text_length + 2 * one + pair, "once": 0}


def speed(folder: Path) -> float:
    """Quads a second of training, the median of its log."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return statistics.median(line["quads_per_second"] for line in lines if "quads_per_second" in line)


def seconds_per_edit(pipe: Any, quads: Bench) -> float:
    """Processor time of one edit alone, the pair read anew, the median of several."""
    found = []
    for index in range(min(TIMED, len(quads.pictures))):
        began = time.process_time()
        edit(pipe, quads.pictures[index : index + 1], (0, 1))
        found.append(time.process_time() - began)
    return statistics.median(found)


def measure(pipe: Any, quads: Bench) -> list[dict[str, Any]]:
    """One row a quad."""
    rows = []
    for first in range(0, len(quads.pictures), BATCH):
        part = slice(first, first + BATCH)
        right = edit(pipe, quads.pictures[part], (0, 1))
        swapped = edit(pipe, quads.pictures[part], (1, 0))
        mixed = edit(pipe, quads.pictures[part], (0, 1), quads.pictures[quads.mixed[part]])
        rows += [
            row(quads, first + number, *outputs)
            for number, outputs in enumerate(zip(right, swapped, mixed, strict=True))
        ]
    return rows


def edit(pipe: Any, pictures: Any, order: tuple[int, int], shown: Any = None) -> list[Picture]:
    """Edit sources (2 in a quad) by their own pair, or by those of the quads shown; order: of before and after."""
    shown = pictures if shown is None else shown
    pairs = [[tuple(Image.fromarray(quad[place]) for place in order)] for quad in shown]
    made = pipe(image=[Image.fromarray(quad[2]) for quad in pictures], pairs=pairs, seed=0).images
    return [np.asarray(picture) for picture in made]


def row(quads: Bench, index: int, right: Picture, swapped: Picture, mixed: Picture) -> dict[str, Any]:
    """What one quad says of the design."""
    source, target = quads.pictures[index, 2], quads.pictures[index, 3]
    error, turned = mse(right, target), mse(swapped, target)
    others = quads.others[index, : quads.counts[index]]
    return quads.told[index] | {
        "mse": error,
        "nothing": mse(source, target),
        "psnr": metrics.psnr(to_float(right), to_float(target)),
        "ssim": ssim(right, target),
        "swapped": turned,
        "direction": None if quads.reversible[index] else direction(error, turned),
        "relation": None if not len(others) else float(all(error < mse(right, other) for other in others)),
        "chance": None if not len(others) else 1 / (1 + len({other.tobytes() for other in others})),
        "mixed": mse(mixed, target),
    }


def direction(error: float, turned: float) -> float:
    """1 where the swapped pair leads farther from the target, 0.5 where it changes nothing."""
    return 0.5 if error == turned else float(error < turned)


def ssim(first: Picture, second: Picture) -> float:
    return metrics.ssim(to_float(first), to_float(second))


def mse(first: Picture, second: Picture) -> float:
    return metrics.mse(to_float(first), to_float(second))


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    for seed in options.seeds:
        for name in options.designs:
            run(name, seed, options)
    if options.again is not None:
        order = ranked(options.run)
        for name in (order[0], order[-1]):
            run(name, options.again, options)
    text = table(by_design(options.run), {name: told(name) for name in designs()})
    print(text)
    if options.write:
        write_table(text)


def told(name: str) -> str:
    """What sets a design apart, in words."""
    return {
        "in_context": "no adapter: before and after are tokens beside the source's",
        "in_context_roles": "the same, with learned roles",
        "published": "adapter: each picture one pooled vector, made to tokens by an MLP",
        "roles": "published + learned roles of before and after",
        "together": "roles + patches of before, after and their difference read together",
        "directed": "together + source isolated and clean",
        "mini": "directed + relation vector beside the time",
    }[name]


def _names(text: str) -> Sequence[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in designs()]:
        raise argparse.ArgumentTypeError(f"no design is called {unknown[0]}; there are: {', '.join(designs())}")
    return names


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--run", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--designs", type=_names, default=DEFAULT, help="comma-separated")
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0])
    parser.add_argument("--again", type=int, help="a further seed for the best and the worst design")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--per-task", type=int, default=3, help="quads of the benchmark's 30 of every task")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/ablation.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
