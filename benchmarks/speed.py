"""Seconds of a step and of an edit: the published design against the directed one, on one transformer's shape.

    python benchmarks/speed.py [--side 512] [--heads 6] [--double 4] [--single 8] [--rounds 5] [--threads 2]
    python benchmarks/speed.py --side 256 --heads 8 --double 4 --single 8 --dtype float32 --ways published

Random weights, FLUX's text length, 128 relation tokens a picture. The ways take turns, so a machine that others use as
well slows all of them alike; medians. What runs once an edit is counted as a 24th of itself. The first way computes as
the published code does: the relation's keys and values, and every modulation, at every step; three projections apart;
every row to the end. With few blocks the last one, which computes fewer rows, would count for too much. The published
ways are held against each other: the largest difference of their results. JSON lines, then the table.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from relation_adapter.config import MODELS, ModelConfig
from relation_adapter.model import last_block
from relation_adapter.model.components import Components, build
from relation_adapter.model.velocity import Conditions, prepare, source_keys_values, velocity

STEPS = 24
RELATION_TOKENS = 256
Run = Callable[[], Any]


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    names = [name for name in WAYS if name.startswith(options.ways)]
    ways = {name: way(*WAYS[name], options) for name in names}
    seconds = timed(
        {f"{name}, {part}": run for name, runs in ways.items() for part, run in runs.items()}, options.rounds
    )
    edits = {}
    for name in ways:
        step, once = seconds[f"{name}, step"], seconds.get(f"{name}, once", 0.0)
        edits[name] = (step, once, once + STEPS * step)
        print(json.dumps({"way": name, "step_s": step, "once_s": once, "edit_s": edits[name][2]} | vars(options)))
    print(json.dumps({"largest_difference_of_published_ways": difference(ways)}))
    print("\n| way | a step, s | once, s | an edit of 24 steps, s | times as fast |\n|---|---|---|---|---|")
    first = next(iter(edits.values()))[2]
    for name, (step, once, edit) in edits.items():
        print(f"| {name} | {step:.3f} | {once:.3f} | {edit:.1f} | {first / edit:.2f} |")


# Design, text tokens, and what is kept: nothing, as published; all; all, and projections fused.
WAYS = {
    "published, computed as published": ("published", 512, "nothing"),
    "published": ("published", 512, "all"),
    "published, fused projections": ("published", 512, "fused"),
    "directed, source at every step": ("directed", 512, "nothing"),
    "directed": ("directed", 512, "all"),
    "directed, 128 text tokens": ("directed", 128, "all"),
}


def way(name: str, text: int, keeps: str, options: argparse.Namespace) -> dict[str, Run]:
    """What a step runs, and what runs once an edit where that is kept."""
    torch.manual_seed(0)
    components, tokens = model(name, options), torch.randn(1, RELATION_TOKENS, token_dim(name, options))
    dtype = getattr(torch, options.dtype)
    given, noisy = conditions(components, tokens.to(dtype), text, options.side)
    design, transformer, times = components.design, components.transformer, torch.linspace(1, 1 / STEPS, STEPS)
    joint, t = design.source_attention == "joint", times[STEPS // 2 : STEPS // 2 + 1]
    if keeps == "fused":
        transformer.fuse_qkv_projections()
    if keeps == "nothing":
        last_block.take_away(transformer)
    step_of = None if keeps == "nothing" else STEPS // 2

    def step() -> Tensor:
        if keeps == "nothing" and joint:
            given.relations = [components.adapter.keys_values(tokens.to(dtype))]
        if keeps == "nothing":
            given.source_cache = None
        return velocity(transformer, design, noisy, t, given, step_of)

    def once() -> None:
        # Of conditions of its own: the steps keep the source that they have seen.
        own = replace(given, relations=[components.adapter.keys_values(tokens.to(dtype))])
        prepare(transformer, design, times, own)
        if not joint:
            source_keys_values(transformer, design, t, own)

    if keeps == "nothing":
        return {"step": step}
    with torch.inference_mode():
        prepare(transformer, design, times, given)
    return {"step": step, "once": once}


@torch.inference_mode()
def difference(ways: dict[str, dict[str, Run]]) -> float:
    """Largest of a step's results, as a part of the largest of them all."""
    results = [runs["step"]() for name, runs in ways.items() if name.startswith("published")]
    apart = max(float((other - results[0]).abs().max()) for other in results[1:])
    return apart / float(results[0].abs().max())


def token_dim(name: str, options: argparse.Namespace) -> int:
    """The width of relation tokens: the published one, or that of the blocks."""
    return MODELS[name].token_dim if name == "published" else int(options.heads * 128)


def model(name: str, options: argparse.Namespace) -> Components:
    design: ModelConfig = MODELS[name]
    shape = replace(
        design.transformer,
        num_layers=options.double,
        num_single_layers=options.single,
        num_attention_heads=options.heads,
        joint_attention_dim=options.heads * 128,
    )
    small: dict[str, Any] = {
        "token_dim": token_dim(name, options),
        "feature_dim": 64,
        "num_tokens": 0 if name == "directed" else 128,
    }
    if name == "directed":
        small |= {"resampler_layers": 1, "resampler_heads": options.heads}
    components = build(replace(design, transformer=shape, **small), seed=0)
    for part in (components.transformer, components.adapter):
        part.to(getattr(torch, options.dtype)).eval().requires_grad_(False)
    return components


def conditions(components: Components, tokens: Tensor, text: int, side: int) -> tuple[Conditions, Tensor]:
    shape, rows = components.design.transformer, side // 16
    dtype = tokens.dtype
    random = torch.randn(2, 1, rows * rows, shape.in_channels).to(dtype)
    given = Conditions(
        source=random[0],
        rows=rows,
        columns=rows,
        text=torch.randn(1, text, shape.joint_attention_dim).to(dtype),
        pooled=torch.randn(1, shape.pooled_projection_dim).to(dtype),
        relations=[components.adapter.keys_values(tokens)],
    )
    return given, random[1]


@torch.inference_mode()
def timed(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Median seconds of each, taken in turns after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--side", type=int, default=512, help="pixels")
    parser.add_argument("--heads", type=int, default=6, help="of 128; FLUX.1-dev has 24")
    parser.add_argument("--double", type=int, default=4, help="blocks; FLUX.1-dev has 19")
    parser.add_argument("--single", type=int, default=8, help="blocks; FLUX.1-dev has 38")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--ways", default="", help="those whose name begins so")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
