"""The pipeline behind the seam that every editor stands behind."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from relation_adapter.editor import EditRequest, EditResult
from relation_adapter.model.lora import lora_names
from relation_adapter.pipeline.agreement import best_of
from relation_adapter.pipeline.relation_pipeline import RelationPipeline
from relation_adapter.relation import Relation, picture_hash

KEPT = 16  # relations, and instructions


class RelationEditor:
    """A `RelationPipeline` as an Editor; the same pair, or instruction, seen again is not encoded again.

    relations: used for every request in place of its pairs, each a Relation or (Relation, strength). best_of: seeds to
    try for every edit, of which the result that agrees most with the relation is kept. preparation: of the pairs'
    pictures, as for `encode_relation`. options: of the pipeline's call, the same for every edit. name: what rows and
    reports call it; default: the model's name, and the strength where it is not 1.
    """

    def __init__(
        self,
        pipe: RelationPipeline,
        name: str | None = None,
        relations: Sequence[Any] | None = None,
        best_of: int = 1,
        preparation: str | None = None,
        **options: Any,
    ) -> None:
        self.pipe, self.relations, self.best_of, self.preparation = pipe, relations, best_of, preparation
        self.options = options
        strength = options.get("strength", 1.0)
        values = ",".join(f"{value:g}" for value in (strength if isinstance(strength, (list, tuple)) else [strength]))
        self.name = name or pipe.design.name + ("" if values == "1" else f" strength {values}")
        self._encoded: OrderedDict[Any, Relation] = OrderedDict()
        self._texts: OrderedDict[str | None, dict[str, Any]] = OrderedDict()

    def edit(self, request: EditRequest) -> EditResult:
        """Make the edit that the pairs show on the source. Raises as the pipeline does."""
        return self.begin(request)()

    def begin(self, request: EditRequest) -> Callable[[], EditResult]:
        """All of an edit but bringing the result to the source's size and detail, which the returned function does."""
        start = time.perf_counter()
        details: dict[str, Any] = {}
        relation: Any = self.relations
        if relation is None:
            relation, reused = self._relation(request)
            details = {"relation": relation.provenance["pairs"], "relation_reused": reused}
        image, chosen = best_of(
            self.pipe,
            self.best_of,
            image=request.source,
            relation=relation,
            seed=request.seed,
            output_type="later" if self.best_of == 1 else "pil",
            **self._text(request.instruction),
            **self.options,
        )
        took = time.perf_counter() - start

        def complete() -> EditResult:
            start = time.perf_counter()
            picture = image() if callable(image) else image
            return EditResult(picture, took + time.perf_counter() - start, details | chosen)

        return complete

    def _relation(self, request: EditRequest) -> tuple[Relation, bool]:
        key = tuple((picture_hash(before), picture_hash(after)) for before, after in request.pairs)
        return _kept(self._encoded, key, lambda: self.pipe.encode_relation(request.pairs, preparation=self.preparation))

    def _text(self, instruction: str | None) -> dict[str, Any]:
        """The instruction as the pipeline takes it: encoded, where it reads text; T5 need not come for every edit."""
        pipe = self.pipe
        # What LoRAs make of CLIP may change between two edits.
        if pipe.design.text == "none" or pipe.text_encoder_2 is None or lora_names(pipe.text_encoder):
            return {"instruction": instruction}

        def encode() -> dict[str, Any]:
            tokens, pooled = pipe.encode_prompt(instruction, self.options.get("max_sequence_length"))
            return {"prompt_embeds": tokens, "pooled_prompt_embeds": pooled}

        return _kept(self._texts, instruction, encode)[0]


def _kept(store: OrderedDict[Any, Any], key: Any, make: Callable[[], Any]) -> tuple[Any, bool]:
    """What the store holds under the key, made if need be, and whether it was there; the oldest makes room."""
    found = key in store
    if not found:
        store[key] = make()
        if len(store) > KEPT:
            store.popitem(last=False)
    store.move_to_end(key)
    return store[key], found
