"""Seconds per edit and peak GPU memory at full size, with random weights, on the GPU at hand.

One command measures every preset eagerly and those whose transformer stays put compiled and with --fast as well, at 512
and 1024 px, 24 steps, published LoRA unfused. Each row is measured in a process of its own and appended to a JSONL
file; rows that are there already are not measured again, so a broken run goes on with the same command. `first` is an
edit with a new pair and instruction, `again` one with a relation that is encoded already; `floor` what its products
alone would take at RATE, where they have been counted.

    python benchmarks/full_size.py [--out rows.jsonl] [--presets 80,40,24,16,12] [--sizes 512,1024] [--steps 24]
    python benchmarks/full_size.py --designs published,directed --presets 80     speed: docs/speed.md
    python benchmarks/full_size.py --tiny        the same with the tiny twin, on any machine
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging
from full_model import LORA_RANK, full_components, is_quantised
from PIL import Image
from torch import nn

from relation_adapter.model.components import Components, build_transformer, tiny, tiny_design
from relation_adapter.model.lora import add_lora
from relation_adapter.pipeline import RelationPipeline, memory

GIB = 2**30
REPEATS = 3
POOL = 2**24  # random numbers that all weights are filled from
JOB = ("design", "preset", "quantize", "size", "mode", "steps", "tiny")
RATE = 790e12  # operations a second of bfloat16 products that an H100 or H200 comes near
# Operations of the transformer in an edit of 24 steps, counted; the directed design's source once.
COUNTED = {
    ("published", 512): 24 * 37.75e12,
    ("published", 1024): 24 * 165.61e12,
    ("directed", 512): 418e12,
    ("directed", 1024): 1982e12,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("rows.jsonl"))
    parser.add_argument("--designs", default="published")
    parser.add_argument("--presets", default=",".join(map(str, memory.PLANS)))
    parser.add_argument("--quantize", help="in place of the preset's own")
    parser.add_argument("--sizes", default="512,1024")
    parser.add_argument("--modes", default="eager,compiled,fast")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(measure(options.job)))
        return
    done = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    for job in _jobs(options):
        if not any(all(row.get(key) == job[key] for key in JOB) and "error" not in row for row in done):
            row = _in_a_process(job)
            with options.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            done.append(row)
            print(json.dumps(row), flush=True)
    print("\n" + table(done))


def table(rows: Sequence[dict[str, Any]]) -> str:
    names = ("design", "preset", "size", "mode", "first_s", "again_s", "floor_s", "peak_gib")
    head = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    return "\n".join(head + [f"| {' | '.join(str(row.get(name, '')) for name in names)} |" for row in rows])


def _jobs(options: argparse.Namespace) -> list[dict[str, Any]]:
    jobs = []
    presets, sizes = (map(int, given.split(",")) for given in (options.presets, options.sizes))
    chosen = (options.designs.split(","), presets, options.modes.split(","), sizes)
    for design, preset, mode, size in itertools.product(*chosen):
        plan = memory.plan_for(preset, options.quantize)
        if mode == "eager" or plan.placement in ("resident", "freed"):
            values = (design, preset, plan.quantization, size, mode, options.steps, options.tiny)
            jobs.append(dict(zip(JOB, values, strict=True)))
    return jobs


def _in_a_process(job: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--job", json.dumps(job)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode == 0:
        row: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
        return row
    return job | {"error": (run.stderr.strip().splitlines() or [f"exit {run.returncode}"])[-1]}


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """The job's row: seconds, GiB, and what they were measured with."""
    logging.set_verbosity_error()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    plan = memory.plan_for(job["preset"], job["quantize"])
    start = time.perf_counter()
    pipe = RelationPipeline.from_components(_components(plan, device, job))
    memory.place(pipe, plan, device)
    pipe.set_progress_bar_config(disable=True)
    if job["mode"] == "compiled":
        pipe.transformer.compile_repeated_blocks(backend="eager" if device.type == "cpu" else "inductor")
    if job["mode"] == "fast":
        pipe.enable_fast()
    ready = time.perf_counter() - start
    picture = Image.new("RGB", (job["size"],) * 2, "gray")
    pair = [(picture, picture.point(lambda value: 255 - value))]
    options = {"instruction": "make it so", "num_inference_steps": job["steps"], "size": picture.size, "seed": 0}
    warm = _seconds(lambda: pipe(picture, pairs=pair, **options | {"num_inference_steps": 2}))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    first = [_seconds(lambda: pipe(picture, pairs=pair, **options)) for _ in range(REPEATS)]
    relation = pipe.encode_relation(pair)
    again = [_seconds(lambda: pipe(picture, relation=relation, **options)) for _ in range(REPEATS)]
    row = job | {"placement": plan.placement, "device": _name(device), "torch": torch.__version__}
    row |= {"ready_s": round(ready, 1), "warm_up_s": round(warm, 2)}
    row |= {"first_s": round(statistics.median(first), 3), "again_s": round(statistics.median(again), 3)}
    if (counted := COUNTED.get((job["design"], job["size"]))) and (job["steps"], job["tiny"]) == (24, False):
        row["floor_s"] = round(counted / RATE, 3)
    if device.type == "cuda":
        row["peak_gib"] = round(torch.cuda.max_memory_allocated() / GIB, 2)
        row["reserved_gib"] = round(torch.cuda.max_memory_reserved() / GIB, 2)
    return row


def _seconds(run: Any) -> float:
    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else "CPU"


def _components(plan: memory.MemoryPlan, device: torch.device, job: dict[str, Any]) -> Components:
    """Random weights; a quantised transformer is made on the device and quantised there, the rest where it rests."""
    quantised = None
    if plan.quantization != "none":
        shape = tiny_design(job["design"]).transformer if job["tiny"] else None
        with torch.device("meta"):
            quantised = build_transformer(shape) if shape else full_components(lora_rank=0).transformer
        quantised = _quantise(filled(quantised.to(torch.bfloat16), device), plan.quantization).to("cpu")
    if job["tiny"]:
        return _tiny_components(quantised, job["design"])
    with torch.device("meta"):
        components = full_components(lora_rank=0, transformer=quantised, name=job["design"])
    for part in vars(components).values():
        if isinstance(part, nn.Module) and part is not quantised:
            filled(part, device if plan.placement == "resident" else torch.device("cpu"))
    add_lora(components.transformer, LORA_RANK)
    return components


def _tiny_components(quantised: Any, name: str) -> Components:
    components = tiny(name)
    if quantised is not None:
        components.adapter.attach(quantised)
        components.transformer = quantised
    for part in vars(components).values():
        if isinstance(part, nn.Module) and part is not quantised:
            part.to(torch.bfloat16)
    add_lora(components.transformer, 2)
    return components


@torch.no_grad()
def filled(module: Any, device: torch.device) -> Any:
    """A module on meta becomes one on the device with small random weights, fast: they repeat themselves."""
    module.to_empty(device=device)
    pool = torch.randn(POOL, device=device) * 0.02
    for parameter in module.parameters():
        flat = parameter.view(-1)
        for begin in range(0, flat.numel(), POOL):
            piece = flat[begin : begin + POOL]
            piece.copy_(pool[: piece.numel()])
    blocks = itertools.count()
    for name, buffer in module.named_buffers():
        if name.endswith("block_index"):
            buffer.fill_(next(blocks))
            continue
        if not name.endswith("position_ids"):
            raise ValueError(f"do not know what {name} holds")
        buffer.copy_(torch.arange(buffer.shape[-1], device=device).expand(buffer.shape))
    return module.eval()


def _quantise(transformer: Any, kind: str) -> Any:
    """As loading with `memory.quantization_config(kind)` does, for a transformer that comes from no file."""
    if kind == "int8":
        from torchao.quantization import Int8WeightOnlyConfig, quantize_

        quantize_(transformer, Int8WeightOnlyConfig(), lambda module, name: is_quantised(module, name, kind))
    else:
        _to_nf4(transformer)
    transformer.is_quantized = True
    return transformer


def _to_nf4(transformer: Any) -> None:
    from bitsandbytes.nn import Linear4bit, Params4bit

    for name, old in list(transformer.named_modules()):
        if not is_quantised(old, name, "nf4"):
            continue
        new = Linear4bit(old.in_features, old.out_features, old.bias is not None, torch.bfloat16, False, "nf4")
        new.weight = Params4bit(old.weight.data.cpu(), False, compress_statistics=False, quant_type="nf4", module=new)
        new.bias = old.bias
        transformer.set_submodule(name, new.to(old.weight.device))
    transformer.is_loaded_in_4bit = True  # peft asks


if __name__ == "__main__":
    main()
