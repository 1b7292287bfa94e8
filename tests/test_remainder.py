"""What is missed of a pair at a place is added where the model changes another picture alike, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import natural

from relation_adapter import Relation, RelationPipeline
from relation_adapter.errors import WeightsError
from relation_adapter.exact.blurs import blurred
from relation_adapter.remainder import carried
from relation_adapter.units import Unit, from_unit, to_unit

Edit = Callable[[Unit], Unit]


def crop(left: int, top: int, side: int = 96) -> Unit:
    return to_unit(natural(192).crop((left, top, left + side, top + side)))


def off(first: Unit, second: Unit) -> float:
    return float(np.square(first - second).mean())


def layer(unit: Unit) -> tuple[Unit, Unit]:
    """How much a weave of diagonal threads and a frame cover, and their colours."""
    y, x = np.mgrid[: unit.shape[0], : unit.shape[1]]
    frame = (np.minimum.reduce([x, y, x[:, ::-1], y[::-1]]) < 7)[..., None]
    weave = (((x + y) // 3 + (x - y) // 5) % 2)[..., None]
    colour = np.where(frame, np.float32([0.5, 0.1, 0.2]), np.float32([0.95, 0.95, 0.9]))
    return np.where(frame, 1, 0.6 * weave).astype(np.float32), colour.astype(np.float32)


def stitched(unit: Unit) -> Unit:
    share, colour = layer(unit)
    return unit + share * (colour - unit)


def outlined(unit: Unit) -> Unit:
    """Dark lines along the contours of the picture itself."""
    steep = np.hypot(*np.gradient(blurred(unit.mean(axis=2, keepdims=True), 1.0)[..., 0]))
    return (unit * (1 - (8 * steep).clip(0, 0.9))[..., None]).astype(np.float32)


def faintly(edit: Edit, unit: Unit) -> Unit:
    """What a model makes of an edit: the picture as it is, with a blurred change."""
    return (unit + blurred(edit(unit) - unit, 1.0)).clip(0, 1)


def shown(edit: Edit, unit: Unit) -> Unit:
    return np.stack([unit, faintly(edit, unit), edit(unit)])


def test_what_lies_at_the_same_place_is_carried() -> None:
    pair, source = shown(stitched, crop(0, 0)), crop(96, 96)
    result, truth = faintly(stitched, source), stitched(source)
    made = result + carried(pair, source, result)
    assert off(made, truth) < 0.5 * off(result, truth)


def test_what_follows_the_picture_is_not() -> None:
    pair, source = shown(outlined, crop(0, 0)), crop(96, 96)
    assert not carried(pair, source, faintly(outlined, source)).any()
    still = np.stack([crop(0, 0), crop(0, 0), stitched(crop(0, 0))])  # a model that does nothing says nothing of places
    assert not carried(still, source, source).any()


def test_the_pair_edits_its_own_before_exactly() -> None:
    before, made, after = pair = shown(outlined, crop(0, 0))
    assert off(made + carried(pair, before, made), after) < 1e-5


def test_a_picture_of_another_form_gets_nothing_and_a_larger_one_the_same() -> None:
    pair, source = shown(stitched, crop(0, 0)), crop(96, 96)
    result = faintly(stitched, source)
    assert not carried(pair, source[:64], result[:64]).any()
    larger = [to_unit(from_unit(one).resize((192, 192), Image.Resampling.BICUBIC)) for one in (source, result)]
    grown = to_unit(from_unit(stitched(source)).resize((192, 192), Image.Resampling.BICUBIC))
    assert off(larger[1] + carried(pair, *larger), grown) < 0.9 * off(larger[1], grown)


def test_mini_carries_it_and_the_file_keeps_it(tmp_path: Path) -> None:
    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    before, source = from_unit(crop(0, 0, 128)), from_unit(crop(64, 64, 128))
    truth = stitched(to_unit(source))
    read = pipe.encode_relation([(before, from_unit(stitched(to_unit(before))))])
    assert not read.is_exact and read.shown is not None and read.shown.shape == (1, 1, 3, 128, 128, 3)
    read.save(tmp_path / "stitched.safetensors")
    again = Relation.load(tmp_path / "stitched.safetensors")
    error, without, half = (
        off(to_unit(pipe(image=source, relation=one, seed=0).images[0]), truth)
        for one in (again, replace(read, shown=None), [(again, 0.5)])
    )
    assert error < 0.9 * without
    assert error < half
    exactly = to_unit(pipe(image=before, relation=again, seed=0).images[0])
    assert off(exactly, stitched(to_unit(before))) < 1e-4
    for damage in (read.shown[:, :, :2], 2 * read.shown):
        with pytest.raises(WeightsError, match="encode the pair again"):
            pipe(image=source, relation=replace(read, shown=damage))
