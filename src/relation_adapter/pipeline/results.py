"""The results that a call asks for, one item each: picture, start, generator, relations; and what they become."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from PIL import Image
from torch import Tensor

from relation_adapter.errors import UsageError
from relation_adapter.images import Size
from relation_adapter.pipeline import request
from relation_adapter.pipeline.corrections import check_correction, corrected
from relation_adapter.pipeline.detail_kept import combined_detail
from relation_adapter.pipeline.pictures import Edited, decode, stacked, to_output, units
from relation_adapter.pipeline.request import Item, Strength
from relation_adapter.relation import check_fits, fingerprint


def asked_results(
    pipe: Any, pictures: Sequence[Image.Image], seed: Any, generator: Any, copies: int, latents: Any, size: Size | str
) -> list[Item]:
    """An item for every copy of every picture in turn, as yet without its relations."""
    fits = [request.fit_source(picture, pipe.design, pipe.multiple, size) for picture in pictures]
    sources = [source for source in range(len(pictures)) for _ in range(copies)]
    channels = pipe.design.token_channels
    shapes = [(math.prod(side // pipe.multiple for side in fits[one].image.size), channels) for one in sources]
    generators = request.as_generators(seed, generator, len(sources))
    starts = request.as_latents(latents, shapes)
    return [
        Item(source, fits[source], generator=one, latents=start)
        for source, one, start in zip(sources, generators, starts, strict=True)
    ]


def add_relations(pipe: Any, items: Sequence[Item], relation: Any, pairs: Any, strength: Strength, count: int) -> None:
    """Give every item the relations of its picture, of which there are `count`; pairs are encoded here."""
    if (relation is None) == (pairs is None):
        found = "missing; give one of them" if relation is None else "both given; give one of them"
        raise UsageError(f"relation and pairs are {found}")
    blocks = pipe.design.transformer.num_blocks
    request.as_strength(strength, blocks)
    if pairs is not None:
        encoded = [pipe._encode_relation(one) for one in request.pairs_per_image(pairs, count)]
        relation = encoded if len(encoded) == 1 else [[one] for one in encoded]
    per_image = request.relations_per_image(relation, strength, count, blocks)
    mark = fingerprint(pipe.design, pipe.adapter.projector)
    if pipe.design.relation_branch == "in_context":
        request.check_in_context(per_image)
    for one in {weighted.relation for weighted_list in per_image for weighted in weighted_list}:
        check_fits(one, pipe.design, mark)
        check_correction(one)
    for item in items:
        item.relations = per_image[item.source]


def output(
    pipe: Any,
    tokens: Sequence[Tensor],
    items: Sequence[Item],
    detail_of: Sequence[Image.Image] | None,
    own_size: bool,
    kind: str,
) -> Any:
    """The tokens (1, L, C) of every item as the kind of output asked for.

    detail_of: pictures whose detail is kept. own_size: whether results are as large as their sources: those that are
    turned on their side, then, too.
    """
    if kind == "latent":
        return stacked(tokens)
    decoded = units([decode(pipe, one, item.fit.image.height) for one, item in zip(tokens, items, strict=True)])
    mended = [corrected(one, item.fit, item.relations) for one, item in zip(decoded, items, strict=True)]
    wanted = [
        Edited(
            one,
            exact.fit(item.fit, own_size),
            exact.place(detail_of[item.source]) if detail_of else None,
            combined_detail(item.relations),
            exact.strips if exact.at_full_size else None,
        )
        for (one, exact), item in zip(mended, items, strict=True)
    ]
    return to_output(wanted, kind)
