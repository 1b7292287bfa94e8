"""Which part of a large model is on the GPU, and when: plans for cards of 80 to 12 GiB, and quantised bases."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, Literal, get_args

import psutil
import torch
from accelerate.hooks import CpuOffload, add_hook_to_module
from accelerate.utils import send_to_device
from accelerate.utils.memory import clear_device_cache
from diffusers.hooks import apply_group_offloading
from torch import nn

from relation_adapter.errors import MissingExtraError, UsageError

Placement = Literal["resident", "freed", "model", "group"]
Quantization = Literal["none", "int8", "nf4"]


CPU = torch.device("cpu")


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

# GiB at full size, from docs/memory.md: the base, and what every placement needs beside it, with a GiB to spare.
_BASE = {"none": 22.2, "int8": 11.2, "nf4": 6.4}
_BESIDE: dict[Placement, float] = {"resident": 19.5, "freed": 11.3, "model": 3.2}
# GiB that a card must really have to be given a plan; cards fall a little short of their names.
_LEAST = {80: 43.0, 40: 34.0, 24: 20.0, 16: 14.5, 12: 0.0}

# The first and last layers are small, and what they round goes straight into the picture. The very last, proj_out, can
# be told from the layers of the same name inside the blocks by torchao alone.
KEPT = ["x_embedder", "context_embedder", "time_text_embed", "norm_out"]
LAST = "proj_out.weight"


def plan_for(gib: int | None, quantization: str | None = None) -> MemoryPlan:
    """The plan for a preset of `gib` GiB; None: everything stays on the device.

    quantization: in place of the preset's own; the placement follows from what then fits.

    Raises:
        UsageError: no such preset or quantisation.
    """
    if gib is not None and gib not in PLANS:
        raise UsageError(f"memory {gib} is no preset; give {', '.join(map(str, PLANS))}")
    _check_quantization(quantization)
    kind: Any = quantization or (PLANS[gib].quantization if gib else "none")
    if gib is None:
        return MemoryPlan(max(PLANS), "resident", kind)
    return MemoryPlan(gib, _placement(gib, kind), kind)


def plan_for_device(total_bytes: int) -> MemoryPlan:
    """The fastest plan that fits a GPU of this size."""
    gib = total_bytes / 2**30
    return PLANS[next(preset for preset, least in _LEAST.items() if gib >= least)]


def _placement(gib: int, quantization: str) -> Placement:
    """The fastest that fits; a streamed transformer always does."""
    fitting = (placement for placement, beside in _BESIDE.items() if _BASE[quantization] + beside <= gib)
    return next(fitting, "group")


def quantization_config(name: str | None, dtype: torch.dtype = torch.bfloat16) -> Any | None:
    """What `FluxTransformer2DModel.from_pretrained(..., quantization_config=)` wants; None for None and "none".

    dtype: that the transformer computes in.

    Raises:
        UsageError: no such quantisation, or one that needs a GPU where there is none.
        MissingExtraError: its package is not installed.
    """
    _check_quantization(name)
    if name in (None, "none"):
        return None
    if name == "int8":
        _need("torchao")
        from diffusers import TorchAoConfig
        from torchao.quantization import Int8WeightOnlyConfig

        return TorchAoConfig(Int8WeightOnlyConfig(), modules_to_not_convert=[*KEPT, LAST])
    _need("bitsandbytes")
    if not torch.accelerator.is_available():
        raise UsageError("nf4 weights can only be loaded with a GPU, and there is none; use int8 or none")
    from diffusers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=list(KEPT),
    )


def _check_quantization(name: str | None) -> None:
    if name not in (None, *get_args(Quantization)):
        raise UsageError(f"quantization {name!r} is unknown; give {', '.join(get_args(Quantization))}")


def _need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(f"{package} is not installed; pip install 'relation-adapter[quant]'")


def place(pipe: Any, plan: MemoryPlan, device: torch.device | str | None = None) -> None:
    """Put the parts of a pipeline where the plan wants them; a second call puts them elsewhere.

    Quantised weights and LoRAs are loaded before; a LoRA that comes later finds its place too. device: default the
    first GPU, or the CPU where there is none.
    """
    target = _device(device)
    _undo(pipe)
    if plan.gib <= 40 and not getattr(pipe.vae, "use_tiling", True):
        pipe.vae.enable_tiling()  # in tiles of 1024 px, so only larger pictures are decoded otherwise than before
        pipe._tiles_by_plan = True
    pipe._placed = (plan, target)
    if plan.placement == "resident":
        pipe.to(target)
        return
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
    staying = {"freed": {"transformer", "vae"}, "model": set(), "group": {"vae", "transformer"}}[plan.placement]
    guests = [part for name, part in parts.items() if name not in staying]
    for part in guests:
        _move(part, CPU)
    if plan.placement == "group" and "transformer" in parts:
        transformer = parts.pop("transformer")
        pipe._guests_leave = transformer.register_forward_pre_hook(lambda *_: _leave(guests))
        _stream_blocks(transformer, target)
    for part in parts.values():
        add_hook_to_module(part, _Turn(target, guests, part in guests))
        if part not in guests:
            _move(part, target)


def release(pipe: Any) -> None:
    """Send everything off the device that does not stay there between two calls, however the last one ended."""
    for part in pipe.components.values():
        hook = getattr(part, "_hf_hook", None)
        if isinstance(hook, _Turn) and hook.is_guest:
            _move(part, CPU)
    for block in pipe.transformer.modules() if pipe.transformer is not None else ():
        registry = getattr(block, "_diffusers_hook", None)
        streamed = registry and registry.get_hook("group_offloading")
        if streamed:  # an exception leaves the running block and the next one behind
            streamed.group.offload_()


class OffloadMixin:
    """Placement for a `DiffusionPipeline`: its own model offload, and an orderly end of every call."""

    _placed: tuple[MemoryPlan, torch.device] | None = None
    _guests_leave: Any = None
    _tiles_by_plan = False
    image_encoder: Any

    def enable_model_cpu_offload(self, gpu_id: int | None = None, device: torch.device | str | None = None) -> None:
        """As in diffusers, but every part leaves before any other comes, whatever the order of the calls.

        diffusers sends off only the part that stands before in a fixed chain, so that the 9.5 GB of T5 would still be
        there when the transformer comes. Without arguments an earlier placement is restored, as after loading a LoRA.
        """
        if gpu_id is None and device is None and self._placed is not None:
            place(self, *self._placed)
            return
        target = _device(device)
        place(
            self,
            MemoryPlan(max(PLANS), "model", "none"),
            target if gpu_id is None else torch.device(target.type, gpu_id),
        )

    def enable_group_offload(
        self,
        onload_device: torch.device | str,
        offload_device: torch.device | str = CPU,
        offload_type: str = "block_level",
        *args: Any,
        exclude_modules: str | list[str] | None = None,
        **options: Any,
    ) -> None:
        """As in diffusers, but by leaves SigLIP's head would stay behind: torch's attention reads a leaf's weights."""
        excluded = [exclude_modules] if isinstance(exclude_modules, str) else list(exclude_modules or [])
        apart = None if offload_type == "block_level" or "image_encoder" in excluded else self.image_encoder
        given = (torch.device(onload_device), torch.device(offload_device))
        excluded += ["image_encoder"] if apart is not None else []
        super().enable_group_offload(*given, offload_type, *args, exclude_modules=excluded, **options)  # type: ignore[misc]
        if apart is not None:
            options["num_blocks_per_group"] = 1
            apply_group_offloading(apart, *given, "block_level", **options)

    def maybe_free_model_hooks(self) -> None:
        """Runs at the end of every call, also of one that raised or was interrupted."""
        super().maybe_free_model_hooks()  # type: ignore[misc]
        release(self)


class _Turn(CpuOffload):
    """Brings a part to the device when it is called; the guests, all but itself, leave before."""

    def __init__(self, device: torch.device, guests: list[nn.Module], is_guest: bool) -> None:
        super().__init__(device)
        self.guests, self.is_guest = guests, is_guest

    def init_hook(self, module: nn.Module) -> nn.Module:
        return module

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        _leave([guest for guest in self.guests if guest is not module])
        _move(module, self.execution_device)
        return send_to_device(args, self.execution_device), send_to_device(kwargs, self.execution_device)


def _device(device: torch.device | str | None) -> torch.device:
    """With its number, as tensors report theirs."""
    found = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return torch.device("cuda", torch.cuda.current_device()) if found == torch.device("cuda") else found


def _undo(pipe: Any) -> None:
    pipe.remove_all_hooks()
    if pipe._guests_leave is not None:
        pipe._guests_leave.remove()
        pipe._guests_leave = None
    if pipe._tiles_by_plan:
        pipe.vae.disable_tiling()
        pipe._tiles_by_plan = False
    registry = getattr(pipe.transformer, "_diffusers_hook", None)
    for name in ("group_offloading", "layer_execution_tracker", "lazy_prefetch_group_offloading"):
        if registry is not None:
            registry.remove_hook(name, recurse=True)


def _leave(guests: list[nn.Module]) -> None:
    leaving = [guest for guest in guests if _move(guest, CPU)]
    if leaving:
        clear_device_cache()


def _move(part: nn.Module, device: torch.device) -> bool:
    """Whether it was elsewhere."""
    first = next(part.parameters(), None)
    if first is None or first.device == device:
        return False
    part.to(device)
    return True


def _stream_blocks(transformer: Any, device: torch.device) -> None:
    """One block runs while the next one arrives; on devices without streams, one after the other."""
    streams = has_streams(device)
    transformer.enable_group_offload(
        onload_device=device,
        offload_device=CPU,
        offload_type="block_level",
        num_blocks_per_group=1,
        use_stream=streams,
        record_stream=streams,
        # Pinned one by one on the way, unless there is room to keep all of them so. torchao's tensors must be kept:
        # diffusers would take the one that goes to the device for its copy on the host.
        low_cpu_mem_usage=streams and not getattr(transformer, "is_quantized", False) and not _can_pin(transformer),
    )


def has_streams(device: torch.device) -> bool:
    """Whether copies to the device can run beside its work."""
    return device.type in ("cuda", "xpu")


def _can_pin(module: nn.Module) -> bool:
    """Whether the host has room for a page-locked copy of all weights, made while the weights are there too.

    torch rounds each page-locked tensor up to a power of two, and Windows locks at most half of the memory.
    """
    pinned = sum(1 << (tensor.nbytes - 1).bit_length() for tensor in module.parameters() if tensor.nbytes)
    memory = psutil.virtual_memory()
    return pinned < min(0.9 * memory.available, memory.total / 2)
