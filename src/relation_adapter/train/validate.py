"""How well a run does on quads it never trains on: one Euler step, per task; and whole edits, to look at."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from relation_adapter.data.cached import FeatureBatch
from relation_adapter.data.dataset import Batch, ProceduralBatches
from relation_adapter.data.passes import BucketBatches
from relation_adapter.data.quad_pictures import PictureBatch
from relation_adapter.errors import UsageError
from relation_adapter.model.components import Components
from relation_adapter.model.features import sample_moments
from relation_adapter.model.latents import pack, unpack
from relation_adapter.model.velocity import Conditions
from relation_adapter.pipeline import RelationPipeline
from relation_adapter.pipeline.flow_loop import Phases, Run, denoise, set_times
from relation_adapter.train.loss import encode_batch, flow_errors, read_relation, read_text
from relation_adapter.train.online import encoded
from relation_adapter.train.presets import TrainConfig
from relation_adapter.train.shares import moved
from relation_adapter.train.sheets import decoded, quad_pictures, sheet
from relation_adapter.train.sources import open_quads

VALIDATION_SEED = 1_000_000  # added to the run's seed; training seeds its batches with (seed, step)
BATCHES = 4
HELD_OUT = ("seen", "unseen")
DRAWN = 8  # quads on a sheet
FLOOR = 1e-4  # in squares of [-1, 1]: of what doing nothing costs, where an edit changes nothing


@torch.no_grad()
def validate(components: Components, batches: ProceduralBatches | BucketBatches | None) -> dict[str, Any]:
    """Error over that of doing nothing at t = 1, over all quads and per task. batches: as `held_out` gives them."""
    if batches is None:
        return {"validation": None, "per_task": {}}
    errors: dict[str, list[float]] = defaultdict(list)
    for index in range(BATCHES):
        batch = moved(encoded(components, batches[index]), components.transformer.device)
        found = flow_errors(components, batch, torch.ones(len(batch)), torch.Generator().manual_seed(index))
        for task, ratio in zip(batch.tasks, (found / (batch.change + FLOOR)).tolist(), strict=True):
            errors[task].append(ratio)
    per_task = {task: round(float(np.mean(values)), 3) for task, values in sorted(errors.items())}
    return {"validation": round(float(np.mean(list(per_task.values()))), 4), "per_task": per_task}


def held_out(config: TrainConfig) -> ProceduralBatches | BucketBatches | None:
    """Quads that training never sees; of a cache or a file those held out, None where it has none."""
    seed = config.seed + VALIDATION_SEED
    if config.cache is None and config.quads is None:
        mix = replace(config.data, shapes=((config.data.size, config.data.size),), two_pairs=0.0)
        return ProceduralBatches(mix, config.batch, BATCHES, seed)
    try:
        return BucketBatches(open_quads(config, HELD_OUT), config.batch, BATCHES, seed)
    except UsageError:
        return None


@torch.no_grad()
def validation_sheet(components: Components, drawn: Batch | FeatureBatch | PictureBatch) -> Image.Image:
    """The first quads of a batch edited with all of the design's steps; the titles tell the error of each.

    The error is that of the latents over the error of doing nothing.
    """
    count = min(DRAWN, len(drawn))
    batch = moved(encoded(components, drawn), components.transformer.device)
    seen = first_quads(batch if isinstance(batch, FeatureBatch) else encode_batch(components, batch), count)
    results = edited(components, seen)
    errors = (results.float() - seen.target[:, 0].float()).square().mean(dim=(1, 2, 3)) / (seen.change + FLOOR)
    columns = quad_pictures(components, drawn, count) | {"result": [decoded(components, one) for one in results]}
    titles = [f"{task} {error:.2f}" for task, error in zip(seen.tasks, errors.tolist(), strict=True)]
    return sheet([list(row) for row in zip(*columns.values(), strict=True)], list(columns), titles)


@torch.no_grad()
def edited(components: Components, seen: FeatureBatch) -> torch.Tensor:
    """Latents (B, C, h, w) of the edit of every quad's source by its pairs, as the pipeline makes it."""
    design, transformer = components.design, components.transformer
    source = sample_moments(seen.source[:, :1]).to(transformer.dtype)
    rows, columns = source.shape[2] // 2, source.shape[3] // 2
    packed = pack(source)
    noise = torch.randn(packed.shape, generator=torch.Generator().manual_seed(0)).to(packed)
    text, pooled = read_text(components, seen)
    given = Conditions(packed, rows, columns, text, pooled, [read_relation(components, seen)], design.guidance)
    run = Run(design.steps, design.guidance, (0.0, 1.0), design.shift_tokens, {}, None, ())
    pipe = RelationPipeline.from_components(components)
    pipe._begin(run)
    times = set_times(pipe.scheduler, design.shift_tokens, design.steps, rows * columns, packed.device)
    start = packed if design.start == "source" else noise
    with tqdm(disable=True) as bar:
        return unpack(denoise(pipe, start, Phases(given, *run.strength_steps), times, run, bar), rows)


def first_quads(batch: FeatureBatch, count: int) -> FeatureBatch:
    """The first `count` quads of a batch."""
    first: dict[str, Any] = {name: value[:count] for name, value in vars(batch).items() if value is not None}
    return FeatureBatch(**first)
