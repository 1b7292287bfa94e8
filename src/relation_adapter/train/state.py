"""Everything a run needs to go on.

Weights, their running average and the optimisers' moments; randomness and the place in the data are functions of the
step, so the step is all that is kept of them. Tensors that are spread over processes are gathered to be saved and
spread again when they are read, so a run may go on with any number of processes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor

from relation_adapter.config import from_dict, to_dict
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.files import part_folder
from relation_adapter.model.components import Components
from relation_adapter.train.checkpoints import checkpoint_path, checkpoints, reading, set_aside, write_checkpoint
from relation_adapter.train.presets import TrainConfig

ENGINE_NAME = "deepspeed"  # what DeepSpeed keeps, beside the rest of a checkpoint


class TrainState:
    """Trained parameters with their optimisers and their running average.

    parameters: as `trained_parameters` gives them. optimizers: theirs. engine: DeepSpeed's, which keeps the moments.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        optimizers: Sequence[Any],
        config: TrainConfig,
        engine: Any = None,
    ) -> None:
        self.engine = engine
        self.parameters, self.optimizers, self.config = dict(parameters), list(optimizers), config
        self.step = 0
        self.ema: EMAModel | None = None
        if config.ema:
            self.ema = EMAModel(self.parameters.values(), decay=config.ema, use_ema_warmup=True, power=0.75)

    def save(self, folder: Path, main: bool = True) -> None:
        """Add a checkpoint to a run folder. Every process calls it; main: this is the one that writes.

        Raises InputError when the disk refuses.
        """
        if self.engine is not None:
            part = part_folder(checkpoint_path(folder, self.step))
            self.engine.save_checkpoint(part / ENGINE_NAME, tag=ENGINE_NAME, exclude_frozen_parameters=True)
        tensors = ((name, whole_tensor(tensor).cpu().contiguous()) for name, tensor in self._tensors())
        if not main:
            for _ in tensors:
                pass
            return
        metadata = {"step": str(self.step), "config": json.dumps(to_dict(self.config))}
        write_checkpoint(folder, self.step, tensors, metadata, self.config.keep)

    def load(self, folder: Path, main: bool = True, tell: Callable[[str], None] = lambda _: None) -> None:
        """Go on from the newest good checkpoint of a run folder, where it has one.

        Every process calls it; main: this is the one that sets damaged ones aside. tell: is given what is passed over.

        Raises:
            WeightsError: none of them can be read. UsageError: they are of a run with other settings.
        """
        found = checkpoints(folder)
        for number, path in enumerate(found):
            try:
                self._read(path)
            except WeightsError as error:
                tell(f"passed over: {error}")
            else:
                if main:
                    set_aside(found[:number])
                return
        if found:
            raise WeightsError(f"{found[0]}: not a training state, nor is any other there; choose another run folder")

    def _read(self, path: Path) -> None:
        with reading(path) as (metadata, files), torch.no_grad():
            _check_same_run(self.config, json.loads(metadata["config"]), path)
            if (path / ENGINE_NAME).exists() != (self.engine is not None):
                raise UsageError(f"{path}: go on with DeepSpeed where it was begun with it, and without where not")
            tensors = {name: files[name].get_tensor(name) for name in files}
            step = int(metadata["step"])
            for name, parameter in self.parameters.items():
                parameter.copy_(_spread(tensors[f"weights.{name}"], parameter))
            if self.ema is not None:
                for name, shadow in zip(self.parameters, self.ema.shadow_params, strict=True):
                    shadow.copy_(_spread(tensors[f"ema.{name}"], shadow))
                self.ema.optimization_step = step
            if self.engine is None:
                self._take_moments(tensors)
            else:
                self.engine.load_checkpoint(path / ENGINE_NAME, tag=ENGINE_NAME, load_module_strict=False)
            self.step = step

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All by name, as they lie in this process; a whole number becomes a tensor of one."""
        for name, parameter in self.parameters.items():
            yield f"weights.{name}", parameter.detach()
        if self.ema is not None:
            yield from ((f"ema.{n}", s) for n, s in zip(self.parameters, self.ema.shadow_params, strict=True))
        names = {parameter: name for name, parameter in self.parameters.items()}
        for optimizer in self.optimizers if self.engine is None else ():
            for parameter, moments in optimizer.state.items():
                for key, value in moments.items():
                    moment = torch.as_tensor(value)
                    # Copied where it may be shared: 8-bit optimisers have one table for all.
                    own = moment.shape == parameter.shape
                    yield f"moments.{names[parameter]}:{key}", moment if own else moment.clone()

    def _take_moments(self, tensors: Mapping[str, Tensor]) -> None:
        moments: dict[str, dict[str, Any]] = {}
        for key, value in tensors.items():
            if key.startswith("moments."):
                name, _, moment = key.removeprefix("moments.").rpartition(":")
                whole_number = not value.ndim and not value.is_floating_point()
                moments.setdefault(name, {})[moment] = (
                    int(value) if whole_number else _spread(value, self.parameters[name])
                )
        names = {parameter: name for name, parameter in self.parameters.items()}
        for optimizer in self.optimizers:
            own = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
            state = {number: moments[name] for number, name in enumerate(own) if name in moments}
            optimizer.load_state_dict(optimizer.state_dict() | {"state": state})

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The running average of the weights in place of the weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        # One by one: a copy of all would be as much memory again.
        for parameter, shadow in zip(
            self.parameters.values(), self.ema.shadow_params if self.ema else (), strict=False
        ):
            kept = parameter.detach().clone()
            parameter.copy_(shadow)
            shadow.copy_(kept)


def trained_parameters(components: Components) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name: `transformer.*` and `adapter.*`."""
    return {
        f"{part}.{name}": parameter
        for part in ("transformer", "adapter")
        for name, parameter in getattr(components, part).named_parameters()
        if parameter.requires_grad
    }


@contextmanager
def whole_parameters(model: Any, main: bool = True) -> Iterator[None]:
    """What training changes, and all of the adapter, as plain tensors, where it is spread over processes.

    model: a `Trained`. Every process calls it; main: this is the one that is given them.
    """
    if isinstance(model, FSDPModule):
        model.reshard()  # what its last pass had gathered
    spread = [
        (module, name, parameter)
        for part in (model.adapter, model.transformer)
        for module in part.modules()
        for name, parameter in module._parameters.items()
        if isinstance(parameter, DTensor) and (part is model.adapter or parameter.requires_grad)
    ]
    try:
        for module, name, parameter in spread:
            whole = whole_tensor(parameter.detach())
            module._parameters[name] = nn.Parameter(whole.cpu() if main else whole.new_empty(0), requires_grad=False)
        yield
    finally:
        for module, name, parameter in spread:
            module._parameters[name] = parameter


def whole_tensor(tensor: Tensor) -> Tensor:
    """A tensor that may be spread over processes, gathered; every process calls it."""
    # A copy, since what is gathered may still be on its way.
    return tensor.full_tensor().clone() if isinstance(tensor, DTensor) else tensor


def _spread(whole: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, that every process has, on the device and over the processes as another of its shape."""
    if not isinstance(like, DTensor) or whole.shape != like.shape:
        return whole.to(like.device) if whole.ndim else whole
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def _check_same_run(config: TrainConfig, saved: dict[str, Any], path: Path) -> None:
    try:
        before = to_dict(from_dict(TrainConfig, saved, "config"))  # what is new since then has its default
    except UsageError as error:
        raise UsageError(
            f"{path} is of another version of this program ({error}); choose another --run folder"
        ) from error
    for key, value in to_dict(config).items():
        if key not in config.FREE and before[key] != value:
            raise UsageError(
                f"{path} is of a run with {key}={_short(before[key], value)}, not {_short(value, before[key])}; "
                "choose another --run folder, or the same settings to go on"
            )


def _short(value: Any, other: Any) -> Any:
    """Of two nested settings only the fields that differ."""
    if isinstance(value, dict) and isinstance(other, dict):
        return {key: _short(item, other.get(key)) for key, item in value.items() if item != other.get(key)}
    return value
