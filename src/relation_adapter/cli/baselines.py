"""The baselines on the command line: which flags mean something to them, and from the flags to an editor."""

from __future__ import annotations

import sys
from argparse import Namespace

from relation_adapter.baselines import EDITORS, Choices
from relation_adapter.cli.say import quiet_loading, say
from relation_adapter.editor import Editor
from relation_adapter.errors import UsageError
from relation_adapter.hub import Places

# By flag: its value where it is not given, and the choice that it makes; None: no baseline knows such a thing.
_FLAGS = {
    "relation": ([], None),
    "strength": (1.0, None),
    "strength_steps": (None, None),
    "best_of": (1, None),
    "fast": (False, None),
    "shift_tokens": (None, None),
    "exemplar_preparation": (None, None),
    "image_encoder": (None, None),
    "adapter": (None, None),
    "fuse_lora": (False, None),
    "base": (None, "base"),
    "lora": ([], "loras"),
    "steps": (None, "steps"),
    "guidance": (None, "guidance"),
    "size": (None, "size"),
    "memory": (None, "memory"),
    "quantize": (None, "quantize"),
    "weights": (None, "places"),
    "offline": (False, "places"),
}


def check_baseline(options: Namespace) -> None:
    """Refuse flags that mean nothing to the baseline that --model names. Raises UsageError."""
    model = options.model
    if not getattr(options, "edits", False):
        raise UsageError(f"--model {model}: a baseline makes edits, and nothing else; use it with `edit`")
    for name, (default, choice) in _FLAGS.items():
        flag = "--" + name.replace("_", "-")
        if getattr(options, name, default) == default:
            continue
        if choice not in EDITORS[model].takes:
            raise UsageError(f"{flag} means nothing to the baseline {model}; leave it out")
        if name == "size" and isinstance(options.size, str):
            raise UsageError(f"--size {options.size}: {model} takes a size to work at, as 512x512")
    if getattr(options, "instruction", None) and "instruction" not in EDITORS[model].takes:
        say(f"note: {model} reads no text; --instruction has no effect")
    if options.size is not None and model != "in_context":
        say(f"note: {model} works at that size; results keep the size of their source")


def open_baseline(options: Namespace) -> Editor:
    """The editor. Raises UsageError, WeightsError or MissingExtraError."""
    if "base" in EDITORS[options.model].takes:
        if sys.stderr.isatty():
            say(f"loading {options.model}")
        quiet_loading()
    return EDITORS[options.model].make(
        Choices(
            base=options.base,
            loras=tuple((lora.name, lora.weight) for lora in options.lora),
            steps=options.steps,
            guidance=options.guidance,
            size=options.size,
            places=Places(folder=options.weights, offline=options.offline),
            memory=options.memory,
            quantize=options.quantize,
        )
    )
