"""How well a run does on quads it never trains on: one Euler step from the start, per task."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from relation_adapter.data.dataset import ProceduralBatches
from relation_adapter.model.components import Components
from relation_adapter.train.loss import flow_errors
from relation_adapter.train.presets import TrainConfig

VALIDATION_SEED = 1_000_000  # added to the run's seed; training seeds its batches with (seed, step)
BATCHES = 4


@torch.no_grad()
def validate(components: Components, config: TrainConfig) -> dict[str, Any]:
    """Error over that of doing nothing at t = 1, over all quads and per task."""
    mix = replace(config.data, shapes=((config.data.size, config.data.size),), two_pairs=0.0)
    batches = ProceduralBatches(mix, config.batch, BATCHES, config.seed + VALIDATION_SEED)
    errors: dict[str, list[float]] = defaultdict(list)
    for index in range(BATCHES):
        batch = batches[index]
        found = flow_errors(components, batch, torch.ones(len(batch)), torch.Generator().manual_seed(index))
        nothing = (batch.source - batch.target).square().mean(dim=(1, 2, 3))
        for task, ratio in zip(batch.tasks, (found / (nothing + 1e-4)).tolist(), strict=True):
            errors[task].append(ratio)
    per_task = {task: round(float(np.mean(values)), 3) for task, values in sorted(errors.items())}
    return {"validation": round(float(np.mean(list(per_task.values()))), 4), "per_task": per_task}
