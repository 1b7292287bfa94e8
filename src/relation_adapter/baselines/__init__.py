"""What the method is compared with, each behind the seam that every editor stands behind.

docs/baselines.md says what each is, and what of it is ours.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from relation_adapter.editor import Editor, FunctionEditor
from relation_adapter.hub import Places
from relation_adapter.images import Size


@dataclass(frozen=True)
class Choices:
    """What a user may choose; None: the baseline's own.

    base, and each of loras (with its weight): a path or a place on the hub (`hub.find`), looked for in `places`.
    steps, guidance: of the sampler. size: (width, height) in px to work at; the result is of the source's size anyway.
    memory: GiB of the GPU to stay within (`pipeline.memory.PLANS`); quantize: the transformer, "int8" or "nf4".
    """

    base: str | None = None
    loras: tuple[tuple[str, float], ...] = ()
    steps: int | None = None
    guidance: float | None = None
    size: Size | None = None
    places: Places = field(default_factory=Places)
    memory: int | None = None
    quantize: str | None = None


OF_WEIGHTS = ("base", "loras", "steps", "guidance", "size", "memory", "quantize", "places", "instruction")


@dataclass(frozen=True)
class Baseline:
    """What a baseline is in one line, how it is made, and which of `Choices` (and of a request) mean anything to it."""

    about: str
    takes: tuple[str, ...]
    make: Callable[[Choices], Editor]


def _identity(choices: Choices) -> Editor:
    return FunctionEditor(lambda request: request.source.copy(), "identity")


def _later(module: str, function: str = "make") -> Callable[[Choices], Editor]:
    """A function of a module of this package, imported when it is called: those of the large models load torch."""

    def make(choices: Choices) -> Editor:
        return getattr(importlib.import_module(f"{__name__}.{module}"), function)(choices)

    return make


EDITORS: Mapping[str, Baseline] = {
    "identity": Baseline("the source as it is", (), _identity),
    "image_analogies": Baseline("patches of the pair alone, no weights", ("size",), _later("image_analogies")),
    "edit_transfer": Baseline("FLUX.1-dev with Edit Transfer's LoRA", OF_WEIGHTS, _later("edit_transfer")),
    "visualcloze": Baseline("FLUX.1-Fill as VisualCloze trained it", OF_WEIGHTS, _later("visualcloze")),
    "kontext": Baseline("FLUX.1 Kontext, told in words", OF_WEIGHTS, _later("instruction", "make_kontext")),
    "klein": Baseline("FLUX.2 klein 4B, told in words", OF_WEIGHTS, _later("instruction", "make_klein")),
    "in_context": Baseline("the paper's ablation: the pair as tokens", OF_WEIGHTS, _later("in_context")),
    "qwen-edit": Baseline("Qwen-Image-Edit-2511, told in words", OF_WEIGHTS, _later("instruction", "make_qwen_edit")),
}
