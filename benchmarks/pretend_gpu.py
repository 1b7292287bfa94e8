"""A GPU without a GPU: the meta device, which has shapes but no memory, and a meter of what lives on it."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from diffusers.hooks import group_offloading
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from relation_adapter.pipeline import memory

GPU = torch.device("meta")
ROUND = 512  # bytes: the smallest piece that torch's CUDA allocator gives


class PretendGPU(TorchDispatchMode):
    """Counts what lives on the meta device; tensors that leave it are zeros without memory.

    live, peak: bytes. peaks: the highest `live` while each label was set.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self.label = "start"
        self.peaks: Counter[str] = Counter()
        self._seen: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = self._run(func, args, kwargs or {})
        for tensor in tree_flatten(out)[0]:
            if isinstance(tensor, Tensor) and tensor.device == GPU:
                self._count(tensor.untyped_storage())
        return out

    def _run(self, func: Any, args: Any, kwargs: Any) -> Any:
        aten = torch.ops.aten
        if func is aten._to_copy.default and kwargs.get("device") is not None:
            source, dtype = args[0], kwargs.get("dtype") or args[0].dtype
            if torch.device(kwargs["device"]) == GPU:
                return torch.empty(source.shape, dtype=dtype, device=GPU)
            if source.device == GPU:
                return torch.zeros((), dtype=dtype).expand(source.shape)
        if func is aten._local_scalar_dense.default and args[0].device == GPU:
            return 1  # whatever is asked of the values: yes
        return func(*args, **kwargs)

    def _count(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._seen:
            return
        size = -(-storage.nbytes() // ROUND) * ROUND
        self.live += size
        self.peak = max(self.peak, self.live)
        self.peaks[self.label] = max(self.peaks[self.label], self.live)
        self._seen[key] = weakref.ref(storage, partial(self._died, key, size))

    def _died(self, key: int, size: int, _: Any) -> None:
        self.live -= size
        del self._seen[key]


@contextmanager
def pretend_gpu() -> Iterator[PretendGPU]:
    """The meter, and stand-ins for what a GPU does in one kernel or on a stream of its own."""
    with ExitStack() as stack:
        functional = torch.nn.functional
        stack.enter_context(patch.object(functional, "scaled_dot_product_attention", _flash_attention))
        stack.enter_context(patch.object(functional, "rms_norm", _fused_rms_norm))
        stack.enter_context(patch.object(group_offloading, "TorchDeviceBackend", _Backend))
        # Tensors of two kinds of device cannot trade their data, but can be swapped, as is done for torchao's.
        for name, new in (("is", lambda _: True), ("swap", _swap), ("restore", _swap), ("record_stream", _nothing)):
            stack.enter_context(patch.object(group_offloading, f"_{name}_torchao_tensor", new))
        to_host = staticmethod(lambda tensor, _: tensor.detach().cpu())
        stack.enter_context(patch.object(group_offloading.ModuleGroup, "_to_cpu", to_host))
        stack.enter_context(patch.object(Tensor, "is_pinned", lambda self: True))
        stack.enter_context(patch.object(memory, "has_streams", lambda device: True))
        yield stack.enter_context(PretendGPU())


class _Backend:
    """The streams of a device that has none."""

    def __init__(self, device: Any = None) -> None:
        self.stream: Callable[..., Any] = lambda _: nullcontext()

    def synchronize(self) -> None: ...

    Stream = current_stream = lambda self: self


def _nothing(*_: Any) -> None: ...


def _swap(parameter: Tensor, source: Tensor) -> None:
    torch.utils.swap_tensors(parameter, nn.Parameter(source.detach(), requires_grad=False))


def _flash_attention(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Output and log-sum-exp, as flash and memory-efficient attention allocate them."""
    log_sum = query.new_empty(query.shape[:-1], dtype=torch.float32)
    out = query.new_empty(*query.shape[:-1], value.shape[-1])
    del log_sum
    return out


def _fused_rms_norm(x: Tensor, shape: Any, weight: Any = None, eps: Any = None) -> Tensor:
    return torch.empty_like(x)
