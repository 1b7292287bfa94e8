"""Where the command line chooses concrete classes: from the flags to an editor."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from relation_adapter.baselines import EDITORS
from relation_adapter.cli.baselines import open_baseline
from relation_adapter.cli.pipelines import open_pipeline
from relation_adapter.cli.say import say
from relation_adapter.config import to_dict
from relation_adapter.editor import Editor, Pair
from relation_adapter.errors import UsageError
from relation_adapter.relation import Relation, weights_mark

if TYPE_CHECKING:
    from relation_adapter.pipeline import RelationPipeline

FAR_FROM_NATIVE = 4  # times the area a model was trained at, from which a --size is remarked on


def open_editor(options: Namespace, pairs: Sequence[Pair] | None) -> Editor:
    """The editor that the flags describe.

    pairs: read once, for all requests, together with the relations of --relation; None takes each request's own.
    """
    if options.model in EDITORS:
        return open_baseline(options)
    saved = _saved_relations(options)
    pipe = open_pipeline(options)
    pipe.set_progress_bar_config(disable=None, leave=False, unit="step")  # None: on a terminal
    _tell(pipe, options, with_pairs=pairs is not None)
    if options.fast:
        pipe.enable_fast()
    choices = _choices(options, pipe)
    name = _name(pipe, choices, options)
    from relation_adapter.pipeline import RelationEditor

    preparation, relations = options.exemplar_preparation, None
    if pairs is not None:
        for relation, _ in saved:
            pipe.check_relation(relation)
        own = [(pipe.encode_relation(pairs, preparation=preparation), 1.0)] if pairs else []
        relations = [*own, *saved]
    return RelationEditor(pipe, name, relations, options.best_of, preparation, **choices)


def _choices(options: Namespace, pipe: RelationPipeline) -> dict[str, Any]:
    """What the flags say of a call of the pipeline, where they say something."""
    choices = {
        "strength": None if options.strength == 1 else options.strength,
        "strength_steps": options.strength_steps,
        "num_inference_steps": options.steps,
        "guidance_scale": options.guidance if pipe.design.transformer.guidance_embeds else None,
        "size": options.size,
        "shift_tokens": options.shift_tokens,
    }
    return {key: value for key, value in choices.items() if value is not None}


def _tell(pipe: RelationPipeline, options: Namespace, with_pairs: bool) -> None:
    """Say which flags have no effect on this model, or an effect that surprises. Raises UsageError on a useless one."""
    from relation_adapter.pipeline import fast

    design = pipe.design
    if options.best_of > 1 and design.ignores_seed:
        raise UsageError(f"--best-of {options.best_of}: {options.model} makes the same of every seed; leave it out")
    if with_pairs and options.instruction and design.text == "none":
        say(f"note: {options.model} reads no text; --instruction has no effect")
    if options.fast and (steps := options.steps or design.steps) <= fast.FULL_STEPS:
        say(f"note: --fast leaves out some of more than {fast.FULL_STEPS} steps; at {steps} it has no effect")
    if options.guidance is not None and not design.transformer.guidance_embeds:
        say(f"note: {options.model} knows no guidance; --guidance has no effect")
    if isinstance(options.size, tuple) and options.size[0] * options.size[1] > FAR_FROM_NATIVE * design.native_area:
        side = round(design.native_area**0.5)
        size = "x".join(map(str, options.size))
        say(f"note: {options.model} was trained at about {side}x{side}; at {size} it is slow and gets worse")


def _name(pipe: RelationPipeline, choices: Mapping[str, Any], options: Namespace) -> str:
    """The model and all else that changes results: a batch goes on only with what an editor of the same name made.

    The mark tells weights apart that lie under one path at different times.
    """
    # Norms and LoRAs stand for the base: small, and as they are in a quantised one too.
    ends = ("norm_q", "norm_k", "lora_A", "lora_B")
    small = [module for name, module in pipe.transformer.named_modules() if name.endswith(ends)]
    mark = weights_mark(to_dict(pipe.design), pipe.adapter, *small)[:8]
    said = {"strength": "strength", "strength-steps": "strength_steps", "steps": "num_inference_steps"}
    said |= {"guidance": "guidance_scale", "size": "size", "shift-tokens": "shift_tokens"}
    parts = [f"{key}={choices[at]}" for key, at in said.items() if at in choices]
    parts += [f"lora={lora.name}:{lora.weight:g}" for lora in options.lora]
    for flag in ("base", "image_encoder", "exemplar_preparation", "quantize"):
        if value := getattr(options, flag):
            parts.append(f"{flag.replace('_', '-')}={value}")
    if options.fuse_lora:
        parts.append("fused")
    if options.fast:
        parts.append("fast")
    if options.best_of > 1:
        parts.append(f"best-of={options.best_of}")
    return " ".join([f"{options.model}@{mark}", *parts])


def encode(options: Namespace, pairs: Sequence[Pair], name: str) -> Relation:
    """What the pairs show, under a name."""
    return open_pipeline(options).encode_relation(pairs, name, preparation=options.exemplar_preparation)


def _saved_relations(options: Namespace) -> list[tuple[Relation, float]]:
    """The relations of --relation, called by their files, so that a message about one says which. WeightsError."""
    loaded = [(Relation.load(given.path), given) for given in options.relation]
    return [
        (replace(relation, provenance={**relation.provenance, "name": str(given.path)}), given.strength)
        for relation, given in loaded
    ]
