"""What a training step takes at the full size of FLUX.1-dev: counted without a GPU, or measured on the one at hand.

    python benchmarks/train_full.py --count                  memory by part, of fake tensors; a minute a row, no weights
    python benchmarks/train_full.py [--out train_rows.jsonl] samples/s and peak GiB with random weights, on a GPU
    python benchmarks/train_full.py --tiny                   the same with the tiny twin, on any machine

A row is a script of `recipes/`, as one of its GPUs has it. Measured rows are made in processes of their own and
appended; rows that are there already are not made again, so a broken run goes on with the same command. Features are
given as a cache gives them, so no encoder is in memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from full_model import quantised_transformer
from full_size import GIB, _name, filled
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from relation_adapter.config import MODELS, override
from relation_adapter.data.cached import FeatureBatch
from relation_adapter.model.components import Components, build_adapter, build_transformer, tiny_design
from relation_adapter.model.lora import add_lora
from relation_adapter.train.loss import flow_errors
from relation_adapter.train.optimizers import build_optimizers
from relation_adapter.train.parts import choose
from relation_adapter.train.presets import PRESETS, TrainConfig

WARM, STEPS = 2, 5
LATENT = 8  # px of a picture behind a latent
MOMENTS = {"adamw": 8, "adamw8bit": 2}  # bytes a weight


@dataclass(frozen=True)
class Way:
    """How one GPU trains. preset: of `train`. samples: at once. side: px of a square picture."""

    name: str
    preset: str
    samples: int
    settings: tuple[str, ...] = ()
    side: int = 512


WAYS = (
    Way("train-1x24", "flux-published", 1, ("quantization=nf4", "optimizer=adamw8bit", "trains=lora")),
    Way("train-1x80", "flux-directed", 4, ("optimizer=adamw8bit",)),
    Way("train-8x80", "flux-directed", 2),
    Way("train-hosts", "flux-directed", 2),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--ways", help="names, by commas; all")
    parser.add_argument("--out", type=Path, default=Path("train_rows.jsonl"))
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(measure(next(way for way in WAYS if way.name == options.job), options.tiny)))
        return
    names = options.ways.split(",") if options.ways else [way.name for way in WAYS]
    ways = [way for way in WAYS if way.name in names]
    if options.count:
        print("| way | frozen | trained | moments | gradients and activations | GiB |\n|---|---|---|---|---|---|")
        for way in ways:
            print(told(count(way, options.tiny)), flush=True)
        return
    done = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    for way in ways:
        if not any((row["way"], row["tiny"]) == (way.name, options.tiny) and "error" not in row for row in done):
            row = _in_a_process(way, options.tiny)
            with options.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


def config_of(way: Way, is_tiny: bool) -> TrainConfig:
    config = override(PRESETS[way.preset], list(way.settings))
    # The null in place of the instruction: whether a quad has one cannot be asked of a fake tensor.
    config = replace(config, model=replace(config.model, text=MODELS["directed"].text))
    if not is_tiny:
        return config
    small = replace(tiny_design(config.model.name), base=config.model.base, text=config.model.text)
    return replace(config, model=small, lora_rank=2, quantization=None, optimizer="adamw")


class Living(TorchDispatchMode):
    """Counts the bytes of all tensors made inside of it that are still there, and the most that ever were.

    known: tensors that are not counted, whatever looks at them.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self.seen = WeakIdKeyDictionary()
        for tensor in known:
            self.seen[tensor.untyped_storage()] = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **kwargs or {})
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage()) not in self.seen:
                self.seen[storage] = True
                self._add(storage.nbytes())
                weakref.finalize(storage, self._add, -storage.nbytes())
        return made

    def _add(self, count: int) -> None:
        self.now += count
        self.peak = max(self.peak, self.now)


def count(way: Way, is_tiny: bool) -> dict[str, float]:
    """Bytes by part; of the forward and backward pass the peak, seen on tensors that hold nothing."""
    config = config_of(way, is_tiny)
    components = parts_of(config)
    with FakeTensorMode():
        _pretend(components.transformer)
        _pretend(components.adapter)
        parameters = [*components.transformer.parameters(), *components.adapter.parameters()]
        trained = [p for p in parameters if p.requires_grad]
        weights, learned = (sum(p.nbytes for p in some) for some in (parameters, trained))
        batch = features(config, way, torch.device("cpu"))
        with Living([*parameters, batch.before, batch.after, batch.source, batch.target]) as living:
            loss(components, batch, config).backward()
    moments = sum(p.numel() for p in trained) * MOMENTS[config.optimizer]
    found = {"weights": weights - learned, "trained": learned, "moments": moments}
    return found | {
        "step": living.peak,
        "total": weights + moments + living.peak,
        "name": way.name,
        "samples": way.samples,
    }


def told(found: dict[str, Any]) -> str:
    cells = (found[key] / GIB for key in ("weights", "trained", "moments", "step", "total"))
    return " | ".join([f"| {found['name']}, {found['samples']} at once", *(f"{cell:.1f}" for cell in cells)]) + " |"


def measure(way: Way, is_tiny: bool) -> dict[str, Any]:
    """One GPU's row: seconds a step, samples/s, peak GiB."""
    config = config_of(way, is_tiny)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    components = parts_of(config, device)
    named = {f"transformer.{n}": p for n, p in components.transformer.named_parameters() if p.requires_grad}
    named |= {f"adapter.{n}": p for n, p in components.adapter.named_parameters() if p.requires_grad}
    optimizers = build_optimizers(named, config)
    batch = features(config, way, device)
    for step in range(WARM + STEPS):
        if step == WARM:
            _settled(device)
            start = time.perf_counter()
        loss(components, batch, config).backward()
        nn.utils.clip_grad_norm_(named.values(), config.clip)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    _settled(device)
    seconds = (time.perf_counter() - start) / STEPS
    row = {
        "way": way.name,
        "tiny": is_tiny,
        "device": _name(device),
        "torch": torch.__version__,
        "samples": way.samples,
    }
    row |= {"step_s": round(seconds, 4), "samples_per_s": round(way.samples / seconds, 3)}
    if device.type == "cuda":
        row["peak_gib"] = round(torch.cuda.max_memory_allocated() / GIB, 2)
    return row


def parts_of(config: TrainConfig, device: torch.device | None = None) -> Components:
    """Transformer with LoRA and adapter as `train.begin` leaves them: random weights on the device, else on meta."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            shape, kind = config.model.transformer, config.quantization
            transformer = quantised_transformer(kind) if kind else build_transformer(shape)
        if device is not None:
            filled(transformer, device)
        with torch.device(device or "meta"):
            adapter = build_adapter(config.model, 0)
            adapter.attach(transformer)
            add_lora(transformer, config.lora_rank)
    finally:
        torch.set_default_dtype(before)
    components = Components(transformer, adapter, scheduler=None)  # training never asks for it
    choose(components, config.trains)
    if config.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()
    transformer.train()
    return components


def _pretend(module: nn.Module) -> None:
    """Parameters on meta become fake ones on the CPU, where autocast and attention are as on a GPU."""
    for part in module.modules():
        for name, value in [*part.named_parameters(recurse=False)]:
            fake = torch.empty(value.shape, dtype=value.dtype)
            setattr(part, name, nn.Parameter(fake, requires_grad=value.requires_grad))
        for name, buffer in [*part.named_buffers(recurse=False)]:
            part.register_buffer(name, torch.empty(buffer.shape, dtype=buffer.dtype), persistent=False)


def features(config: TrainConfig, way: Way, device: torch.device) -> FeatureBatch:
    """Noise in the shapes that a cache gives."""
    design, side = config.model, way.side // LATENT
    channels = design.transformer.in_channels // 4
    pieces = 1 if design.image_features == "siglip_pooled" else (design.exemplar_size // 14) ** 2
    pair = torch.randn(2, way.samples, 1, pieces, design.feature_dim, device=device, dtype=torch.bfloat16)
    latents = torch.rand(2, way.samples, 2, channels, side, side, device=device, dtype=torch.bfloat16)
    return FeatureBatch(pair[0], pair[1], latents[0], latents[1])


def loss(components: Components, batch: FeatureBatch, config: TrainConfig) -> Tensor:
    device = batch.source.device
    with torch.autocast(device.type, torch.bfloat16):
        t = torch.full((len(batch),), 0.5, device=device)
        return flow_errors(
            components, batch, t, lambda shape: torch.randn(shape, device=device), config.guidance
        ).mean()


def _settled(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _in_a_process(way: Way, is_tiny: bool) -> dict[str, Any]:
    command = [sys.executable, __file__, "--job", way.name, *(["--tiny"] if is_tiny else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    return {"way": way.name, "tiny": is_tiny, "error": (done.stderr.strip().splitlines() or ["killed"])[-1][:500]}


if __name__ == "__main__":
    main()
