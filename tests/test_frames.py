"""Frames around a picture, and levels set by its own, are told from one pair and done to pictures of any size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from test_filters import as_jpeg, crop, edited, off, photo

from relation_adapter import Relation, RelationPipeline
from relation_adapter.errors import WeightsError
from relation_adapter.exact.frames import Frame, frame_from, frame_of
from relation_adapter.exact.levels import FLIPPED, SET, levels_of
from relation_adapter.units import to_unit

Edit = Callable[[Image.Image], Image.Image]


def covered(image: Image.Image) -> Image.Image:
    return ImageOps.expand(ImageOps.crop(image, 18), 18, (240, 232, 210))


def mounted(image: Image.Image) -> Image.Image:
    """Grey, and all of it in a mount that is wider below."""
    mount = Image.new("RGB", image.size, "black")
    mount.paste(image.convert("L").convert("RGB").resize((image.width - 40, image.height - 70)), (20, 20))
    return mount


@pytest.mark.parametrize("shown", ["as it is", "as a JPEG"])
@pytest.mark.parametrize("edit", [covered, mounted])
def test_mini_frames_a_photo_as_the_pair_does(
    edit: Edit, shown: str, pipe: RelationPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, other = photo("astronaut"), crop(0, 0, 260, 330)
    after = edit(before) if shown == "as it is" else as_jpeg(edit(before))
    read = pipe.encode_relation([(before, after)])
    assert read.frame is not None and read.frame.shrunk == (edit is mounted)
    read.save(tmp_path / "frame.safetensors")
    loaded = Relation.load(tmp_path / "frame.safetensors")
    assert loaded.frame == read.frame
    monkeypatch.setattr("relation_adapter.pipeline.exact_edits.STRIP_PIXELS", 260 * 37)
    wanted = to_unit(edit(other))
    assert off(edited(pipe, other, loaded), wanted) < 0.005 * off(to_unit(other), wanted)
    larger = before.resize((3 * before.width, 3 * before.height))  # of another size: as wide in shares of it
    wanted = to_unit(after.resize(larger.size))
    assert off(edited(pipe, larger, loaded), wanted) < 0.03 * off(to_unit(larger), wanted)


def test_what_was_there_before_or_is_as_wide_as_the_picture_is_no_frame() -> None:
    framed = covered(crop(0, 0))
    assert frame_of(framed, framed.convert("L").convert("RGB")) is None
    assert frame_of(crop(0, 0), Image.new("RGB", (288, 288), "red")) is None
    assert frame_of(crop(0, 0), crop(0, 0)) is None
    bars = crop(0, 0)
    bars.paste("black", (0, 0, 288, 30))
    assert frame_of(crop(0, 0), bars) is None  # above alone
    assert frame_of(crop(0, 0), framed) == Frame(18, 18, 18, 18, tuple(np.float32([240, 232, 210]) / 255), False)


def test_a_damaged_frame_or_unknown_levels_are_refused(pipe: RelationPipeline, tmp_path: Path) -> None:
    read = pipe.encode_relation([(photo("astronaut"), covered(photo("astronaut")))])
    frame = read.provenance["frame"]
    damages = ("thick", {}, {**frame, "left": -1}, {**frame, "colour": [2, 0, 0]}, {**frame, "colour": 5})
    for key, value in (*(("frame", damage) for damage in damages), ("levels", "loudest")):
        replace(read, provenance={**read.provenance, key: value}).save(tmp_path / "odd.safetensors")
        with pytest.raises(WeightsError, match="provenance is damaged"):
            Relation.load(tmp_path / "odd.safetensors")
    assert frame_from(None) is None


@pytest.mark.parametrize("shown", ["as it is", "as a JPEG"])
@pytest.mark.parametrize("name", SET)
def test_mini_sets_levels_by_those_of_each_picture(name: str, shown: str, pipe: RelationPipeline) -> None:
    dull = crop(0, 0).point([90 + level // 4 for level in range(256)] * 3)
    bright = photo("astronaut").point([20 + level // 2 for level in range(256)] * 3)
    after = SET[name](bright) if shown == "as it is" else as_jpeg(SET[name](bright))
    read = pipe.encode_relation([(bright, after)])
    assert read.levels == name
    made, wanted = edited(pipe, dull, read), to_unit(SET[name](dull))
    assert off(made, wanted) < 0.005 * off(to_unit(dull), wanted)
    half = edited(pipe, dull, read, strength=0.5)
    assert off(half, (wanted + to_unit(dull)) / 2) < 0.005 * off(to_unit(dull), wanted)


def test_levels_that_any_curve_sets_are_none_of_their_own() -> None:
    before = photo("chelsea")
    assert levels_of([(before, before.point([min(255, 2 * level) for level in range(256)] * 3))], 0.0) is None
    assert levels_of([(before, before)], 0.0, FLIPPED) is None
