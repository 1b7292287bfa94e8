"""What a model gets wrong on the pairs of a relation, and how results are corrected by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from relation_adapter.correction import ROWS, Known, correction_of, fit_correction
from relation_adapter.editor import Pair
from relation_adapter.errors import WeightsError
from relation_adapter.images import Unit, fit, resize, to_rgb, to_unit
from relation_adapter.linear import LINEAR_ROWS, SIDEWAYS, TURNS, fit_linear, linear_of, turn_of, turned
from relation_adapter.model.features import encode_pictures
from relation_adapter.model.latents import pack
from relation_adapter.model.velocity import Conditions, prepare, velocity
from relation_adapter.pipeline.detail_kept import mean_strength
from relation_adapter.pipeline.encoders import encode_texts
from relation_adapter.pipeline.pictures import decode, to_tensor, units
from relation_adapter.pipeline.request import Weighted
from relation_adapter.relation import Relation

EXACT = 0.3  # times the error that a correction leaves, at the most: then the edit is a linear one


def correct(pipe: Any, relation: Relation, pairs: Sequence[Pair]) -> Relation:
    """The relation of these pairs, with its correction, and as a linear edit where it is one.

    For a design whose flow starts at the source, and takes one step.
    """
    known = _known(pipe, relation, pairs)
    correction, share = fit_correction(known)
    turn = turn_of(known)
    whole = [replace(one, source=TURNS[turn](one.source)) for one in known]
    linear, error = fit_linear(whole, [_sampled(*pair, turn, one) for pair, one in zip(pairs, known, strict=True)])
    wrong = float(np.mean([np.square(one.target - one.result).mean() for one in known])) + 1e-9
    exact = error < EXACT * (1 - share) * wrong
    told = max(0.0, 1 - error / wrong) if exact else share
    return replace(
        relation,
        correction=torch.from_numpy(correction)[None],
        linear=torch.from_numpy(linear)[None] if exact else None,
        provenance={**relation.provenance, "corrected": round(told, 3), **({"turn": turn} if exact and turn else {})},
    )


def _sampled(before: Image.Image, after: Image.Image, turn: str, known: Known) -> Known:
    """The same as known of a pair, of single pixels; as it is where before and after differ in size."""
    size = known.target.shape[1::-1]
    first, second = turned(to_rgb(before), turn), to_rgb(after)
    how = Image.Resampling.NEAREST if first.size == second.size else None
    return replace(known, source=to_unit(first.resize(size, how)), target=to_unit(second.resize(size, how)))


@torch.no_grad()
def _known(pipe: Any, relation: Relation, pairs: Sequence[Pair]) -> list[Known]:
    """What the model makes of the pairs' own sources."""
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
    return known


def corrected(result: Unit, source: Image.Image, relations: Sequence[Weighted]) -> tuple[Unit, str]:
    """A result (H, W, 3) in [0, 1] without what its relations know to be wrong, and how the source was turned for it.

    source: as the model saw it. What one relation alone says exactly is done, and at half its strength half of it; what
    several do together, the model knows better.
    """
    acting = [(one.relation, strength) for one in relations if (strength := mean_strength(one))]
    plain = to_unit(source)
    if len(acting) == 1 and _says_exactly(*acting[0], source):
        relation, strength = acting[0]
        made = linear_of(to_unit(turned(source, relation.turn)), _numbers(relation.linear))
        return plain + strength * (made - plain), relation.turn
    total = result
    for relation, strength in acting:
        if relation.correction is not None:
            total = total + strength * correction_of(result, plain, _numbers(relation.correction))
    return (total if total is result else total.clip(0, 1)), ""


def _says_exactly(relation: Relation, strength: float, source: Image.Image) -> bool:
    """None half turns a picture, and none turns one on its side that is not square."""
    fits = source.width == source.height or relation.turn not in SIDEWAYS
    return relation.linear is not None and fits and (strength == 1 or not relation.turn)


def _numbers(kept: Tensor | None) -> npt.NDArray[np.float32]:
    assert kept is not None
    found: npt.NDArray[np.float32] = kept[0].float().cpu().numpy()
    return found


def check_correction(relation: Relation) -> None:
    """Raise WeightsError on one of another form."""
    for name, found, rows in (("correction", relation.correction, ROWS), ("linear", relation.linear, LINEAR_ROWS)):
        if found is not None and found.shape != (1, rows, 3):
            raise WeightsError(
                f"{relation.name}: its {name} is {tuple(found.shape)}, not {(1, rows, 3)}; encode the pair again"
            )
