"""Peak GPU memory of every `--memory` preset for the published model at full size, counted without a GPU.

The meta device stands for the GPU: the real pipeline makes an edit with the real hooks, and every tensor that comes to
life or dies there is counted, rounded up as torch's allocator does. Not counted: what CUDA itself needs (about 0.5
GiB), work space inside kernels (convolutions of the VAE may take a few GiB where they are free), gaps in the allocator.

    python benchmarks/memory.py [--size 512 --size 1024] [--presets 80,40,24,16,12] [--quantize none|int8|nf4] [--json]
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch
from diffusers.utils import logging
from full_model import full_components, quantised_transformer
from PIL import Image
from pretend_gpu import GPU, PretendGPU, pretend_gpu
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from relation_adapter.pipeline import RelationPipeline, memory

GIB = 2**30


def counted(plan: memory.MemoryPlan, side: int) -> dict[str, Any]:
    """GiB on the device in one edit of a square picture, with a pair, an instruction and the published LoRA."""
    with torch.device(GPU):
        quantised = None if plan.quantization == "none" else quantised_transformer(plan.quantization)
        components = full_components(transformer=quantised)
    with pretend_gpu() as gpu, torch.no_grad():
        pipe = RelationPipeline.from_components(components)
        parts = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
        for part in parts.values():
            part.to("cpu")
        memory.place(pipe, plan, GPU)
        resting = gpu.live
        with _labelled(gpu, parts):
            pipe.set_progress_bar_config(disable=True)
            picture = Image.new("RGB", (side, side))
            pipe(picture, pairs=[(picture, picture)], instruction="a", num_inference_steps=2, size=(side, side))
    peaks = {name: round(peak / GIB, 2) for name, peak in gpu.peaks.items()}
    return {
        "preset": plan.gib,
        "placement": plan.placement,
        "quantization": plan.quantization,
        "side": side,
        "peak": round(gpu.peak / GIB, 2),
        "between_edits": round(resting / GIB, 2),
        "after": round(gpu.live / GIB, 2),
        "peaks": peaks,
    }


def _labelled(gpu: PretendGPU, parts: dict[str, nn.Module]) -> Any:
    """Until the handle is removed, the meter's label is the part that runs."""
    names = {id(child): name for name, part in parts.items() for child in part.modules()}

    def set_label(module: nn.Module, _: Any) -> None:
        gpu.label = names.get(id(module), gpu.label)

    return register_module_forward_pre_hook(set_label)


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown, a line per preset."""
    sides = sorted({row["side"] for row in rows})
    lines = [
        "| preset | placement | base | "
        + " | ".join(f"peak at {side} px" for side in sides)
        + " | between edits | fullest when |",
        "|---|---|---|" + "---|" * (len(sides) + 2),
    ]
    for key in dict.fromkeys((row["preset"], row["placement"], row["quantization"]) for row in rows):
        same = {row["side"]: row for row in rows if (row["preset"], row["placement"], row["quantization"]) == key}
        last = same[sides[-1]]
        fullest = max(last["peaks"], key=last["peaks"].__getitem__)
        peaks = " | ".join(f"{same[side]['peak']:.1f} GiB" for side in sides)
        lines.append(f"| {key[0]} | {key[1]} | {key[2]} | {peaks} | {last['between_edits']:.1f} GiB | {fullest} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, action="append", help="side of the picture, px (default: 512 and 1024)")
    parser.add_argument("--presets", default=",".join(map(str, memory.PLANS)))
    parser.add_argument("--quantize", help="in place of the preset's own")
    parser.add_argument("--json", action="store_true", help="rows in place of the table")
    options = parser.parse_args()
    logging.set_verbosity_error()
    plans = [memory.plan_for(int(preset), options.quantize) for preset in options.presets.split(",")]
    rows = [counted(plan, side) for plan in plans for side in options.size or (512, 1024)]
    print("\n".join(map(json.dumps, rows)) if options.json else table(rows))


if __name__ == "__main__":
    main()
