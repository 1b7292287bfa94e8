"""Which weights a run trains, by the names of the parts in `TrainConfig.trains`."""

from __future__ import annotations

from collections.abc import Collection

from diffusers.training_utils import cast_training_params

from relation_adapter.errors import UsageError
from relation_adapter.model.components import Components
from relation_adapter.train.optimizers import part_of
from relation_adapter.train.presets import Part


def choose(components: Components, parts: Collection[Part]) -> None:
    """Freeze all parameters but those of the given parts, and make these float32, so that small steps count.

    Raises:
        UsageError: a part that this model has no weights of.
    """
    found = {
        f"{place}.{name}": parameter
        for place in ("transformer", "adapter")
        for name, parameter in getattr(components, place).named_parameters()
    }
    has = {part_of(name) for name in found}
    if missing := [part for part in parts if part not in has]:
        raise UsageError(f"trains={missing[0]}: model {components.design.name} has no such weights; leave it out")
    for name, parameter in found.items():
        parameter.requires_grad_(part_of(name) in parts)
    cast_training_params([components.transformer, components.adapter])
