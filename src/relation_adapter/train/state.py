"""Everything a run needs to go on, in one file that is whole or not there.

Weights, their running average and the optimisers' moments; randomness and the place in the data are functions of the
step, so the step is all that is kept of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from relation_adapter.config import to_dict
from relation_adapter.errors import InputError, UsageError, WeightsError
from relation_adapter.files import reason, writing_whole
from relation_adapter.model.components import Components
from relation_adapter.train.presets import TrainConfig

STATE_NAME = "state.safetensors"
MUON_PARTS = ("transformer.transformer_blocks.", "transformer.single_transformer_blocks.", "adapter.projector.layers.")


class TrainState:
    """Trained parameters with their optimisers and their running average."""

    def __init__(self, components: Components, config: TrainConfig) -> None:
        self.config = config
        self.parameters: dict[str, nn.Parameter] = {
            f"{part}.{name}": parameter
            for part in ("transformer", "adapter")
            for name, parameter in getattr(components, part).named_parameters()
        }
        self.optimizers = build_optimizers(self.parameters, config)
        self.ema = EMAModel(self.parameters.values(), decay=config.ema, use_ema_warmup=True, power=0.75)
        self.step = 0

    def save(self, folder: Path) -> None:
        """Write `folder/state.safetensors` over the last one. Raises InputError when the disk refuses."""
        metadata = {"step": str(self.step), "config": json.dumps(to_dict(self.config))}
        try:
            with writing_whole(folder / STATE_NAME) as part:
                save_file(self._tensors(), part, metadata)
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"{folder / STATE_NAME}: cannot be written ({reason(error)}); the last state is safe: free some space "
                "and run the same again"
            ) from error

    def load(self, folder: Path) -> None:
        """Go on from `folder/state.safetensors`.

        Raises:
            WeightsError: the file cannot be read. UsageError: it is of a run with other settings.
        """
        path = folder / STATE_NAME
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                _check_same_run(self.config, json.loads(metadata["config"]), folder)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            self.step = self.ema.optimization_step = int(metadata["step"])
            self._take(tensors)
        except UsageError:
            raise
        except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
            raise WeightsError(f"{path}: not a training state ({reason(error)}); choose another run folder") from error

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"weights.{name}": parameter.detach() for name, parameter in self.parameters.items()}
        tensors |= {f"ema.{name}": shadow for name, shadow in zip(self.parameters, self.ema.shadow_params, strict=True)}
        names: dict[Tensor, str] = {parameter: name for name, parameter in self.parameters.items()}
        for optimizer in self.optimizers:
            for parameter, moments in optimizer.state.items():
                tensors |= {f"moments.{names[parameter]}:{key}": value for key, value in moments.items()}
        return {name: tensor.contiguous() for name, tensor in tensors.items()}

    def _take(self, tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for (name, parameter), shadow in zip(self.parameters.items(), self.ema.shadow_params, strict=True):
                parameter.copy_(tensors[f"weights.{name}"])
                shadow.copy_(tensors[f"ema.{name}"])
        owners = {p: optimizer for optimizer in self.optimizers for g in optimizer.param_groups for p in g["params"]}
        for key, value in tensors.items():
            kind, _, rest = key.partition(".")
            if kind == "moments":
                name, _, moment = rest.rpartition(":")
                owners[self.parameters[name]].state[self.parameters[name]][moment] = value


def build_optimizers(parameters: Mapping[str, nn.Parameter], config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW for all, or Muon (Jordan 2024) for the matrices inside blocks and AdamW for the rest."""
    inside = {n: p for n, p in parameters.items() if config.optimizer == "muon" and _is_inner_matrix(n, p)}
    rest = [p for n, p in parameters.items() if n not in inside]
    optimizers: list[torch.optim.Optimizer] = []
    if inside:
        optimizers.append(
            torch.optim.Muon(
                list(inside.values()),
                lr=config.learning_rate,
                weight_decay=config.weight_decay,
                adjust_lr_fn="match_rms_adamw",  # one learning rate fits both optimisers
            )
        )
    optimizers.append(
        torch.optim.AdamW(rest, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay)
    )
    return optimizers


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, constant, then a linear fall to zero over the last `decay` share of the steps."""
    rise = min(1.0, (step + 1) / max(1, config.warmup))
    fall = min(1.0, (config.steps - step) / max(1.0, config.decay * config.steps))
    return config.learning_rate * min(rise, fall)


def _is_inner_matrix(name: str, parameter: nn.Parameter) -> bool:
    # Modulation matrices (norm*.linear) read one vector a picture; orthogonal steps are for matrices that tokens pass.
    return parameter.ndim == 2 and name.startswith(MUON_PARTS) and ".norm" not in name


def _check_same_run(config: TrainConfig, saved: dict[str, Any], folder: Path) -> None:
    asked = to_dict(config)
    for key, value in asked.items():
        if key not in config.FREE and saved.get(key) != value:
            raise UsageError(
                f"{folder} holds a run with {key}={_short(saved.get(key), value)}, not "
                f"{_short(value, saved.get(key))}; "
                "choose another --run folder, or the same settings to go on"
            )


def _short(value: Any, other: Any) -> Any:
    """Of two nested settings only the fields that differ."""
    if isinstance(value, dict) and isinstance(other, dict):
        return {key: _short(item, other.get(key)) for key, item in value.items() if item != other.get(key)}
    return value
