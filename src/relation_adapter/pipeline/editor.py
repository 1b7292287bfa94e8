"""The pipeline behind the seam that every editor stands behind."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

from relation_adapter.editor import EditRequest, EditResult
from relation_adapter.pipeline.agreement import best_of
from relation_adapter.pipeline.relation_pipeline import RelationPipeline
from relation_adapter.relation import Relation, picture_hash

RELATIONS_KEPT = 16


class RelationEditor:
    """A `RelationPipeline` as an Editor; the same pair seen again is not encoded again.

    best_of: seeds to try for every edit, of which the result that agrees most with the pairs is kept. preparation: of
    the pairs' pictures, as for `encode_relation`. options: of the pipeline's call, the same for every edit. name: what
    rows and reports call it; default: the model's name, and the strength where it is not 1.
    """

    def __init__(
        self,
        pipe: RelationPipeline,
        name: str | None = None,
        best_of: int = 1,
        preparation: str | None = None,
        **options: Any,
    ) -> None:
        self.pipe, self.best_of, self.preparation, self.options = pipe, best_of, preparation, options
        strength = options.get("strength", 1.0)
        values = ",".join(f"{value:g}" for value in (strength if isinstance(strength, (list, tuple)) else [strength]))
        self.name = name or pipe.design.name + ("" if values == "1" else f" strength {values}")
        self._relations: OrderedDict[tuple[tuple[str, str], ...], Relation] = OrderedDict()

    def edit(self, request: EditRequest) -> EditResult:
        """Make the edit that the pairs show on the source. Raises as the pipeline does."""
        start = time.perf_counter()
        relation, reused = self._relation(request)
        image, chosen = best_of(
            self.pipe,
            self.best_of,
            image=request.source,
            relation=relation,
            instruction=request.instruction,
            seed=request.seed,
            **self.options,
        )
        details = {"relation": relation.provenance["pairs"], "relation_reused": reused, **chosen}
        return EditResult(image, time.perf_counter() - start, details)

    def _relation(self, request: EditRequest) -> tuple[Relation, bool]:
        key = tuple((picture_hash(before), picture_hash(after)) for before, after in request.pairs)
        reused = key in self._relations
        if not reused:
            self._relations[key] = self.pipe.encode_relation(request.pairs, preparation=self.preparation)
            if len(self._relations) > RELATIONS_KEPT:
                self._relations.popitem(last=False)
        self._relations.move_to_end(key)
        return self._relations[key], reused
