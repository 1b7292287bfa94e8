"""What a model gets wrong on the pairs of a relation, and how results are corrected by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from relation_adapter.correction import ROWS, Known, correction_of, fit_correction
from relation_adapter.editor import Pair
from relation_adapter.errors import WeightsError
from relation_adapter.images import Unit, fit, resize, to_rgb, to_unit
from relation_adapter.model.features import encode_pictures
from relation_adapter.model.latents import pack
from relation_adapter.model.velocity import Conditions, prepare, velocity
from relation_adapter.pipeline.detail_kept import mean_strength
from relation_adapter.pipeline.encoders import encode_texts
from relation_adapter.pipeline.pictures import decode, to_tensor, units
from relation_adapter.pipeline.request import Weighted
from relation_adapter.relation import Relation


@torch.no_grad()
def pairs_correction(pipe: Any, relation: Relation, pairs: Sequence[Pair]) -> tuple[Tensor, float]:
    """(1, ROWS, 3), of a relation of these pairs, and the share of the error that it tells.

    For a design whose flow starts at the source, and takes one step.
    """
    device, adapter, dtype = pipe._execution_device, pipe.adapter, pipe.transformer.dtype
    text, pooled = (value.to(device, dtype) for value in encode_texts(pipe, [None], device))
    vector = None if relation.vector is None else relation.vector.to(device, adapter.dtype)
    keys_values = adapter.keys_values(relation.tokens.to(device, adapter.dtype), vector)
    known, start = [], torch.ones(1, device=device)
    for before, after in pairs:
        seen = fit(before, area=pipe.design.native_area, multiple=pipe.multiple)
        rows, columns = (side // pipe.multiple for side in seen.image.size[::-1])
        source = pack(encode_pictures(pipe.vae, to_tensor(seen.image).to(device)).to(dtype))
        given = Conditions(source, rows, columns, text, pooled, [keys_values], pipe.design.guidance)
        prepare(pipe.transformer, pipe.design, start, given)
        made = source - velocity(pipe.transformer, pipe.design, source, start, given, step=0)
        left, top, right, bottom = seen.box
        result = units([decode(pipe, made, seen.image.height)])[0][top:bottom, left:right]
        shown = resize(to_rgb(after), (right - left, bottom - top))
        known.append(Known(result, to_unit(seen.crop(seen.image)), to_unit(shown)))
    coefficients, share = fit_correction(known)
    return torch.from_numpy(coefficients)[None], share


def corrected(result: Unit, source: Unit, relations: Sequence[Weighted]) -> Unit:
    """A result (H, W, 3) in [0, 1] without what its relations know to be wrong; source: as the model saw it."""
    total = result
    for weighted in relations:
        coefficients, strength = weighted.relation.correction, mean_strength(weighted)
        if coefficients is not None and strength:
            total = total + strength * correction_of(result, source, coefficients[0].float().cpu().numpy())
    return total if total is result else total.clip(0, 1)


def check_correction(relation: Relation) -> None:
    """Raise WeightsError on one of another form."""
    found = relation.correction
    if found is not None and found.shape != (1, ROWS, 3):
        raise WeightsError(
            f"{relation.name}: its correction is {tuple(found.shape)}, not {(1, ROWS, 3)}; encode the pair again"
        )
