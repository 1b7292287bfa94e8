"""How well a run does on quads it never trains on: one Euler step from the start, per task."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from relation_adapter.data.cached import CachedBatches, FeatureCache
from relation_adapter.data.dataset import ProceduralBatches
from relation_adapter.errors import UsageError
from relation_adapter.model.components import Components
from relation_adapter.train.loss import flow_errors
from relation_adapter.train.presets import TrainConfig

VALIDATION_SEED = 1_000_000  # added to the run's seed; training seeds its batches with (seed, step)
BATCHES = 4
HELD_OUT = ("seen", "unseen")


@torch.no_grad()
def validate(components: Components, batches: ProceduralBatches | CachedBatches | None) -> dict[str, Any]:
    """Error over that of doing nothing at t = 1, over all quads and per task. batches: as `held_out` gives them."""
    if batches is None:
        return {"validation": None, "per_task": {}}
    errors: dict[str, list[float]] = defaultdict(list)
    for index in range(BATCHES):
        batch = batches[index]
        found = flow_errors(components, batch, torch.ones(len(batch)), torch.Generator().manual_seed(index))
        for task, ratio in zip(batch.tasks, (found / (batch.change + 1e-4)).tolist(), strict=True):
            errors[task].append(ratio)
    per_task = {task: round(float(np.mean(values)), 3) for task, values in sorted(errors.items())}
    return {"validation": round(float(np.mean(list(per_task.values()))), 4), "per_task": per_task}


def held_out(config: TrainConfig) -> ProceduralBatches | CachedBatches | None:
    """Quads that training never sees; of a cache those held out, None where it has none."""
    seed = config.seed + VALIDATION_SEED
    if config.cache is None:
        mix = replace(config.data, shapes=((config.data.size, config.data.size),), two_pairs=0.0)
        return ProceduralBatches(mix, config.batch, BATCHES, seed)
    try:
        return CachedBatches(FeatureCache(config.cache, HELD_OUT), config.batch, BATCHES, seed)
    except UsageError:
        return None
