"""Edits that are curves are read off one pair level by level, and done exactly to a picture of any size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps
from samples import natural

from relation_adapter import Relation, RelationPipeline
from relation_adapter.correction import Known
from relation_adapter.errors import WeightsError
from relation_adapter.exact.curves import BY_PIXEL, LEVELS, curves_of, fit_blurred_curves, fit_curves, is_driver
from relation_adapter.exact.turns import turn_of
from relation_adapter.pipeline.exact_told import told_exactly
from relation_adapter.units import Unit, to_unit

Edit = Callable[[Image.Image], Image.Image]


def crop(left: int, top: int, side: int = 128) -> Image.Image:
    return natural(256).crop((left, top, left + side, top + side))


def known(before: Image.Image, after: Image.Image) -> Known:
    return Known(to_unit(before), to_unit(before), to_unit(after))


def gradient_map(image: Image.Image) -> Image.Image:
    luma = np.asarray(image.convert("L"), np.float32) / 255
    return Image.fromarray(np.uint8(255 * np.stack([luma**2, 1 - luma, np.sin(3 * luma)], axis=-1)))


EDITS: dict[str, tuple[Edit, str]] = {
    "gamma": (lambda image: image.point(lambda value: round(255 * (value / 255) ** 0.5)), "colours alike"),
    "posterize": (lambda image: ImageOps.posterize(image, 2), "colours alike"),
    "solarize": (lambda image: ImageOps.solarize(image, 128), "colours alike"),
    "red alone": (
        lambda image: image.point([255 - value for value in range(256)] + [*range(256)] * 2),
        "colours",
    ),
    "gradient map": (gradient_map, "luma"),
}


def off(first: Unit, second: Unit) -> float:
    return float(np.square(first - second).mean())


@pytest.mark.parametrize("name", EDITS)
def test_one_pair_tells_it_and_another_picture_is_edited_the_same(name: str) -> None:
    edit, driver = EDITS[name]
    table, found, error = fit_curves([known(crop(0, 0), edit(crop(0, 0)))])
    assert table.shape == (LEVELS, 6) and found == driver and found in BY_PIXEL and error < 1e-4
    other = to_unit(crop(128, 128))
    wanted = to_unit(edit(crop(128, 128)))
    assert off(curves_of(other, wanted, table, found), wanted) < 0.001 * off(other, wanted)
    left = curves_of(other, np.full_like(other, 7), table, found) == 7  # whose levels the pair has not
    assert left.mean() < 0.2


def blue_lines(image: Image.Image) -> Image.Image:
    luma = np.asarray(image.convert("L").filter(ImageFilter.GaussianBlur(1.3)), np.float32) / 255
    share = (12 * np.hypot(*np.gradient(luma))[..., None]).clip(0, 1)
    return Image.fromarray(np.uint8(255 * ((1 - share) * [0.1, 0.2, 0.6] + share * [0.9, 0.95, 1.0])))


def two_inks(image: Image.Image) -> Image.Image:
    luma = np.asarray(image.convert("L").filter(ImageFilter.GaussianBlur(2.4)), np.float32) / 255
    return Image.fromarray(np.uint8(255 * np.where(luma[..., None] > 0.5, [0.95, 0.9, 0.7], [0.8, 0.1, 0.3])))


def pencil_sketch(image: Image.Image) -> Image.Image:
    """Grey divided by its blur, as photo programs make a sketch."""
    luma = np.asarray(image.convert("L"), np.float32) + 1
    soft = np.asarray(image.convert("L").filter(ImageFilter.GaussianBlur(4.4)), np.float32) + 1
    return Image.fromarray(np.uint8((255 * luma / soft).clip(0, 255))).convert("RGB")


def line_drawing(image: Image.Image) -> Image.Image:
    """Dark where a fine blur is darker than a coarse one."""
    fine, coarse = (
        np.asarray(image.convert("L").filter(ImageFilter.GaussianBlur(sigma)), np.float32) / 255 for sigma in (1.7, 2.7)
    )
    bare = (20 * (fine - coarse) + 1).clip(0, 1)[..., None]
    return Image.fromarray(np.uint8(255 * ((1 - bare) * [0.2, 0.1, 0.3] + bare * [1.0, 0.95, 0.8])))


MAPS = [
    (blue_lines, "steep", 1.3),
    (two_inks, "luma", 2.4),
    (pencil_sketch, "dodge", 4.4),
    (line_drawing, "difference", 1.7),
]


@pytest.mark.parametrize(("edit", "kind", "sigma"), MAPS)
def test_so_are_gradient_maps_of_blurs_and_what_they_tell(edit: Edit, kind: str, sigma: float) -> None:
    found_curves = fit_blurred_curves([known(crop(0, 0), edit(crop(0, 0)))], 2e-3)
    assert found_curves is not None
    table, driver, _ = found_curves
    found, _, near = driver.partition(" ")
    assert is_driver(driver) and found == kind and abs(float(near) / sigma - 1) < 0.15
    other, wanted = to_unit(crop(128, 128)), to_unit(edit(crop(128, 128)))
    assert off(curves_of(other, wanted, table, driver), wanted) < 0.05 * off(other, wanted)
    assert not any(map(is_driver, ("steep", "luma far", "steep 99", "luma -1", "hue 2")))


def test_levels_that_the_pair_has_not_are_left_to_the_result() -> None:
    dark = crop(0, 0).point(lambda value: value // 3)
    table, driver, _ = fit_curves([known(dark, ImageOps.invert(dark))])
    source, result = np.full((4, 4, 3), 0.9, np.float32), np.full((4, 4, 3), 0.4, np.float32)
    assert np.array_equal(curves_of(source, result, table, driver), result)
    assert not np.array_equal(curves_of(source / 4, result, table, driver), result)


def test_gain_offset_and_gamma_go_on_where_the_pair_has_no_levels() -> None:
    """A dark photo shows how bright ones are brightened."""
    dark = crop(0, 0).point(lambda value: value // 2)
    brighten = lambda image: image.point(lambda value: round(min(310 * (value / 255) ** 0.6 + 4, 255)))  # noqa: E731
    table, driver, _ = fit_curves([known(dark, brighten(dark))])
    bright = crop(128, 128)
    wanted = to_unit(brighten(bright))
    made = curves_of(to_unit(bright), np.zeros_like(wanted), table, driver)
    assert np.abs(made - wanted).max() < 4 / 255
    posterized = fit_curves([known(dark, ImageOps.posterize(dark, 3))])[0]
    assert not posterized[160:, 3:].any()  # no such curve: what is not known stays so


def test_of_another_edit_much_is_left() -> None:
    assert fit_curves([known(crop(0, 0), crop(128, 128))])[2] > 0.01
    plain = Image.new("RGB", (20, 20), (200, 10, 10))
    assert np.isfinite(fit_curves([known(plain, ImageOps.invert(plain))])[0]).all()


def test_what_looks_like_a_turn_by_its_luma_is_still_read_as_it_is() -> None:
    """Solarized, light is dark, and the source turned may be more like the target than the source itself."""
    before = natural(192).crop((0, 0, 96, 96))
    after = ImageOps.solarize(before, 128)
    assert turn_of([known(before, after)])
    told = told_exactly([known(before, after)], [(before, after)], off(to_unit(before), to_unit(after)))
    assert told is not None and told.turn == "" and told.driver == "colours alike" and told.error < 1e-6


def mini() -> RelationPipeline:
    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("name", ["posterize", "gradient map"])
def test_mini_does_it_to_every_pixel_of_a_large_photo(name: str) -> None:
    """At the size that the model sees, pixels are means of what the curve bends apart."""
    edit, driver = EDITS[name]
    pipe, photo = mini(), natural(384)
    before = natural(384).transpose(Image.Transpose.ROTATE_90)
    read = pipe.encode_relation([(before, edit(before))])
    assert read.curves is not None and read.driver == driver
    made = pipe(image=photo, relation=read, seed=0, output_type="np").images[0]
    assert off(made, to_unit(edit(photo))) < 0.01 * off(to_unit(photo), to_unit(edit(photo)))
    half = pipe(image=photo, relation=read, strength=0.5, seed=0, output_type="np").images[0]
    assert off(half, (to_unit(edit(photo)) + to_unit(photo)) / 2) < 0.01 * off(to_unit(photo), to_unit(edit(photo)))


def test_they_are_saved_and_those_of_another_form_refused(tmp_path: Path) -> None:
    pipe = mini()
    read = pipe.encode_relation([(crop(0, 0), ImageOps.solarize(crop(0, 0), 100))])
    read.save(tmp_path / "solarize.safetensors")
    loaded = Relation.load(tmp_path / "solarize.safetensors")
    assert read.curves is not None and loaded.driver == read.driver
    first, second = (pipe(image=crop(0, 0), relation=one, seed=0).images[0] for one in (read, loaded))
    assert first == second
    with pytest.raises(WeightsError, match="its curves is"):
        pipe(image=crop(0, 0), relation=replace(read, curves=read.curves[:, 1:]))
    replace(read, provenance={**read.provenance, "curves": "smells"}).save(tmp_path / "odd.safetensors")
    with pytest.raises(WeightsError, match="provenance is damaged"):
        Relation.load(tmp_path / "odd.safetensors")
