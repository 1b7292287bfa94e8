"""Edits that are a table from colour to colour are told from one pair, and done to pictures of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops
from test_filters import Edit, as_jpeg, crop, edited, off, photo

from relation_adapter import Relation, RelationPipeline
from relation_adapter.correction import Known
from relation_adapter.exact.families import family_of, numbers_of
from relation_adapter.exact.lattice import CORNERS, SIDE, changes_all, fit_lattice, lattice_of
from relation_adapter.units import Unit, to_unit


def vivid(image: Image.Image) -> Image.Image:
    hues, colourful, light = image.convert("HSV").split()
    return Image.merge("HSV", [hues, colourful.point(lambda value: min(255, value * 8 // 5)), light]).convert("RGB")


def bleached(image: Image.Image) -> Image.Image:
    return ImageChops.overlay(image, image.convert("L").convert("RGB"))


def turned(colours: Unit) -> Unit:
    """A hue's turn by a sixth: straight where the order of red, green and blue is the same."""
    low, high = colours.min(axis=-1, keepdims=True), colours.max(axis=-1, keepdims=True)
    return np.roll(low + high - colours, 1, axis=-1)


def known(source: Unit, target: Unit) -> list[Known]:
    return [Known(source, source, target)]


def test_a_table_tells_colours_that_the_pair_lacks_from_those_near_them() -> None:
    rng = np.random.default_rng(0)
    source, other = rng.random((128, 128, 3), np.float32), rng.random((64, 64, 3), np.float32)
    table, error = fit_lattice(known(source, turned(source)))
    assert table.shape == (CORNERS, 3) and error < 1e-4
    assert off(lattice_of(other, table), turned(other)) < 1e-5
    dark = source * np.float32(0.8)  # and no light colours
    table, _ = fit_lattice(known(dark, dark * dark))
    assert off(lattice_of(other, table), other * other) < 0.05 * off(other, other * other)


def test_a_pair_of_two_colours_says_no_more_than_they_do() -> None:
    source = np.zeros((32, 32, 3), np.float32)
    source[:16] = 0.05  # in one cell with black: no other cell has any colour
    table, error = fit_lattice(known(source, 1 - source))
    assert np.isfinite(table).all() and error < 1e-6
    assert off(lattice_of(source, table), 1 - source) < 1e-6


def test_the_corners_of_a_table_are_the_colours_they_stand_for() -> None:
    same = (np.indices((SIDE,) * 3).reshape(3, -1).T / (SIDE - 1)).astype(np.float32)
    source = np.random.default_rng(1).random((20, 30, 3), np.float32)
    source[0, :4] = [[0, 0, 0], [1, 1, 1], [1, 0, 0], [0.5, 0.5, 1]]
    np.testing.assert_allclose(lattice_of(source, same), source, atol=1e-6)
    np.testing.assert_allclose(numbers_of(source, family_of("lattice"))[:, 0] @ same, source.reshape(-1, 3), atol=1e-6)


@pytest.mark.parametrize("shown", ["as it is", "as a JPEG"])
@pytest.mark.parametrize("edit", [vivid, bleached])
def test_mini_reads_a_look_off_a_pair_and_gives_it_to_a_larger_photo(
    edit: Edit, shown: str, pipe: RelationPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, other = photo("astronaut"), photo("coffee", 400)
    read = pipe.encode_relation([(before, edit(before) if shown == "as it is" else as_jpeg(edit(before)))])
    assert read.family == "lattice"
    read.save(tmp_path / "look.safetensors")
    loaded = Relation.load(tmp_path / "look.safetensors")
    wanted, plain = to_unit(edit(other)), to_unit(other)
    whole = edited(pipe, other, loaded)
    assert off(whole, wanted) < (0.05 if shown == "as it is" else 0.12) * off(plain, wanted)
    monkeypatch.setattr("relation_adapter.pipeline.exact_edits.STRIP_PIXELS", 400 * 37)
    np.testing.assert_array_equal(edited(pipe, other, loaded), whole)
    half = edited(pipe, other, loaded, strength=0.5)
    assert off(half, (plain + whole) / 2) < (1 / 255) ** 2


def test_a_thing_of_another_colour_is_no_look(pipe: RelationPipeline) -> None:
    before = crop(0, 0)
    after = before.copy()
    after.paste(vivid(before).crop((0, 0, 288, 90)), (0, 0))
    assert not changes_all(known(to_unit(before), to_unit(after)))
    painted = before.copy()
    painted.paste((200, 30, 40), (0, 0, 288, 250))  # most of it, but in one colour
    assert not changes_all(known(to_unit(before), to_unit(painted)))
    assert changes_all(known(to_unit(before), to_unit(vivid(before))))
    assert pipe.encode_relation([(before, painted)]).family != "lattice"
