"""Effects of a photo program that are no mix of nearby pixels are told from one pair, and done the same elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from samples import natural

from relation_adapter import Relation, RelationPipeline
from relation_adapter.correction import Known
from relation_adapter.errors import WeightsError
from relation_adapter.exact.burst_fit import burst_of
from relation_adapter.exact.families import family_of, rows_of
from relation_adapter.exact.linear import fit_other, linear_of
from relation_adapter.exact.slips import MOST, Slips, slipped, slips_from, slips_of
from relation_adapter.units import Unit, to_unit

Edit = Callable[[Image.Image], Image.Image]


def crop(left: int, top: int, side: int = 96) -> Image.Image:
    return natural(192).crop((left, top, left + side, top + side))


def known(before: Image.Image, after: Image.Image) -> Known:
    return Known(to_unit(before), to_unit(before), to_unit(after))


def off(first: Unit, second: Unit) -> float:
    return float(np.square(first - second).mean())


def oil(image: Image.Image) -> Image.Image:
    """Kuwahara's filter, pixel by pixel; every square with both of its borders."""
    unit, reach = np.pad(to_unit(image).astype(np.float64), ((6, 6), (6, 6), (0, 0)), mode="edge"), 3
    found = np.empty((image.height, image.width, 3))
    for y in range(image.height):
        for x in range(image.width):
            squares = [
                unit[y + 6 - reach + down : y + 7 + reach + down, x + 6 - reach + right : x + 7 + reach + right]
                for down in (-reach, reach)
                for right in (-reach, reach)
            ]
            calm = min(squares, key=lambda square: (square @ [0.299, 0.587, 0.114]).var())
            found[y, x] = calm.mean(axis=(0, 1))
    return ImageEnhance.Color(Image.fromarray(np.uint8(np.rint(255 * found)))).enhance(1.4)


def blocks(image: Image.Image) -> Image.Image:
    return image.reduce(8).resize(image.size, Image.Resampling.NEAREST)


def zoomed(image: Image.Image) -> Image.Image:
    """Thirty exposures on the way to an enlargement of a part left of and above the middle."""
    width, height = image.size
    left, top = 0.4 * width, 0.35 * height
    shown = [
        image.resize(image.size, Image.Resampling.BILINEAR, (part * left, part * top, part * left + (1 - part) * width,
                                                              part * top + (1 - part) * height))
        for part in np.linspace(0, 0.35, 30)
    ]  # fmt: skip
    return Image.fromarray(np.uint8(np.rint(np.mean([np.asarray(one) for one in shown], axis=0))))


EFFECTS: dict[str, tuple[Edit, str]] = {
    "oil painting, more colourful": (oil, "calm 3"),
    "mosaic": (blocks, "mosaic 12"),
    "zoom burst": (zoomed, "burst"),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_one_pair_tells_it_and_another_picture_is_edited_the_same(name: str) -> None:
    edit, expected = EFFECTS[name]
    before, other = crop(0, 0), crop(96, 96)
    found = fit_other([known(before, edit(before))], off(to_unit(before), to_unit(edit(before))))
    assert found is not None
    coefficients, family, error = found
    assert family.startswith(expected) and coefficients.shape == (rows_of(family), 3)
    nothing = off(to_unit(other), to_unit(edit(other)))
    inside = np.s_[8:-8, 8:-8]  # programs differ in what they take for beyond the rim
    made = linear_of(to_unit(other), coefficients, family)
    assert off(made[inside], to_unit(edit(other))[inside]) < 0.02 * nothing
    assert error < 0.02 * nothing


def test_a_burst_of_a_picture_that_is_no_square_has_its_point_in_short_sides() -> None:
    before = natural(192).crop((0, 0, 144, 96))
    found = burst_of(to_unit(before), to_unit(zoomed(before)))
    assert found is not None  # zoomed about 0.1 of the width left of the middle, and 0.15 of the height above
    assert np.allclose(found, (-0.15, -0.15, 0.35), atol=0.03)
    assert burst_of(to_unit(before), to_unit(blocks(before))) is None


@pytest.mark.parametrize(
    "name", ["burst 0 0", "burst 0 0 1.5", "burst 9 0 0.5", "burst a b c", "burst nan 0 0.5", "oil"]
)
def test_a_family_that_no_fit_makes_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        family_of(name)


BANDS = ((0.0, 0.0, 0.0, 0.0), (0.25, 0.125, 0.0625, 0.0), (0.5, 0.0, 0.0, 0.0), (0.75, -0.25, -0.25, -0.25))


def test_bands_that_slid_are_told_to_the_pixel_and_slid_in_a_picture_of_any_size() -> None:
    glitch = lambda image: slipped(image, Slips(BANDS))  # noqa: E731
    before = crop(0, 0, 128)
    by_hand = np.array(before)
    by_hand[32:64, :, 0] = np.roll(by_hand[32:64, :, 0], 16, axis=1)
    by_hand[32:64, :, 1] = np.roll(by_hand[32:64, :, 1], 8, axis=1)
    by_hand[96:] = np.roll(by_hand[96:], -32, axis=1)
    assert np.array_equal(np.asarray(glitch(before)), by_hand)
    assert slips_of(to_unit(before), to_unit(glitch(before))) == Slips(BANDS)
    assert slips_of(to_unit(before), to_unit(before)) is None
    assert slips_of(to_unit(before), to_unit(crop(64, 64, 128))) is None  # as many tears as rows
    assert slipped(before, Slips(BANDS).part(0.5)) == slipped(before, Slips(((0.0, 0.0, 0.0, 0.0),
        (0.25, 0.0625, 0.03125, 0.0), (0.5, 0.0, 0.0, 0.0), (0.75, -0.125, -0.125, -0.125))))  # fmt: skip


def test_of_a_large_pair_what_slid_is_told_by_its_own_pixels() -> None:
    """At the size that the model sees they are no whole pixels."""
    pipe, before = RelationPipeline.from_pretrained("mini"), natural(384).crop((0, 0, 384, 290))
    pipe.set_progress_bar_config(disable=True)
    apart = Slips(((0.0, 10 / 384, 0.0, -7 / 384),))
    read = pipe.encode_relation([(before, slipped(before, apart))])
    assert read.slips == apart
    other = natural(192)
    made = to_unit(pipe(image=other, relation=read).images[0])
    assert off(made, to_unit(slipped(other, apart))) < 0.001


def test_of_a_huge_pair_some_rows_say_how_it_slid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relation_adapter.exact.slips.PIXELS", 128 * 128 // 4)
    before = crop(0, 0, 128)
    assert slips_of(to_unit(before), to_unit(slipped(before, Slips(BANDS)))) == Slips(BANDS)


def test_mini_slides_the_bands_of_a_large_photo_and_the_file_keeps_them(tmp_path: Path) -> None:
    pipe, photo = RelationPipeline.from_pretrained("mini"), natural(384)
    pipe.set_progress_bar_config(disable=True)
    before = crop(0, 0, 128)
    read = pipe.encode_relation([(before, slipped(before, Slips(BANDS)))])
    assert read.slips == Slips(BANDS)
    read.save(tmp_path / "glitch.safetensors")
    made = pipe(image=photo, relation=Relation.load(tmp_path / "glitch.safetensors"), seed=0).images[0]
    wanted = to_unit(slipped(photo, Slips(BANDS)))
    assert off(to_unit(made), wanted) < 0.01 * off(to_unit(photo), wanted)
    for damage in ("torn", [[0.0, 5, 0, 0]], [[0.5, 0, 0, 0]], [[0.0, 0, 0]], [[0.0, 0, 0, 0]] * (MOST + 1)):
        replace(read, provenance={**read.provenance, "slips": damage}).save(tmp_path / "odd.safetensors")
        with pytest.raises(WeightsError, match="provenance is damaged"):
            Relation.load(tmp_path / "odd.safetensors")
    assert slips_from(None) is None
