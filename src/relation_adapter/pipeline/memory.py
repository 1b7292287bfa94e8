"""Which part of a large model is on the GPU, and when: plans for cards of 80 to 12 GiB, and quantised bases."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

from relation_adapter.errors import MissingExtraError, UsageError

Placement = Literal["resident", "freed", "model", "group"]
Quantization = Literal["none", "int8", "nf4"]


@dataclass(frozen=True)
class MemoryPlan:
    """What to do with `gib` GiB of GPU memory.

    placement: `resident`, all parts stay on the GPU; `freed`, transformer and VAE stay, every encoder comes for its
    turn and leaves; `model`, the transformer has its turn too; `group`, the transformer's blocks are streamed, one
    running while the next arrives. quantization: of the base transformer; adapter and LoRA keep their type.
    """

    gib: int
    placement: Placement
    quantization: Quantization


PLANS: dict[int, MemoryPlan] = {
    80: MemoryPlan(80, "resident", "none"),
    40: MemoryPlan(40, "freed", "none"),
    24: MemoryPlan(24, "group", "none"),
    16: MemoryPlan(16, "model", "int8"),
    12: MemoryPlan(12, "model", "nf4"),
}

# GiB at full size, see docs/memory.md: the base, what always lies beside it, the largest encoder, all encoders.
_BASE = {"none": 22.2, "int8": 11.2, "nf4": 6.4}
_BESIDE = 3.2
_LARGEST_ENCODER = 8.9
_ALL_ENCODERS = 14.8
# GiB that a card must really have to be given a plan: cards fall a little short of their names.
_LEAST = {80: 44.0, 40: 35.0, 24: 20.0, 16: 15.0, 12: 0.0}

# The first and last layers are small, and what they round goes straight into the picture.
KEPT = ["x_embedder", "context_embedder", "time_text_embed", "norm_out", "proj_out"]


def plan_for(gib: int | None, quantization: str | None = None) -> MemoryPlan:
    """The plan for a preset of `gib` GiB; None: everything stays on the device.

    quantization: in place of the preset's own; the placement follows from what then fits.

    Raises:
        UsageError: no such preset or quantisation.
    """
    if gib is not None and gib not in PLANS:
        raise UsageError(f"memory {gib} is no preset; give {', '.join(map(str, PLANS))}")
    if quantization not in (None, *get_args(Quantization)):
        raise UsageError(f"quantization {quantization!r} is unknown; give {', '.join(get_args(Quantization))}")
    kind: Any = quantization or (PLANS[gib].quantization if gib else "none")
    if gib is None:
        return MemoryPlan(max(PLANS), "resident", kind)
    return MemoryPlan(gib, _placement(gib, kind), kind)


def plan_for_device(total_bytes: int) -> MemoryPlan:
    """The fastest plan that fits a GPU of this size."""
    gib = total_bytes / 2**30
    return PLANS[next(preset for preset, least in _LEAST.items() if gib >= least)]


def _placement(gib: int, quantization: str) -> Placement:
    base = _BASE[quantization] + _BESIDE
    if base + _ALL_ENCODERS <= gib:
        return "resident"
    if base + _LARGEST_ENCODER <= gib:
        return "freed"
    return "model" if base <= gib else "group"


def quantization_config(name: str | None, dtype: torch.dtype = torch.bfloat16) -> Any | None:
    """What `FluxTransformer2DModel.from_pretrained(..., quantization_config=)` wants; None for None and "none".

    dtype: that the transformer computes in.

    Raises:
        UsageError: no such quantisation.
        MissingExtraError: its package is not installed.
    """
    if name in (None, "none"):
        return None
    if name == "int8":
        _need("torchao")
        from diffusers import TorchAoConfig
        from torchao.quantization import Int8WeightOnlyConfig

        return TorchAoConfig(Int8WeightOnlyConfig(), modules_to_not_convert=list(KEPT))
    if name == "nf4":
        _need("bitsandbytes")
        from diffusers import BitsAndBytesConfig

        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=list(KEPT),
        )
    raise UsageError(f"quantization {name!r} is unknown; give {', '.join(get_args(Quantization))}")


def _need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(f"{package} is not installed; pip install 'relation-adapter[quant]'")


def place(pipe: Any, plan: MemoryPlan, device: torch.device | str) -> None:
    """Put the parts of a pipeline where the plan wants them; load LoRAs and quantised weights before."""
    if plan.placement != "resident":
        raise NotImplementedError(plan.placement)
    pipe.to(device)
