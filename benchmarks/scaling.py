"""Seconds per edit against pixels, number of pairs and batch, beside plain FLUX and a grid editor on one transformer.

    python benchmarks/scaling.py [--sides 256 384 512] [--pairs 1 2 4] [--batches 1 2 4] [--heads 4] [--double 1]
    python benchmarks/scaling.py --full [--compile]      FLUX.1-dev's width and depth, 512 to 1024 px, on a GPU

One transformer of random weights stands for all: it reads 512 text tokens and the noisy ones (plain FLUX), those and
the source's with a relation's keys and values (published, directed), or all pictures of a grid in one sequence (as
baselines edit_transfer and visualcloze do: two pictures a pair, then source and result). An edit is what runs once and
24 steps; `--fast` is a whole edit, timed. The ways take turns; medians, on a CPU of its own seconds, which others at
work there hardly change. JSON lines, then the tables.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from full_size import filled
from speed import RELATION_TOKENS, STEPS, Run, conditions, model
from torch import Tensor

from relation_adapter.config import MODELS, ModelConfig
from relation_adapter.evaluate.generate import peak_gib
from relation_adapter.model.components import Components
from relation_adapter.model.latents import position_ids
from relation_adapter.model.velocity import SourceCache, prepare, source_keys_values, velocity
from relation_adapter.pipeline.fast import cache_config

FULL = {"sides": [512, 768, 1024], "heads": 24, "double": 19, "single": 38}
DIRECTED_TEXT = MODELS["directed"].text_length
ISOLATED: dict[str, Any] = {"source_attention": "isolated", "source_time": "clean"}


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    components = opened(options)
    side, lines = options.sides[0], []
    lines += [measured(components, options, side=one) for one in options.sides]
    lines += [measured(components, options, side=side, pairs=count) for count in options.pairs[1:]]
    lines += [measured(components, options, side=side, batch=count) for count in options.batches[1:]]
    print()
    print(table("pixels", [line for line in lines if line["pairs"] == line["batch"] == 1], "side"))
    print(table("pairs", [line for line in lines if line["side"] == side and line["batch"] == 1], "pairs"))
    print(
        table("pictures in a batch", [line for line in lines if line["side"] == side and line["pairs"] == 1], "batch")
    )


def opened(options: argparse.Namespace) -> Components:
    """On a GPU the weights are made there."""
    with torch.device("meta" if options.device.type == "cuda" else "cpu"):
        components = model("published", options)
    if options.device.type == "cuda":
        filled(components.transformer, options.device)
        filled(components.adapter, options.device)
    if options.compile:
        components.transformer.compile_repeated_blocks(fullgraph=True)
    return components


def measured(
    components: Components, options: argparse.Namespace, side: int, pairs: int = 1, batch: int = 1
) -> dict[str, Any]:
    """Seconds an edit by every way, and what they are made of."""
    runs: dict[str, Run] = {}
    for name, own in ways(components, options, side, pairs, batch).items():
        runs |= {f"{name}, {part}": run for part, run in own.items()}
    if options.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = timed(runs, options.rounds, options.device)
    edits = {}
    for name in dict.fromkeys(run.rpartition(", ")[0] for run in runs):
        step, once = seconds.get(f"{name}, step", 0.0), seconds.get(f"{name}, once", 0.0)
        edits[name] = seconds.get(f"{name}, edit", once + STEPS * step)
    line = {"side": side, "pairs": pairs, "batch": batch, "edit_s": edits, "parts_s": seconds, "peak_gib": peak_gib()}
    kept = ("heads", "double", "single", "dtype", "threads", "compile")
    print(json.dumps(line | {name: getattr(options, name) for name in kept} | {"device": _name(options.device)}))
    return line


def ways(
    components: Components, options: argparse.Namespace, side: int, pairs: int, batch: int
) -> dict[str, dict[str, Run]]:
    published = components.design
    directed = replace(published, **ISOLATED)
    found = {"plain FLUX": {"step": _stock(components, options, side, batch, 1, 1)}}
    if pairs == 1:
        found["published"] = ours(components, published, options, side, pairs, batch)
    found["directed, 512 text tokens"] = ours(components, directed, options, side, pairs, batch)
    found["directed"] = ours(components, directed, options, side, pairs, batch, DIRECTED_TEXT)
    fast = ours(components, directed, options, side, pairs, batch, DIRECTED_TEXT)
    found["directed, --fast"] = {"edit": _fast(components, fast)}
    found["grid"] = {"step": _stock(components, options, side, batch, pairs + 1, 2)}
    return found


def ours(
    components: Components,
    design: ModelConfig,
    options: argparse.Namespace,
    side: int,
    pairs: int,
    batch: int,
    text: int = 512,
) -> dict[str, Callable[..., Any]]:
    """What runs once an edit, and at every step; a batch has one relation and many sources."""
    transformer, times = components.transformer, torch.linspace(1, 1 / STEPS, STEPS, device=options.device)
    with torch.device(options.device), torch.inference_mode():
        dtype = getattr(torch, options.dtype)
        tokens = torch.randn(1, pairs * RELATION_TOKENS, design.token_dim).to(dtype)
        given, noisy = conditions(components, tokens, text, side)
    widened = {name: getattr(given, name).repeat(batch, 1, 1) for name in ("source", "text")}
    given, noisy = replace(given, pooled=given.pooled.repeat(batch, 1), **widened), noisy.repeat(batch, 1, 1)

    def once() -> None:
        given.relations = [components.adapter.keys_values(tokens)]
        prepare(transformer, design, times, given)
        if design.reuses_source:
            seen = source_keys_values(transformer, design, times[:1].expand(batch), given)
            given.source_cache = SourceCache(seen, replace(given, source_cache=None))

    def step(number: int = STEPS // 2) -> Tensor:
        return velocity(transformer, design, noisy, times[number : number + 1].expand(batch), given, number)

    with torch.inference_mode():
        once()
    return {"once": once, "step": step}


def _stock(components: Components, options: argparse.Namespace, side: int, batch: int, down: int, across: int) -> Run:
    """The transformer as FLUX runs it, on pictures in a grid."""
    transformer, rows, shape = components.transformer, side // 16, components.design.transformer
    dtype, device = getattr(torch, options.dtype), options.device
    ids = position_ids(rows * down, rows * across, device)
    with torch.device(device):
        given = {
            "hidden_states": torch.randn(batch, len(ids), shape.in_channels).to(dtype),
            "encoder_hidden_states": torch.randn(batch, 512, shape.joint_attention_dim).to(dtype),
            "pooled_projections": torch.randn(batch, shape.pooled_projection_dim).to(dtype),
            "timestep": torch.full((batch,), 0.5),
            "guidance": torch.full((batch,), 3.5),
            "txt_ids": torch.zeros(512, 3),
        }
    return lambda: transformer(**given, img_ids=ids, joint_attention_kwargs={}, return_dict=False)[0]


def _fast(components: Components, runs: dict[str, Callable[..., Any]]) -> Run:
    transformer = components.transformer

    def edit() -> None:
        runs["once"]()
        transformer.enable_cache(cache_config(transformer.dtype))
        with transformer.cache_context("cond"):
            for step in range(STEPS):
                runs["step"](step)
        transformer.disable_cache()

    return edit


@torch.inference_mode()
def timed(runs: dict[str, Run], rounds: int, device: torch.device) -> dict[str, float]:
    """Median seconds of each, in turns after one round that does not count: the CPU's own, or until a GPU is done."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            start = clock()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(clock() - start)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def table(title: str, lines: Sequence[dict[str, Any]], key: str) -> str:
    """Seconds a picture."""
    names = list(dict.fromkeys(name for line in lines for name in line["edit_s"]))
    head = [f"| {title} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    rows = []
    for line in lines:
        values = [line["edit_s"].get(name) for name in names]
        cells = ["" if value is None else f"{value / line['batch']:.2f}" for value in values]
        rows.append(f"| {line[key]} | {' | '.join(cells)} |")
    return "\n".join([*head, *rows, ""])


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else "CPU"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 384, 512], help="pixels")
    parser.add_argument("--pairs", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--heads", type=int, default=4, help="of 128; FLUX.1-dev has 24")
    parser.add_argument("--double", type=int, default=1, help="blocks; FLUX.1-dev has 19")
    parser.add_argument("--single", type=int, default=2, help="blocks; FLUX.1-dev has 38")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--compile", action="store_true", help="the repeated blocks")
    parser.add_argument("--full", action="store_true", help="FLUX.1-dev's size")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.full:
        vars(options).update(FULL)
    options.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return options


if __name__ == "__main__":
    main()
