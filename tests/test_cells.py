"""Edits drawn in a regular grid are told from one pair and done to pictures of any size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from test_filters import crop, edited, off, photo

from relation_adapter import Relation, RelationPipeline
from relation_adapter.correction import LUMA
from relation_adapter.errors import WeightsError
from relation_adapter.exact.cells import cells_from, in_cells
from relation_adapter.exact.cells_fit import fit_cells
from relation_adapter.units import Unit, from_unit, to_unit

Edit = Callable[[Image.Image, int], Image.Image]


def in_blocks(image: Image.Image, side: int) -> Unit:
    """Blocks, as many as are begun, stretched over the picture and cut."""
    counts = [-(-length // side) for length in image.size]
    small = image.resize((counts[0], counts[1]), Image.Resampling.BOX)
    blocks = small.resize((counts[0] * side, counts[1] * side), Image.Resampling.NEAREST)
    return to_unit(blocks.crop((0, 0, *image.size)))


def places(image: Image.Image, side: int) -> tuple[Unit, Unit]:
    """(H, W) down and across: of every pixel in its cell, from 0 to 1."""
    down, across = np.mgrid[: image.height, : image.width]
    return (down % side + 0.5) / side, (across % side + 0.5) / side


def bricks(image: Image.Image, times: int = 1) -> Image.Image:
    blocks, (down, across) = in_blocks(image, 10 * times), places(image, 10 * times)
    stud = np.hypot(down - 0.5, across - 0.5) < 0.3
    shade = np.where((down > 0.85) | (across > 0.85), 0.6, np.where(stud, 1.0, 0.85))
    return from_unit((blocks * shade[..., None]).astype(np.float32))


def stitched(image: Image.Image, times: int = 1) -> Image.Image:
    blocks, (down, across) = in_blocks(image, 7 * times), places(image, 7 * times)
    thread = (np.abs(down - across) < 0.2) | (np.abs(down + across - 1) < 0.2)
    return from_unit(np.where(thread[..., None], 0.9 * blocks, np.float32([0.9, 0.88, 0.8])).astype(np.float32))


def scan_lines(image: Image.Image, times: int = 1) -> Image.Image:
    dark = np.arange(image.height) // times % 4 < 2
    return from_unit(to_unit(image) * np.where(dark, np.float32(0.5), np.float32(1))[:, None, None])


def dots(image: Image.Image, times: int = 1) -> Image.Image:
    """Ink on paper, larger where it is dark."""
    light, (down, across) = in_blocks(image, 7 * times) @ LUMA, places(image, 7 * times)
    inked = 0.75 * np.sqrt(1 - light) - np.hypot(down - 0.5, across - 0.5)
    return from_unit(np.repeat((0.5 - 8 * inked).clip(0, 1)[..., None], 3, axis=2).astype(np.float32))


def dithered(image: Image.Image, times: int = 1) -> Image.Image:
    """Ordered (Bayer, 1973)."""
    order = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])
    down, across = np.mgrid[: image.height, : image.width] // times % 4
    return from_unit((to_unit(image) > ((order[down, across] + 0.5) / 16)[..., None]).astype(np.float32))


def threads(image: Image.Image, times: int = 1) -> Image.Image:
    """Over and under in turn; as many as fit in whole, so that none need be a whole number of pixels wide."""
    counts = [round(length / (4.6 * times)) for length in image.size]
    small = to_unit(image.resize((counts[0], counts[1]), Image.Resampling.BOX))
    right, down = ((np.arange(side) + 0.5) * many / side for side, many in zip(image.size, counts, strict=True))
    rows, columns = down.astype(int)[:, None], right.astype(int)[None]
    over = ((rows + columns) % 2 == 0)[..., None]
    return from_unit(np.where(over, small[rows, columns], np.float32([0.3, 0.25, 0.2])))


EDITS: dict[str, tuple[Edit, float]] = {
    "bricks": (bricks, 0.01),
    "stitches": (stitched, 0.01),
    "scan lines": (scan_lines, 0.005),
    "dots": (dots, 0.08),
    "ordered dithering": (dithered, 0.12),
    "threads": (threads, 0.02),
}


@pytest.mark.parametrize("name", EDITS)
def test_mini_draws_a_photo_in_the_grid_of_the_pair(
    name: str, pipe: RelationPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit, most = EDITS[name]
    before, other = photo("astronaut"), crop(0, 0, 260, 330)
    read = pipe.encode_relation([(before, edit(before, 1))])
    assert read.cells is not None
    read.save(tmp_path / "cells.safetensors")
    loaded = Relation.load(tmp_path / "cells.safetensors")
    assert loaded.cells == read.cells
    monkeypatch.setattr("relation_adapter.exact.cells.STRIP_PIXELS", 260 * 37)
    source, wanted = to_unit(other), to_unit(edit(other, 1))
    made = edited(pipe, other, loaded)
    assert off(made, wanted) < most * off(source, wanted)
    assert off(edited(pipe, other, loaded, strength=0.5), (source + made) / 2) < 1e-4


@pytest.mark.parametrize("name", ["bricks", "scan lines", "threads"])
def test_the_grid_grows_with_a_source_of_another_size(name: str, pipe: RelationPipeline) -> None:
    edit, before = EDITS[name][0], photo("astronaut")
    read = pipe.encode_relation([(before, edit(before, 1))])
    larger = photo("astronaut", 3 * before.width)
    wanted = to_unit(edit(larger, 3))
    assert off(edited(pipe, larger, read), wanted) < 0.1 * off(to_unit(larger), wanted)


def test_what_is_in_no_grid_is_refused() -> None:
    before = photo("chelsea")
    noise = np.random.default_rng(0).normal(0, 0.1, (before.height, before.width, 1))
    pictures = {
        "itself": before,
        "a blur": before.filter(ImageFilter.GaussianBlur(3)),
        "grey": before.convert("L").convert("RGB"),
        "noise": from_unit((to_unit(before) + noise).clip(0, 1).astype(np.float32)),
        "an oil painting": before.filter(ImageFilter.ModeFilter(7)),
        "a contour": before.filter(ImageFilter.CONTOUR),
        "another": photo("astronaut").resize(before.size),
    }
    found = {name: fit_cells([(to_unit(before), to_unit(after))]) for name, after in pictures.items()}
    assert {name for name, one in found.items() if one is not None and one[2] < 0.3} == set()


def test_a_grid_in_both_pictures_is_no_edit() -> None:
    drawn = bricks(photo("astronaut"))
    assert fit_cells([(to_unit(drawn), to_unit(drawn.convert("L").convert("RGB")))]) is None


def test_two_pairs_tell_more_than_one() -> None:
    other = crop(0, 0)
    pairs = [(to_unit(image), to_unit(dots(image))) for image in (photo("astronaut"), photo("chelsea"))]
    size = tuple(min(sides) for sides in zip(*(before.shape[:2] for before, _ in pairs), strict=True))
    pairs = [(before[: size[0], : size[1]], after[: size[0], : size[1]]) for before, after in pairs]
    left = []
    for told in (pairs[:1], pairs):
        found = fit_cells(told)
        assert found is not None
        left.append(off(in_cells(to_unit(other), *found[:2]), to_unit(dots(other))))
    assert left[1] < left[0]


def test_damaged_cells_are_refused(pipe: RelationPipeline, tmp_path: Path) -> None:
    read = pipe.encode_relation([(photo("astronaut"), stitched(photo("astronaut")))])
    kept = read.provenance["cells"]
    odd = (
        {"height": -1},
        {"height": 0, "width": 0},
        {"shown": "all"},
        {"way": "any"},
        {"every": 3},
        {"places": [0, 1]},
    )
    for damage in ("grid", {}, *({**kept, **one} for one in odd), {**kept, "places": 5}):
        replace(read, provenance={**read.provenance, "cells": damage}).save(tmp_path / "odd.safetensors")
        with pytest.raises(WeightsError, match="provenance is damaged"):
            Relation.load(tmp_path / "odd.safetensors")
    assert cells_from(None) is None
    table = read.cells_table
    assert table is not None
    for wrong in (
        replace(read, cells_table=table[:, :3]),
        replace(read, provenance={**read.provenance, "cells": None}),
    ):
        with pytest.raises(WeightsError, match="its cells_table is"):
            edited(pipe, crop(0, 0), wrong)
