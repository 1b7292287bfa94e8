"""The paper's ablation: FLUX.1-dev and a LoRA without adapter, before and after as tokens beside the source's."""

from __future__ import annotations

from typing import Any

from relation_adapter.baselines import Choices, parts
from relation_adapter.baselines.loading import find_loras, finish, name_of, plan_for
from relation_adapter.errors import UsageError
from relation_adapter.pipeline import RelationEditor, RelationPipeline
from relation_adapter.pipeline.flux_dev import load_in_context


def make(choices: Choices) -> RelationEditor:
    """The editor. Its LoRA is nowhere published. Raises UsageError where none is given."""
    if not choices.loras:
        raise UsageError("in_context needs a LoRA that was trained for it; give it with --lora FILE, or --lora none")
    loras, plan = find_loras(choices), plan_for(parts.FLUX, choices)
    loaded = load_in_context(choices.places, choices.base, quantization=plan.quantization)
    pipe = RelationPipeline.from_components(loaded)
    finish(pipe, loras, plan)
    given: dict[str, Any] = {
        "num_inference_steps": choices.steps,
        "guidance_scale": choices.guidance,
        "size": choices.size,
    }
    options = {name: value for name, value in given.items() if value is not None}
    return RelationEditor(pipe, name_of("in_context", choices), **options)
