"""VisualCloze (Li et al., ICCV 2025): FLUX.1-Fill with its LoRA fills the last cell of a grid; diffusers' pipeline.

As the paper compares with it: a row for each pair and one for the source, cells of the area of 512 x 512 px, 30 steps,
and its first stage alone, without the second that enlarges by SDEdit.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import VisualClozeGenerationPipeline

from relation_adapter.baselines import Choices, parts
from relation_adapter.baselines.loading import load_pipeline, name_of
from relation_adapter.editor import EditRequest, EditResult
from relation_adapter.images import fit, resize, to_rgb

CELL = 512  # px
STEPS, GUIDANCE = 30, 30.0
MULTIPLE = 16  # px, of each side
TASK = (
    "In each row, a logical task is demonstrated to achieve [IMAGE2] the edited image based on [IMAGE1] the image "
    "before the edit."
)


@dataclass(frozen=True)
class VisualCloze:
    """The editor. cell: px, the root of a cell's area."""

    pipe: Any
    name: str
    steps: int = STEPS
    guidance: float = GUIDANCE
    cell: int = CELL

    def edit(self, request: EditRequest) -> EditResult:
        """Make the edit. Raises as the pipeline does."""
        start = time.perf_counter()
        source = fit(to_rgb(request.source), area=self.cell**2, multiple=MULTIPLE)
        rows: list[list[Any]] = [[to_rgb(before), to_rgb(after)] for before, after in request.pairs]
        made = self.pipe(
            task_prompt=f"{TASK} {request.instruction}" if request.instruction else TASK,
            content_prompt=None,
            image=[*rows, [source.image, None]],
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            generator=torch.Generator("cpu").manual_seed(request.seed),
        ).images[0][0]
        return EditResult(source.restore(resize(made, source.image.size)), time.perf_counter() - start)


def make(choices: Choices) -> VisualCloze:
    """The editor; the cells' size goes with the weights, and is not in their files: --size 384x384 for the smaller."""
    width, height = choices.size or (CELL, CELL)
    cell = round((width * height) ** 0.5)
    kind = VisualClozeGenerationPipeline
    pipe = load_pipeline(kind, "VisualClozePipeline", parts.VISUALCLOZE, choices, resolution=cell)
    guidance = GUIDANCE if choices.guidance is None else choices.guidance
    return VisualCloze(pipe, name_of("visualcloze", choices), choices.steps or STEPS, guidance, cell)
