"""Optimisers and learning rates, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from diffusers.optimization import SchedulerType, get_scheduler
from torch import nn

from relation_adapter.errors import MissingExtraError, UsageError
from relation_adapter.train.presets import Part, TrainConfig

MUON_PARTS = ("transformer.transformer_blocks.", "transformer.single_transformer_blocks.", "adapter.projector.layers.")
SCHEDULES = ("linear", *(one.value for one in SchedulerType if one.value not in ("linear", "piecewise_constant")))


def build_optimizers(parameters: Mapping[str, nn.Parameter], config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW for all, or Muon (Jordan 2024) for the matrices inside blocks and AdamW for the rest.

    Raises UsageError on an unknown schedule, MissingExtraError where 8-bit AdamW is not installed.
    """
    rate_factor(config, 0)
    inside = {n: p for n, p in parameters.items() if config.optimizer == "muon" and _is_inner_matrix(n, p)}
    rest = {n: p for n, p in parameters.items() if n not in inside}
    optimizers: list[torch.optim.Optimizer] = []
    if inside:
        # One learning rate fits both optimisers.
        muon = torch.optim.Muon(
            _groups(inside, config), weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"
        )
        optimizers.append(muon)
    if rest:
        make = _adamw_8bit if config.optimizer == "adamw8bit" else _adamw
        optimizers.append(make(_groups(rest, config), betas=config.betas, weight_decay=config.weight_decay))
    return optimizers


def set_rates(optimizers: Sequence[Any], config: TrainConfig, step: int) -> None:
    """Give every group its learning rate for a step."""
    factor = rate_factor(config, step)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["full_rate"] * factor


def learning_rate(config: TrainConfig, step: int) -> float:
    """Of all parts that have no rate of their own in `rates`."""
    return config.learning_rate * rate_factor(config, step)


def rate_factor(config: TrainConfig, step: int) -> float:
    """The share of the full learning rate that a step has, in [0, 1].

    linear: a linear warm-up, constant, then a linear fall to zero over the last `decay` share of the steps. Any other
    name: as diffusers' `get_scheduler` has it, with `warmup`. Raises UsageError on a name that it does not have.
    """
    if config.schedule != "linear":
        return _schedule(config.schedule, config.warmup, config.steps)(step)
    rise = min(1.0, (step + 1) / max(1, config.warmup))
    fall = min(1.0, (config.steps - step) / max(1.0, config.decay * config.steps))
    return min(rise, fall)


@lru_cache(maxsize=8)
def _schedule(name: str, warmup: int, steps: int) -> Callable[[int], float]:
    if name not in SCHEDULES:
        raise UsageError(f"schedule={name}: there is no such schedule; choose of {', '.join(SCHEDULES)}")
    unused = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=1.0)
    factor: Callable[[int], float] = get_scheduler(
        name, unused, num_warmup_steps=warmup, num_training_steps=steps
    ).lr_lambdas[0]
    return factor


def part_of(name: str) -> Part:
    """Which of the parts of `trains` a parameter belongs to, by its name in `trained_parameters`."""
    if name.startswith("transformer."):
        return "lora" if ".lora_" in name else "transformer"
    return "keys_values" if name.startswith(("adapter.to_k.", "adapter.to_v.")) else "projector"


def _groups(parameters: Mapping[str, nn.Parameter], config: TrainConfig) -> list[dict[str, Any]]:
    parts: dict[Part, list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        parts.setdefault(part_of(name), []).append(parameter)
    rates = {part: config.rates.get(part, config.learning_rate) for part in parts}
    return [{"params": parts[part], "lr": rates[part], "full_rate": rates[part]} for part in parts]


def _adamw(groups: list[dict[str, Any]], **settings: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, fused=True, **settings)


def _adamw_8bit(groups: list[dict[str, Any]], **settings: Any) -> torch.optim.Optimizer:
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise MissingExtraError("bitsandbytes is not installed; pip install 'relation-adapter[quant]'") from error
    optimizer: torch.optim.Optimizer = AdamW8bit(groups, **settings)
    return optimizer


def _is_inner_matrix(name: str, parameter: nn.Parameter) -> bool:
    # Modulation matrices (norm*.linear) read one vector a picture; orthogonal steps are for matrices that tokens pass.
    return parameter.ndim == 2 and name.startswith(MUON_PARTS) and ".norm" not in name
