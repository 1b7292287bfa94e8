"""Filters that count pixels, and blocks, are told of pairs at their own size, JPEGs too, and done to the pixel."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from samples import natural

from relation_adapter import Relation, RelationPipeline
from relation_adapter.errors import WeightsError
from relation_adapter.exact.blocks import block_of, in_blocks
from relation_adapter.exact.families import FILTERS, family_of
from relation_adapter.exact.filters import fit_filter
from relation_adapter.exact.jpeg import jpeg_of
from relation_adapter.exact.linear import linear_of
from relation_adapter.images import open_picture
from relation_adapter.units import Unit, to_unit

Edit = Callable[[Image.Image], Image.Image]

SIDE = 288


def crop(left: int, top: int, width: int = SIDE, height: int = SIDE) -> Image.Image:
    return natural(2 * SIDE).crop((left, top, left + width, top + height))


def photo(name: str, side: int = SIDE) -> Image.Image:
    """Of another size than the file, so that nothing is left of how that was saved."""
    image = open_picture(Path(__file__).parents[1] / "examples" / "photos" / f"{name}.jpg")
    return image.resize((side, side * image.height // image.width), Image.Resampling.LANCZOS)


def off(first: Unit, second: Unit) -> float:
    return float(np.square(first - second).mean())


def as_jpeg(image: Image.Image, quality: int = 90) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def pixelated(image: Image.Image) -> Image.Image:
    small = image.resize((image.width // 6, image.height // 6), Image.Resampling.BOX)
    return small.resize(image.size, Image.Resampling.NEAREST)


def filtered(kernel: ImageFilter.Filter | type[ImageFilter.Filter]) -> Edit:
    return lambda image: image.filter(kernel)


EDITS: dict[str, tuple[Edit, str]] = {
    "sharpen": (filtered(ImageFilter.UnsharpMask(2, 150, 0)), "close blurs"),
    "soften": (filtered(ImageFilter.GaussianBlur(1.3)), "close blurs"),
    "smooth": (filtered(ImageFilter.SMOOTH), "around"),
    "emboss": (filtered(ImageFilter.EMBOSS), "around"),
    "median": (filtered(ImageFilter.MedianFilter(5)), "median 5"),
    "darkest": (filtered(ImageFilter.MinFilter(3)), "darkest 3"),
    "lightest": (filtered(ImageFilter.MaxFilter(7)), "lightest 7"),
    "a grey relief": (lambda image: EDITS["emboss"][0](image.convert("L").convert("RGB")), "relief"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_filter_is_told_from_one_pair_and_done_the_same_elsewhere(name: str) -> None:
    edit, expected = EDITS[name]
    before, other = crop(0, 0), crop(SIDE, SIDE)
    found = fit_filter([(before, edit(before))], [None], fine=False)
    assert found is not None
    coefficients, family, share = found
    assert family == expected and share < 0.02
    inside, source, wanted = np.s_[8:-8, 8:-8], to_unit(other), to_unit(edit(other))  # programs differ at the rim
    made = linear_of(source, coefficients, family)
    assert off(made[inside], wanted[inside]) < 0.02 * off(source[inside], wanted[inside])


def test_what_is_done_to_a_part_alone_is_no_filter() -> None:
    before = crop(0, 0, 2 * SIDE, 2 * SIDE)
    after, box = before.copy(), (20, 20, 250, 250)
    after.paste(before.crop(box).filter(ImageFilter.GaussianBlur(2)), box)
    assert fit_filter([(before, after)], [None], fine=False) is None
    painted = before.copy()
    painted.paste((200, 30, 30), box)
    assert fit_filter([(before, painted)], [None], fine=False) is None
    assert fit_filter([(before, before)], [None], fine=False) is None


@pytest.mark.parametrize("name", ["sharpen", "soften", "median", "emboss"])
def test_a_filter_is_told_of_a_jpeg(name: str) -> None:
    edit, expected = EDITS[name]
    before, other = photo("chelsea"), photo("astronaut")
    after = as_jpeg(edit(before))
    found = fit_filter([(before, after)], [jpeg_of(after)], fine=False)
    assert found is not None and found[1] in (expected, "around", "close blurs")
    inside, source, wanted = np.s_[8:-8, 8:-8], to_unit(other), to_unit(edit(other))
    made = linear_of(source, *found[:2])
    assert off(made[inside], wanted[inside]) < 0.1 * off(source[inside], wanted[inside])


def test_a_jpeg_is_told_from_what_was_none_and_so_is_its_noise() -> None:
    picture = photo("chelsea")
    for quality in (75, 88, 95):
        found = jpeg_of(as_jpeg(picture, quality))
        assert found is not None and abs(found.quality - quality) <= 5
        noise = off(to_unit(as_jpeg(picture, quality)), to_unit(picture))
        assert noise / 3 < found.noise < 3 * noise
    assert jpeg_of(picture) is None
    assert jpeg_of(picture.filter(ImageFilter.GaussianBlur(1))) is None
    assert jpeg_of(as_jpeg(picture).resize((200, 200), Image.Resampling.LANCZOS)) is None
    assert jpeg_of(picture.crop((0, 0, 15, 40))) is None


@pytest.mark.parametrize("size", [(SIDE, SIDE), (200, 288), (131, 97)])
def test_blocks_are_counted(size: tuple[int, int]) -> None:
    picture = photo("astronaut", 400).crop((60, 20, 60 + size[0], 20 + size[1]))
    for after in (pixelated(picture), as_jpeg(pixelated(picture))):
        block = block_of(after)
        assert block is not None and abs(block - 6) < 0.3
        assert in_blocks(picture, block) == pixelated(picture)
    assert block_of(picture) is None
    assert block_of(picture.filter(ImageFilter.MedianFilter(7))) is None


def edited(pipe: RelationPipeline, source: Image.Image, relation: Relation, strength: float = 1.0) -> Unit:
    return to_unit(pipe(image=source, relation=relation, strength=strength, seed=0).images[0])


@pytest.mark.parametrize("name", ["sharpen", "median"])
def test_mini_filters_a_large_photo_in_strips_without_seams_and_the_file_keeps_it(
    name: str, pipe: RelationPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit, family = EDITS[name]
    read = pipe.encode_relation([(crop(0, 0), edit(crop(0, 0)))])
    assert read.filter_name == family and read.is_exact and read.own_side == SIDE
    read.save(tmp_path / "filter.safetensors")
    loaded = Relation.load(tmp_path / "filter.safetensors")
    monkeypatch.setattr("relation_adapter.pipeline.exact_edits.STRIP_PIXELS", 400 * 50)
    large = crop(30, 0, 400, 500)
    made, wanted = edited(pipe, large, loaded), to_unit(edit(large))
    nothing = off(to_unit(large), wanted)
    assert off(made, wanted) < 0.02 * nothing
    assert np.abs(made - wanted).mean(axis=(1, 2)).max() < 0.03  # no row stands out
    half = edited(pipe, large, loaded, strength=0.5)
    assert off(half, (to_unit(large) + wanted) / 2) < 0.02 * nothing
    for key, value in (("filter", "oil"), ("own_side", -1), ("own_side", "wide"), ("block", [])):
        replace(read, provenance={**read.provenance, key: value}).save(tmp_path / "odd.safetensors")
        with pytest.raises(WeightsError, match="provenance is damaged"):
            Relation.load(tmp_path / "odd.safetensors")
    with pytest.raises(WeightsError, match="its filter is"):
        pipe(image=large, relation=replace(read, filter=read.filter[:, 1:]))


def test_of_a_source_of_another_size_the_blur_that_the_model_sees_is_made(pipe: RelationPipeline) -> None:
    soften = filtered(ImageFilter.GaussianBlur(3))
    read = pipe.encode_relation([(crop(0, 0), soften(crop(0, 0)))])
    assert read.filter is not None and read.family == "blurs"
    large = crop(0, 0).resize((4 * SIDE, 4 * SIDE), Image.Resampling.BICUBIC)
    made = edited(pipe, large, read)
    wider, same = (to_unit(large.filter(ImageFilter.GaussianBlur(radius))) for radius in (12, 3))
    assert off(made, wider) < 0.2 * off(made, same)


def test_mini_reads_a_pair_of_jpegs_as_what_they_were_saved_from(pipe: RelationPipeline) -> None:
    brighter = lambda image: image.point([min(255, round(1.3 * level)) for level in range(256)] * 3)  # noqa: E731
    before, other = photo("chelsea"), photo("astronaut")
    read = pipe.encode_relation([(before, as_jpeg(brighter(before)))])
    assert read.is_exact and read.filter is None
    wanted = to_unit(brighter(other))
    assert off(edited(pipe, other, read), wanted) < 0.005 * off(to_unit(other), wanted)


@pytest.mark.parametrize("shown", ["as it is", "as a JPEG"])
def test_mini_cuts_a_large_photo_into_the_pair_s_blocks(shown: str, pipe: RelationPipeline) -> None:
    before, other = photo("astronaut"), crop(SIDE, 0, SIDE, 400)
    after = pixelated(before) if shown == "as it is" else as_jpeg(pixelated(before))
    read = pipe.encode_relation([(before, after)])
    assert read.block == 6
    wanted = to_unit(pixelated(other))
    assert off(edited(pipe, other, read), wanted) < 0.01 * off(to_unit(other), wanted)
    large = crop(0, 0).resize((4 * SIDE, 4 * SIDE), Image.Resampling.BICUBIC)  # there they are four times as large
    made = edited(pipe, large, read)
    assert math.isclose(block_of(Image.fromarray(np.uint8(made * 255))) or 0, 24, abs_tol=0.5)


def test_every_filter_says_how_far_it_reaches() -> None:
    for name in FILTERS:
        family = family_of(name)
        source = to_unit(crop(0, 0, 96, 96))
        other = source.copy()
        other[48 + family.reach + 1 :, :] = 1 - other[48 + family.reach + 1 :, :]
        shown = [family.shown(one).reshape(96, 96, 3, -1)[:49] for one in (source, other)]
        assert np.allclose(*shown, atol=2e-3), name
