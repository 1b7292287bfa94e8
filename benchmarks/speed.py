"""Seconds of a step and of an edit: the published design against the directed one, on one transformer's shape.

    python benchmarks/speed.py [--side 512] [--heads 6] [--double 1] [--single 2] [--rounds 5] [--threads 2]

Random weights in bfloat16, FLUX's text length, 128 relation tokens a picture. The ways take turns, so a machine that
others use as well slows all of them alike; medians. A source that runs once is counted as a 24th of itself. JSON lines,
then the table.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from relation_adapter.config import MODELS, ModelConfig
from relation_adapter.model.components import Components, build
from relation_adapter.model.velocity import Conditions, source_keys_values, velocity

STEPS = 24
RELATION_TOKENS = 256
Run = Callable[[], object]


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    ways = {name: way(*given, options) for name, given in WAYS.items()}
    seconds = timed(
        {f"{name}, {part}": run for name, runs in ways.items() for part, run in runs.items()}, options.rounds
    )
    edits = {}
    for name in ways:
        step, once = seconds[f"{name}, step"], seconds.get(f"{name}, once", 0.0)
        edits[name] = (step, once, once + STEPS * step)
        print(json.dumps({"way": name, "step_s": step, "once_s": once, "edit_s": edits[name][2]} | vars(options)))
    print("\n| way | a step, s | once, s | an edit of 24 steps, s | times as fast |\n|---|---|---|---|---|")
    first = next(iter(edits.values()))[2]
    for name, (step, once, edit) in edits.items():
        print(f"| {name} | {step:.3f} | {once:.3f} | {edit:.1f} | {first / edit:.2f} |")


# Design, text tokens, and whether what is the same at every step is kept.
WAYS = {
    "published, relation's keys and values at every step": ("published", 512, False),
    "published": ("published", 512, True),
    "directed, source at every step": ("directed", 512, False),
    "directed": ("directed", 512, True),
    "directed, 128 text tokens": ("directed", 128, True),
}


def way(name: str, text: int, keeps: bool, options: argparse.Namespace) -> dict[str, Run]:
    """What a step runs, and what runs once an edit where that is kept."""
    components, tokens = model(name, options), torch.randn(1, RELATION_TOKENS, options.heads * 128).to(torch.bfloat16)
    given, noisy = conditions(components, tokens, text, options.side)
    design, transformer, t = components.design, components.transformer, torch.full((1,), 0.5)

    def step() -> Tensor:
        if design.source_attention == "joint" and not keeps:
            given.relations = [components.adapter.keys_values(tokens)]
        if not keeps:
            given.source_cache = None
        return velocity(transformer, design, noisy, t, given)

    if design.source_attention == "joint" or not keeps:
        return {"step": step}
    return {"step": step, "once": lambda: source_keys_values(transformer, design, t, given)}


def model(name: str, options: argparse.Namespace) -> Components:
    design: ModelConfig = MODELS[name]
    shape = replace(
        design.transformer,
        num_layers=options.double,
        num_single_layers=options.single,
        num_attention_heads=options.heads,
        joint_attention_dim=options.heads * 128,
    )
    small = {"token_dim": options.heads * 128, "feature_dim": 64, "num_tokens": 0 if name == "directed" else 128}
    if name == "directed":
        small |= {"resampler_layers": 1, "resampler_heads": options.heads}
    components = build(replace(design, transformer=shape, **small), seed=0)
    for part in (components.transformer, components.adapter):
        part.to(torch.bfloat16).eval().requires_grad_(False)
    return components


def conditions(components: Components, tokens: Tensor, text: int, side: int) -> tuple[Conditions, Tensor]:
    shape, rows = components.design.transformer, side // 16
    random = torch.randn(2, 1, rows * rows, shape.in_channels).to(torch.bfloat16)
    given = Conditions(
        source=random[0],
        rows=rows,
        columns=rows,
        text=torch.randn(1, text, shape.joint_attention_dim).to(torch.bfloat16),
        pooled=torch.randn(1, shape.pooled_projection_dim).to(torch.bfloat16),
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
    parser.add_argument("--double", type=int, default=1, help="blocks; FLUX.1-dev has 19")
    parser.add_argument("--single", type=int, default=2, help="blocks; FLUX.1-dev has 38")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
