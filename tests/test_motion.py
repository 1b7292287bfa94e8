"""A pair that moves the whole picture is told by how, and every other picture is moved the same, at its own size."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from samples import natural

from relation_adapter import Relation, RelationPipeline
from relation_adapter.correction import Known
from relation_adapter.errors import WeightsError
from relation_adapter.exact.motion import Motion, motion_from, moved
from relation_adapter.exact.motion_fit import motion_of
from relation_adapter.units import Unit, to_unit

INSIDE = slice(16, -16)


def crop(left: int, top: int, side: int = 128) -> Image.Image:
    return natural(256).crop((left, top, left + side, top + side))


def told(before: Image.Image, after: Image.Image) -> Motion | None:
    return motion_of([Known(to_unit(before), to_unit(before), to_unit(after))])


def rolled(image: Image.Image, right: float, down: float) -> Image.Image:
    shift = round(down * image.height), round(right * image.width)
    return Image.fromarray(np.roll(np.asarray(image), shift, axis=(0, 1)))


def enlarged(image: Image.Image, factor: float) -> Image.Image:
    width, height = image.size
    x, y = width * (1 - 1 / factor) / 2, height * (1 - 1 / factor) / 2
    return image.resize(image.size, Image.Resampling.BICUBIC, box=(x, y, width - x, height - y))


def shrunk(image: Image.Image, factor: float) -> Image.Image:
    small = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)
    ground = Image.new("RGB", image.size, (250, 240, 20))
    ground.paste(small, ((image.width - small.width) // 2, (image.height - small.height) // 2))
    return ground


def off(first: Image.Image, second: Image.Image) -> float:
    return float(np.square(to_unit(first) - to_unit(second)).mean())


def test_what_is_slid_round_is_told_to_the_pixel() -> None:
    motion = told(crop(0, 0), rolled(crop(0, 0), 0.25, -0.125))
    assert motion == Motion(right=-0.25, down=0.125)
    photo = natural(192).crop((0, 0, 192, 160))
    assert moved(photo, motion) == rolled(photo, 0.25, -0.125)
    assert moved(photo, motion.part(0.5)) == rolled(photo, 0.125, -0.0625)


@pytest.mark.parametrize("factor", [1.4, 1.9])
def test_what_is_enlarged_is_told_whatever_becomes_of_its_colours(factor: float) -> None:
    for colours in (lambda image: image, ImageOps.invert):
        motion = told(crop(0, 0), colours(enlarged(crop(0, 0), factor)))
        assert motion is not None and abs(motion.scale - 1 / factor) < 0.003 and abs(motion.angle) < 0.1
        assert max(abs(motion.right), abs(motion.down)) < 0.003


@pytest.mark.parametrize("angle", [-20, 9, 33])
def test_what_is_tilted_is_told_with_the_colour_beside_it(angle: int) -> None:
    before, other = crop(0, 0), crop(128, 128)
    after = before.rotate(-angle, Image.Resampling.BICUBIC, fillcolor=(200, 30, 90))
    motion = told(before, after)
    assert motion is not None and abs(motion.angle - angle) < 0.2 and abs(motion.scale - 1) < 0.003
    assert motion.rim is not None and np.allclose(np.array(motion.rim) * 255, (200, 30, 90), atol=2)
    wanted = other.rotate(-angle, Image.Resampling.BICUBIC, fillcolor=(200, 30, 90))
    assert off(moved(other, motion), wanted) < 0.02 * off(other, wanted)


def test_what_is_shrunk_on_a_plain_ground_is_told() -> None:
    motion = told(crop(0, 0), shrunk(crop(0, 0), 0.7))
    assert motion is not None and abs(motion.scale - 1 / 0.7) < 0.01
    wanted = shrunk(crop(128, 128), 0.7)
    assert off(moved(crop(128, 128), motion), wanted) < 0.03 * off(crop(128, 128), wanted)


def test_what_is_not_moved_is_not_told() -> None:
    before = crop(0, 0)
    for after in (
        before,
        ImageOps.invert(before),
        ImageOps.mirror(before),
        crop(128, 128),
        Image.new("RGB", (128, 128)),
    ):
        assert told(before, after) is None
    assert told(Image.new("RGB", (128, 128)), before) is None


def test_half_a_motion_is_half_the_way() -> None:
    motion = Motion(scale=0.25, angle=30, right=0.2, down=-0.1, rim=(0, 0, 0))
    assert motion.part(0.5) == Motion(scale=0.5, angle=15, right=0.1, down=-0.05, rim=(0, 0, 0))
    assert motion.part(0).matrix(80, 60) == pytest.approx((1, 0, 0, 0, 1, 0))


def mini() -> RelationPipeline:
    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_mini_enlarges_a_large_photo_with_all_its_detail() -> None:
    pipe, photo = mini(), natural(384)
    read = pipe.encode_relation([(crop(0, 0), enlarged(crop(0, 0), 1.6))])
    assert read.motion is not None and read.linear is not None
    made: Unit = pipe(image=photo, relation=read, seed=0, output_type="np").images[0]
    wanted = to_unit(enlarged(photo, 1.6))
    assert np.square(made - wanted)[INSIDE, INSIDE].mean() < 0.02 * off(photo, enlarged(photo, 1.6))


def test_it_is_saved_and_one_of_another_form_refused(tmp_path: Path) -> None:
    pipe = mini()
    read = pipe.encode_relation([(crop(0, 0), rolled(crop(0, 0), 0.25, 0.0))])
    read.save(tmp_path / "slid.safetensors")
    assert Relation.load(tmp_path / "slid.safetensors").motion == read.motion == Motion(right=-0.25)
    for wrong in ({"scale": 0.0}, {"rim": [1, 2]}, {"right": "far"}, {"angle": float("nan")}):
        values = json.loads(json.dumps(asdict(Motion(rim=(0, 0, 0))))) | wrong
        with pytest.raises(ValueError):
            motion_from(values)
        damaged = replace(read, provenance={**read.provenance, "motion": values})
        damaged.save(tmp_path / "damaged.safetensors")
        with pytest.raises(WeightsError, match="provenance is damaged"):
            Relation.load(tmp_path / "damaged.safetensors")
