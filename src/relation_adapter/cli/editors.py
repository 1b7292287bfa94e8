"""Where the command line chooses concrete classes: from the value of --model to an editor."""

from __future__ import annotations

import difflib
import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relation_adapter.cli.say import say
from relation_adapter.editor import Editor, EditRequest, EditResult, Pair
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.files import SHIPPED
from relation_adapter.relation import Relation, fingerprint

if TYPE_CHECKING:
    from relation_adapter.pipeline import RelationPipeline

BUILT_IN = tuple(SHIPPED)
FAR_FROM_NATIVE = 4  # times the area a model was trained at, from which a --size is remarked on
COMING = ("flux-dev",)


def check_model(options: Namespace) -> None:
    """Refuse a --model that is not there before anything slow begins. Raises UsageError or WeightsError."""
    model = options.model
    if model not in BUILT_IN and not os.path.exists(model):
        if model in COMING:
            raise UsageError(
                f"--model {model}: its loader is not part of this version yet; use mini, a file or a folder"
            )
        if Path(model).name == model and not Path(model).suffix:
            near = difflib.get_close_matches(model, BUILT_IN, n=1)
            hint = f"did you mean {near[0]}?" if near else f"use {', '.join(BUILT_IN)}, a weights file or a folder"
            raise UsageError(f"--model {model}: no model has this name; {hint}")
        raise WeightsError(f"{model}: no such file or folder; check the path given as --model")
    if getattr(options, "memory", None) is not None:
        say(f"note: --memory has no effect on {model}; it runs whole, in what it takes")


def open_pipeline(model: str) -> RelationPipeline:
    """Load a model, onto the GPU where there is one. Raises WeightsError or UsageError."""
    if sys.stderr.isatty():
        say(f"loading {model}")
    for library in ("TRANSFORMERS", "DIFFUSERS", "HF_HUB"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")
    import torch
    from diffusers.utils import logging

    from relation_adapter.pipeline import RelationPipeline

    logging.disable_progress_bar()
    pipe = RelationPipeline.from_pretrained(model)
    if torch.cuda.is_available():
        pipe.to("cuda")
    return pipe


def open_editor(options: Namespace, pairs: Sequence[Pair] | None) -> Editor:
    """The editor that the flags describe.

    pairs: read once, for all requests, together with the relations of --relation; None takes each request's own.
    """
    saved = _saved_relations(options)
    pipe = open_pipeline(options.model)
    pipe.set_progress_bar_config(disable=None, leave=False, unit="step")  # None: on a terminal
    choices = {
        "strength": None if options.strength == 1 else options.strength,
        "num_inference_steps": options.steps,
        "guidance_scale": options.guidance if pipe.design.transformer.guidance_embeds else None,
        "size": options.size,
    }
    _tell(pipe, options, with_pairs=pairs is not None)
    choices = {key: value for key, value in choices.items() if value is not None}
    name = _name(pipe, choices, options)
    if pairs is None:
        from relation_adapter.pipeline import RelationEditor

        return RelationEditor(pipe, name, **choices)
    for relation, _ in saved:
        pipe.check_relation(relation)
    own = [(pipe.encode_relation(pairs), 1.0)] if pairs else []
    return _WithRelations(pipe, [*own, *saved], choices, name)


def _tell(pipe: RelationPipeline, options: Namespace, with_pairs: bool) -> None:
    """Say which flags have no effect on this model, or an effect that surprises."""
    design = pipe.design
    if with_pairs and options.instruction and design.text == "none":
        say(f"note: {options.model} reads no text; --instruction has no effect")
    if options.guidance is not None and not design.transformer.guidance_embeds:
        say(f"note: {options.model} knows no guidance; --guidance has no effect")
    if options.size and options.size[0] * options.size[1] > FAR_FROM_NATIVE * design.native_area:
        side = round(design.native_area**0.5)
        size = "x".join(map(str, options.size))
        say(f"note: {options.model} was trained at about {side}x{side}; at {size} it is slow and gets worse")


def _name(pipe: RelationPipeline, choices: Mapping[str, Any], options: Namespace) -> str:
    """The model and all else that changes results: a batch goes on only with what an editor of the same name made.

    The mark tells weights apart that lie under one path at different times.
    """
    mark = fingerprint(pipe.design, pipe.adapter)[:8]
    said = {"strength": "strength", "steps": "num_inference_steps", "guidance": "guidance_scale", "size": "size"}
    return " ".join([f"{options.model}@{mark}", *(f"{key}={choices[at]}" for key, at in said.items() if at in choices)])


def encode(model: str, pairs: Sequence[Pair], name: str) -> Relation:
    """What the pairs show, under a name."""
    return open_pipeline(model).encode_relation(pairs, name)


def _saved_relations(options: Namespace) -> list[tuple[Relation, float]]:
    """The relations of --relation, called by their files, so that a message about one says which. WeightsError."""
    loaded = [(Relation.load(given.path), given) for given in options.relation]
    return [
        (replace(relation, provenance={**relation.provenance, "name": str(given.path)}), given.strength)
        for relation, given in loaded
    ]


@dataclass(frozen=True)
class _WithRelations:
    """An editor whose relations are fixed; the pairs of a request are not read again."""

    pipe: RelationPipeline
    relations: list[tuple[Relation, float]]
    choices: dict[str, Any]
    name: str

    def edit(self, request: EditRequest) -> EditResult:
        made = self.pipe(
            image=request.source,
            relation=self.relations,
            instruction=request.instruction,
            seed=request.seed,
            **self.choices,
        )
        return EditResult(made.images[0], seconds=0.0)
