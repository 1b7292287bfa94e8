"""From the flags to a pipeline: which parts, where they lie, which LoRAs, how they share the GPU's memory."""

from __future__ import annotations

import difflib
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relation_adapter.baselines import EDITORS
from relation_adapter.cli.baselines import check_baseline
from relation_adapter.cli.say import quiet_loading, say
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.files import SHIPPED
from relation_adapter.hub import FLUX_DEV, Places, find
from relation_adapter.importing import large_imports

if TYPE_CHECKING:
    from relation_adapter.pipeline import RelationPipeline

FLUX = "flux-dev"
NAMED = (*SHIPPED, FLUX)
EDITOR, NO_LORA = "editor", "none"
# What need not be loaded, or fetched, to read pairs: the base.
UNREAD = ("transformer", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
FLUX_ONLY = ("weights", "base", "image_encoder", "adapter", "offline", "quantize")


def check_model(options: Namespace) -> None:
    """Refuse a --model that is not there before anything slow begins. Raises UsageError or WeightsError."""
    model = options.model
    if model in EDITORS:
        check_baseline(options)
        return
    _check_fuse(options)
    if model == FLUX:
        return
    if model not in SHIPPED and not os.path.exists(model):
        if Path(model).name == model and not Path(model).suffix:
            near = difflib.get_close_matches(model, (*NAMED, *EDITORS), n=1)
            hint = f"did you mean {near[0]}?" if near else f"use {', '.join(NAMED)}, a weights file or a folder"
            raise UsageError(f"--model {model}: no model has this name; {hint}")
        raise WeightsError(f"{model}: no such file or folder; check the path given as --model")
    if given := [name for name in FLUX_ONLY if getattr(options, name, None)]:
        flag = "--" + given[0].replace("_", "-")
        raise UsageError(f"{flag} goes with --model {FLUX}; it means nothing to {model}")
    if getattr(options, "memory", None) is not None and not os.path.isdir(model):
        say(f"note: --memory has no effect on {model}; it runs whole, in what it takes")


def _check_fuse(options: Namespace) -> None:
    """Refuse --fuse-lora where no LoRA will be there, before the base is loaded for nothing."""
    if not getattr(options, "fuse_lora", False):
        return
    names = [lora.name for lora in options.lora]
    of_the_model = options.model == FLUX and NO_LORA not in names
    if not of_the_model and not [name for name in names if name != NO_LORA]:
        raise UsageError("--fuse-lora: there is no LoRA to fuse; name one with --lora, or leave the flag out")


def open_pipeline(options: Namespace) -> RelationPipeline:
    """Load the model with its LoRAs, onto the GPU where there is one. Raises WeightsError or UsageError."""
    if sys.stderr.isatty():
        say(f"loading {options.model}")
    with large_imports(freeze=True):
        quiet_loading()
        import torch

        from relation_adapter.pipeline import RelationPipeline, memory

    if options.model == FLUX:
        return _open_flux(options)
    pipe = RelationPipeline.from_pretrained(options.model)
    _add_loras(pipe, options)
    if torch.cuda.is_available():
        # What was saved is in the bits it was saved in.
        memory.place(pipe, memory.plan_for(getattr(options, "memory", None), "none"))
    return pipe


def _open_flux(options: Namespace) -> RelationPipeline:
    """flux-dev; the LoRAs come before the parts are placed, since placing hooks every layer that is there."""
    import torch

    from relation_adapter.pipeline import RelationPipeline, memory

    gpu = torch.cuda.is_available()
    if options.memory is not None and not gpu:
        say("note: no GPU here; --memory has no effect")
    gib = options.memory
    if gpu and gib is None:
        gib = memory.plan_for_device(torch.cuda.mem_get_info()[1]).gib
    # To read pairs the base is not there, and what is takes 6 GiB.
    plan = memory.plan_for(gib if gpu else None, options.quantize) if options.edits else memory.plan_for(None)
    pipe = RelationPipeline.from_pretrained(
        FLUX,
        **{name: getattr(options, name) for name in ("weights", "base", "image_encoder", "adapter", "offline")},
        **({} if options.edits else dict.fromkeys(UNREAD)),
        lora=False if not options.edits or NO_LORA in [lora.name for lora in options.lora] else None,
        quantization=plan.quantization,
    )
    _add_loras(pipe, options)
    memory.place(pipe, plan)
    return pipe


def _add_loras(pipe: RelationPipeline, options: Namespace) -> None:
    """The user's own LoRAs beside the model's, all at their weights. Raises WeightsError or UsageError."""
    loras = [lora for lora in getattr(options, "lora", []) if lora.name != NO_LORA]
    if not loras and not getattr(options, "fuse_lora", False):
        return
    from relation_adapter.model.lora import lora_names

    places = Places(folder=getattr(options, "weights", None), offline=getattr(options, "offline", False))
    weights = dict.fromkeys(lora_names(pipe.transformer), 1.0)
    for lora in loras:
        name = lora.name
        if name != EDITOR:
            path = find(FLUX_DEV["lora"], places, name)
            name = _lora_name(path, weights)
            pipe.load_lora_weights(path, adapter_name=name)
        weights[name] = lora.weight
    pipe.set_adapters(list(weights), list(weights.values()))
    if options.fuse_lora:
        pipe.fuse_lora()


def _lora_name(path: Path, taken: dict[str, Any]) -> str:
    """The file's name, which a LoRA's name may hold no dot of, with a number where it is taken."""
    name = path.stem.replace(".", "_")
    return name if name not in taken else f"{name}_{len(taken)}"
