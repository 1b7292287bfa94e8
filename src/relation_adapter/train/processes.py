"""The processes of a run: one alone, or as many as `accelerate launch` starts, with what it is told of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import DistributedType
from torch import Tensor, nn

from relation_adapter.errors import UsageError
from relation_adapter.model.components import Components
from relation_adapter.train.presets import TrainConfig


class Trained(nn.Module):
    """Transformer and adapter as one module.

    Whatever is done with them is done inside `forward`: what spreads weights over processes brings them together for
    it, and sees what gradients are to be exchanged.

    sharded: no process has all of the weights.
    """

    def __init__(self, components: Components, sharded: bool = False) -> None:
        super().__init__()
        self.transformer, self.adapter = components.transformer, components.adapter
        self.components = components
        self.outputs: list[Tensor] = []
        if sharded:
            self.transformer.register_forward_hook(lambda _, given, output: self.outputs.append(output[0]))

    def forward(self, function: Callable[..., Any], *given: Any) -> Any:
        """What the function makes of the components; where gradients are wanted, a tensor."""
        self.outputs.clear()
        made = function(self.components, *given)
        if torch.is_grad_enabled():
            # Of a source that runs alone only keys and values are used. A gradient of zero for what its pass gives lets
            # every block gather its weights for the backward pass: the last one would not have them there.
            made = sum((0 * output.float().sum() for output in self.outputs), start=made)
        self.outputs.clear()
        return made


def make_accelerator(config: TrainConfig) -> Accelerator:
    """Of all GPUs that were launched for, else of the CPU.

    Its mixed precision stays off: what is computed in bfloat16 is the run's to say, see `loop`, and not the machine's.
    """
    unused = DistributedDataParallelKwargs(
        find_unused_parameters=True,  # a batch in which every quad has text leaves the learned null aside
        gradient_as_bucket_view=True,
        broadcast_buffers=False,
    )
    return Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="no",
        gradient_accumulation_steps=config.accumulate,
        kwargs_handlers=[unused],
    )


def prepare(
    accelerator: Accelerator, components: Components, optimizers: Sequence[Any], config: TrainConfig
) -> tuple[Any, list[Any]]:
    """The parts as one module, and their optimisers, over all processes. Raises UsageError where they cannot be."""
    for name, part in vars(components).items():
        if isinstance(part, nn.Module) and name not in ("transformer", "adapter"):  # encoders for instance
            part.to(accelerator.device)
    if accelerator.is_fsdp2 and config.optimizer == "adamw8bit":
        raise UsageError("optimizer=adamw8bit does not go with FSDP2; set optimizer=adamw, or launch with DDP")
    if uses_deepspeed(accelerator):
        _tell_deepspeed(accelerator.state.deepspeed_plugin, optimizers, config, accelerator.num_processes)
    model, *optimizers = accelerator.prepare(Trained(components, accelerator.is_fsdp2), *optimizers)
    return model, list(optimizers)


def uses_deepspeed(accelerator: Accelerator) -> bool:
    """Whether the processes were launched with DeepSpeed, which has a state of its own."""
    return bool(accelerator.distributed_type == DistributedType.DEEPSPEED)


def _tell_deepspeed(plugin: Any, optimizers: Sequence[Any], config: TrainConfig, processes: int) -> None:
    """What the run decides, whatever DeepSpeed's own file says."""
    if plugin.zero_stage == 3:
        raise UsageError("DeepSpeed's stage 3 is not supported; take stage 2, or FSDP2 to spread the weights as well")
    if len(optimizers) > 1:
        raise UsageError("optimizer=muon does not go with DeepSpeed; set optimizer=adamw, or launch with DDP or FSDP2")
    plugin.deepspeed_config |= {
        "train_batch_size": config.batch,
        "train_micro_batch_size_per_gpu": config.batch // (processes * config.accumulate),
        "gradient_accumulation_steps": config.accumulate,
        "gradient_clipping": config.clip,
        "zero_allow_untested_optimizer": True,
    }


def any_process(accelerator: Accelerator, flag: bool) -> bool:
    """Whether the flag is set in any process; each of them asks, and gets the same answer."""
    if accelerator.num_processes == 1:
        return flag
    return bool(accelerator.reduce(torch.tensor(float(flag), device=accelerator.device)).item())
