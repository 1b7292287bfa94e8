"""Captions, watermarks, bars and drawn borders are told from one pair and laid over pictures of any size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops, ImageDraw, ImageFont
from test_filters import as_jpeg, crop, edited, off, photo

from relation_adapter import Relation, RelationPipeline
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.exact.stamp_fit import stamp_of
from relation_adapter.exact.stamps import Stamp, place_from
from relation_adapter.pipeline.cube import cube_of
from relation_adapter.units import to_unit

Edit = Callable[[Image.Image], Image.Image]


def captioned(image: Image.Image) -> Image.Image:
    stamped, font = image.copy(), ImageFont.load_default(image.height * 0.16)
    place = image.width / 2, image.height * 0.85
    ImageDraw.Draw(stamped).text(place, "SUMMER", "white", font, "mm", stroke_width=3, stroke_fill="black")
    return stamped


def watermarked(image: Image.Image) -> Image.Image:
    mark, font = Image.new("RGBA", image.size), ImageFont.load_default(image.height * 0.25)
    ImageDraw.Draw(mark).text((image.width / 2, image.height / 2), "SAMPLE", (255, 255, 255, 110), font, "mm")
    return Image.alpha_composite(image.convert("RGBA"), mark).convert("RGB")


def barred(image: Image.Image) -> Image.Image:
    stamped, high = image.copy(), image.height // 8
    for top in (0, image.height - high):
        stamped.paste("black", (0, top, image.width, top + high))
    return stamped


def on_film(image: Image.Image) -> Image.Image:
    stamped, step, high = barred(image), image.width / 10, image.height // 8
    for hole in range(10):
        for top in (high * 0.25, image.height - high * 0.75):
            box = ((hole + 0.2) * step, top, (hole + 0.7) * step, top + high * 0.5)
            ImageDraw.Draw(stamped).rectangle(box, (235, 235, 230))
    return stamped


def in_wood(image: Image.Image) -> Image.Image:
    stamped, wide = image.copy(), min(image.size) // 10
    for line in range(wide):
        shade = 0.75 + 0.35 * np.sin(line / wide * np.pi)
        box = (line, line, image.width - 1 - line, image.height - 1 - line)
        ImageDraw.Draw(stamped).rectangle(box, outline=tuple(int(shade * level) for level in (150, 95, 45)))
    return stamped


@pytest.mark.parametrize("edit", [captioned, watermarked, barred, on_film, in_wood])
def test_mini_lays_a_stamp_over_a_photo_as_the_pair_does(
    edit: Edit, pipe: RelationPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = photo("chelsea")
    other = crop(100, 100, *before.size)
    read = pipe.encode_relation([(before, edit(before))])
    assert read.laid is not None
    read.save(tmp_path / "stamp.safetensors")
    loaded = Relation.load(tmp_path / "stamp.safetensors")
    monkeypatch.setattr("relation_adapter.pipeline.exact_edits.STRIP_PIXELS", before.width * 37)
    wanted = to_unit(edit(other))
    assert off(edited(pipe, other, loaded), wanted) < 0.002 * off(to_unit(other), wanted)
    half = edited(pipe, other, loaded, strength=0.5)
    assert off(half, (to_unit(other) + wanted) / 2) < 0.002 * off(to_unit(other), wanted)
    larger = other.resize((3 * other.width, 3 * other.height))
    wanted = to_unit(edit(other).resize(larger.size))
    assert off(edited(pipe, larger, loaded), wanted) < 0.03 * off(to_unit(larger), wanted)
    with pytest.raises(UsageError, match="moves or mixes pixels"):
        cube_of(loaded)


@pytest.mark.parametrize("edit", [captioned, barred, on_film, in_wood])
def test_a_stamp_is_told_from_a_jpeg(edit: Edit) -> None:
    before, other = crop(0, 0), crop(288, 288)
    stamp = stamp_of([(before, as_jpeg(edit(before)))], noise=0.001)
    assert stamp is not None
    source, wanted = to_unit(other), to_unit(edit(other))
    assert off(stamp.lay(source, 0, other.height), wanted) < 0.06 * off(source, wanted)


def test_what_follows_the_picture_is_no_stamp() -> None:
    before = photo("chelsea")
    dark = np.asarray(before.convert("L").point([255 * (level < 80) for level in range(256)])) > 0
    recoloured = np.asarray(before).copy()
    recoloured[dark] = (200, 30, 40)
    confetti = before.copy()
    for left, top in np.random.default_rng(0).integers(0, 180, (60, 2)).tolist():
        confetti.paste("yellow", (left, top, left + 4, top + 4))
    turned = before.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for after in (
        Image.fromarray(recoloured),
        confetti,
        turned,
        before,
        ImageChops.invert(before),
        before.resize((9, 9)),
    ):
        assert stamp_of([(before, after)]) is None


def test_all_pairs_have_to_show_the_same_stamp() -> None:
    one, other = crop(0, 0), crop(288, 288)
    assert stamp_of([(one, captioned(one)), (other, captioned(other))]) is not None
    assert stamp_of([(one, captioned(one)), (other, watermarked(other))]) is None
    assert stamp_of([(one, captioned(one)), (other, other.resize((20, 20)))]) is None


def test_in_pictures_of_another_form_a_stamp_keeps_its_own() -> None:
    """Beside the nearer border, and no larger than fits; what goes from side to side is stretched."""
    solid = np.zeros((20, 60, 4), np.float32)

    def laid(stamp: Stamp, width: int, height: int) -> tuple[int, int, int, int] | None:
        made = stamp.lay(np.ones((height, width, 3), np.float32), 0, height)
        return Image.fromarray(made[..., 0] < 0.5).getbbox()

    corner = Stamp(solid, left=130, top=75, width=200, height=100)
    assert laid(corner, 400, 200) == (260, 150, 380, 190)  # the same form
    assert laid(corner, 100, 100) == (35, 75, 95, 95)
    wide = Stamp(np.zeros((20, 150, 4), np.float32), left=25, top=75, width=200, height=100)
    assert laid(wide, 100, 100) == (0, 81, 100, 95)
    middle = Stamp(solid, left=70, top=40, width=200, height=100)
    assert laid(middle, 100, 100) == (20, 40, 80, 60)
    bar = Stamp(np.zeros((20, 200, 4), np.float32), left=0, top=80, width=200, height=100)
    assert laid(bar, 100, 100) == (0, 80, 100, 100)
    border = Stamp(np.zeros((90, 190, 4), np.float32), left=5, top=5, width=200, height=100)
    assert laid(border, 100, 100) == (2, 5, 98, 95)


def test_a_damaged_stamp_is_refused(pipe: RelationPipeline, tmp_path: Path) -> None:
    before = photo("chelsea")
    read = pipe.encode_relation([(before, barred(before))])
    place = read.provenance["stamp"]
    for damage in ("here", {}, {**place, "left": -1}, {**place, "width": 0}, {**place, "top": None}):
        replace(read, provenance={**read.provenance, "stamp": damage}).save(tmp_path / "odd.safetensors")
        with pytest.raises(WeightsError, match="provenance is damaged"):
            Relation.load(tmp_path / "odd.safetensors")
    unplaced = {key: value for key, value in read.provenance.items() if key != "stamp"}
    outside = {**read.provenance, "stamp": {**place, "left": 9}}
    odd = (
        replace(read, provenance=unplaced),
        replace(read, provenance=outside),
        replace(read, stamp=torch.zeros(1, 4, 4, 3)),
        replace(read, stamp=100 * torch.ones_like(read.stamp)),  # type: ignore[arg-type]
    )
    for relation in odd:
        with pytest.raises(WeightsError, match="its stamp is"):
            pipe(image=before, relation=relation)
    assert place_from(None) is None


def test_a_bar_is_whole_where_the_picture_below_has_its_colour() -> None:
    before, other = crop(0, 0), crop(288, 288)
    before.paste("black", (0, 0, 120, 120))
    stamp = stamp_of([(before, barred(before))])
    assert stamp is not None
    source, wanted = to_unit(other), to_unit(barred(other))
    assert off(stamp.lay(source, 0, other.height), wanted) < 0.001 * off(source, wanted)


def test_darker_corners_are_a_vignette_and_no_stamp(pipe: RelationPipeline) -> None:
    def darkened(image: Image.Image) -> Image.Image:
        y, x = np.mgrid[-1 : 1 : image.height * 1j, -1 : 1 : image.width * 1j]
        share = 1 - 0.9 * (np.hypot(x, y) / 2**0.5 - 0.36).clip(0)
        return Image.fromarray(np.rint(np.asarray(image) * share[..., None]).astype(np.uint8))

    shown, source = photo("astronaut"), crop(0, 0)
    read = pipe.encode_relation([(shown, darkened(shown))])
    assert read.laid is None
    wanted = to_unit(darkened(source))
    assert off(edited(pipe, source, read), wanted) < 0.02 * off(to_unit(source), wanted)
