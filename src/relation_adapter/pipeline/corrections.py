"""What a model gets wrong on the pairs of a relation, and how results are corrected by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
import torch

from relation_adapter.cartoons import Cartoon
from relation_adapter.correction import ROWS, Coefficients, Known, Values, correction_of, fit_correction
from relation_adapter.editor import Pair
from relation_adapter.errors import WeightsError
from relation_adapter.exact.curves import LEVELS
from relation_adapter.exact.families import rows_of
from relation_adapter.images import Fit, fit, resize, to_rgb
from relation_adapter.model.features import encode_pictures
from relation_adapter.model.latents import pack
from relation_adapter.model.velocity import Conditions, prepare, velocity
from relation_adapter.pipeline.detail_kept import mean_strength
from relation_adapter.pipeline.encoders import encode_texts
from relation_adapter.pipeline.exact_edits import Exact, numbers
from relation_adapter.pipeline.exact_told import told_exactly
from relation_adapter.pipeline.pictures import decode, to_tensor, units
from relation_adapter.pipeline.request import Weighted
from relation_adapter.relation import Relation
from relation_adapter.remainder import Shown, carried
from relation_adapter.stillness import stilled, threshold_of
from relation_adapter.tones import Tones
from relation_adapter.units import Unit, to_unit


def correct(pipe: Any, relation: Relation, pairs: Sequence[Pair]) -> Relation:
    """The relation of these pairs, with its correction, and with what they say exactly.

    For a design whose flow starts at the source, and takes one step.
    """
    known = _known(pipe, relation, pairs)
    correction, share = fit_correction(known)
    wrong = float(np.mean([np.square(one.target - one.result).mean() for one in known])) + 1e-9
    relation = replace(relation, correction=torch.from_numpy(correction)[None])
    told = told_exactly(known, pairs, (1 - share) * wrong)
    if told is not None:
        relation, share = told.put(relation), max(0.0, 1 - told.error / wrong)
    else:
        relation = _with_shown(relation, known, correction)
    return replace(relation, provenance={**relation.provenance, "corrected": round(share, 3)})


def _with_shown(relation: Relation, known: Sequence[Known], correction: Coefficients) -> Relation:
    """With before, what is made of it, and after, (1, P, 3, H, W, 3), of the pairs that have the size of the first."""
    made = [(one.result + correction_of(one.result, one.source, correction)).clip(0, 1) for one in known]
    each = [(one.source, result, one.target) for one, result in zip(known, made, strict=True)]
    still = threshold_of(each)
    each = [(before, stilled(before, result, still), after) for before, result, after in each]
    alike = [np.stack(one) for one in each if one[0].shape == each[0][0].shape]
    shown = torch.from_numpy(np.stack(alike)[None].astype(np.float16))
    return replace(relation, shown=shown, provenance={**relation.provenance, **({"still": still} if still else {})})


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


def corrected(result: Unit, fit: Fit, relations: Sequence[Weighted]) -> tuple[Unit, Exact]:
    """A result (H, W, 3) in [0, 1] without what its relations know to be wrong, and what of it is known exactly.

    fit: the source as the model saw it. What one relation alone says exactly is done, and at half its strength half of
    it, at twice more of it; what several do together, the model knows better.
    """
    acting = [(one, strength) for one in relations if (strength := mean_strength(one))]
    alone = acting[0][0] if len(acting) == 1 else None
    share = 0.0 if alone is None else fmean(alone.strength)
    exact = Exact() if alone is None else Exact.of(alone.relation, share, fit)
    total, plain = result, to_unit(fit.image)
    for one, strength in acting if exact.needs_result else ():
        if one.relation.correction is not None:
            total = total + strength * correction_of(result, plain, numbers(one.relation.correction))
    total = total if total is result else total.clip(0, 1)
    if alone is not None and alone.relation.shown is not None and exact.needs_result:
        total = stilled(plain, total, share * alone.relation.still)
        total = _with_remainder(total, plain, fit, alone.relation, share)
    return exact.small(fit.image, total), exact


def _with_remainder(result: Unit, source: Unit, fit: Fit, relation: Relation, strength: float) -> Unit:
    """A corrected result with what the pairs show to be missing."""
    left, top, right, bottom = fit.box
    seen = np.s_[top:bottom, left:right]
    pairs = [] if relation.shown is None else zip(numbers(relation.shown), relation.drawn, strict=True)
    more = [_missing(shown, drawn, source[seen], result[seen]) for shown, drawn in pairs]
    found = result.copy()
    found[seen] += np.float32(strength) * np.mean(more, axis=0)
    return found.clip(0, 1)


def _missing(shown: Shown, drawn: Cartoon | Tones | None, source: Unit, result: Unit) -> Values:
    """What one pair shows to be missing: by how it was drawn, and what is left then at the same places."""
    told = np.zeros_like(source) if drawn is None else drawn.missing(source, result)
    if drawn is None or not told.any():
        return carried(shown, source, result)
    before, made, after = shown
    nearer = np.stack([before, (made + drawn.missing(before, made)).clip(0, 1), after])
    return told + carried(nearer, source, (result + told).clip(0, 1))


def check_correction(relation: Relation) -> None:
    """Raise WeightsError on one of another form."""
    forms = {
        "correction": (1, ROWS, 3),
        "linear": (1, rows_of(relation.family), 3),
        "curves": (1, LEVELS, 6),
        "filter": (1, rows_of(relation.filter_name), 3),
        "cells_table": (1, *relation.cells.form) if relation.cells is not None else None,
    }
    for name, form in forms.items():
        found = getattr(relation, name)
        if found is not None and found.shape != form:
            raise WeightsError(
                f"{relation.name}: its {name} is {tuple(found.shape)}, not {form}; encode the pair again"
            )
    laid = relation.stamp
    if laid is not None and not (relation.laid is not None and relation.laid.fits):
        raise WeightsError(
            f"{relation.name}: its stamp is {tuple(laid.shape)}, not (1, H, W, 4) inside its picture; "
            "encode the pair again"
        )
    shown = relation.shown
    if shown is not None and (shown.shape[2] != 3 or shown.shape[5] != 3 or not (0 <= shown.min() <= shown.max() <= 1)):
        raise WeightsError(
            f"{relation.name}: its shown is {tuple(shown.shape)}, not pictures (1, P, 3, H, W, 3) in [0, 1]; "
            "encode the pair again"
        )
