"""What the method is compared with, each behind the seam that every editor stands behind.

docs/baselines.md says what each is, and what of it is ours.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from relation_adapter.baselines import parts
from relation_adapter.editor import Editor, FunctionEditor
from relation_adapter.hub import Part, Places
from relation_adapter.images import Size
from relation_adapter.importing import large_imports


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
    """What a baseline is in one line, how it is made, and which of `Choices` (and of a request) mean anything to it.

    base: its pretrained part on the hub, where it has one.
    """

    about: str
    takes: tuple[str, ...]
    make: Callable[[Choices], Editor]
    base: Part | None = None


def _identity(choices: Choices) -> Editor:
    return FunctionEditor(lambda request: request.source.copy(), "identity")


def _later(module: str, function: str = "make") -> Callable[[Choices], Editor]:
    """A function of a module of this package, imported when it is called: those of the large models load torch."""

    def make(choices: Choices) -> Editor:
        with large_imports():
            found = importlib.import_module(f"{__name__}.{module}")
        return getattr(found, function)(choices)

    return make


def _large(about: str, base: Part, module: str, function: str = "make") -> Baseline:
    return Baseline(about, OF_WEIGHTS, _later(module, function), base)


EDITORS: Mapping[str, Baseline] = {
    "identity": Baseline("the source as it is", (), _identity),
    "image_analogies": Baseline("patches of the pair alone, no weights", ("size",), _later("image_analogies")),
    "edit_transfer": _large("FLUX.1-dev with Edit Transfer's LoRA", parts.FLUX, "edit_transfer"),
    "visualcloze": _large("FLUX.1-Fill as VisualCloze trained it", parts.VISUALCLOZE, "visualcloze"),
    "kontext": _large("FLUX.1 Kontext, told in words", parts.KONTEXT, "instruction", "make_kontext"),
    "klein": _large("FLUX.2 klein 4B, told in words", parts.KLEIN, "instruction", "make_klein"),
    "in_context": _large("the paper's ablation: the pair as tokens", parts.FLUX, "in_context"),
    "qwen-edit": _large("Qwen-Image-Edit-2511, told in words", parts.QWEN_EDIT, "instruction", "make_qwen_edit"),
}
