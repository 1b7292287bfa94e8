"""A pair whose pictures lie some pixels off each other is read as if they did not."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps
from pipelines import pipeline
from samples import natural

from relation_adapter import RelationPipeline
from relation_adapter.alignment import Shift, cropped, shift_of
from relation_adapter.units import to_unit

SIDE = 192


def view(right: int = 0, down: int = 0, side: int = SIDE) -> Image.Image:
    """A photo, its middle part, from so many pixels further to the right and down."""
    photo, start = natural(side + 64), 32
    return photo.crop((start + right, start + down, start + right + side, start + down + side))


def jpeg(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=60)
    return Image.open(stream)


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda image: image,
    "grey": ImageOps.grayscale,
    "negative": ImageOps.invert,
    "darker": lambda image: image.point(lambda value: int(value * 0.5)),
    "jpeg": jpeg,
    "sharper": lambda image: image.filter(ImageFilter.UnsharpMask(2, 80)),
}


@pytest.mark.parametrize("shift", [(1, 0), (-2, 3), (0, 5)])
@pytest.mark.parametrize("name", EDITS)
def test_a_small_shift_is_told_whatever_the_edit(name: str, shift: Shift) -> None:
    right, down = shift
    assert shift_of(view(), EDITS[name](view(-right, -down))) == shift


@pytest.mark.parametrize("name", [*EDITS, "blurred"])
def test_of_a_pair_that_fits_none_is_told(name: str) -> None:
    edit = (EDITS | {"blurred": lambda image: image.filter(ImageFilter.GaussianBlur(4))})[name]
    assert shift_of(view(), edit(view())) == (0, 0)


def test_what_is_no_small_shift_is_an_edit() -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
    others = (
        *(view(30, 0), ImageOps.mirror(view()), view().rotate(5), noise, Image.new("RGB", (SIDE, SIDE))),
        *(view().crop((0, 0, SIDE, SIDE // 2)), Image.new("RGB", (1, 1))),
    )
    assert [shift_of(view(), other) for other in others] == [(0, 0)] * len(others)
    assert shift_of(Image.new("RGB", (1, 1)), view()) == (0, 0)


def test_what_both_show_is_left() -> None:
    before, after = cropped(view(), view(-2, 3), (2, -3))
    assert before.size == after.size == (SIDE - 2, SIDE - 3)
    assert np.array_equal(before, after)


def test_a_large_pair_and_an_after_of_another_size() -> None:
    before, after = view(side=800), view(-8, 16, side=800)
    right, down = shift_of(before, after)
    assert abs(right - 8) <= 1 and abs(down + 16) <= 1  # looked for at less than half the size
    half = after.resize((400, 400))
    assert shift_of(before, half) == (right, down)
    shown, seen = cropped(before, half, (8, -16))
    assert shown.size == (792, 784) and seen.size == (396, 392)
    assert np.abs(to_unit(shown.resize(seen.size)) - to_unit(seen)).mean() < 0.02


def test_mini_reads_a_shifted_pair_nearly_as_one_that_fits() -> None:
    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    grey = lambda image: ImageOps.grayscale(image).convert("RGB")  # noqa: E731
    photo = view(20, -20).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    shifted = pipe.encode_relation([(view(), grey(view(-3, 2)))])
    assert shifted.provenance["shifts"] == [[3, -2]]
    made = to_unit(pipe(image=photo, relation=shifted, seed=0).images[0])
    wanted, doing_nothing = to_unit(grey(photo)), to_unit(photo)
    assert np.square(made - wanted).mean() < 0.1 * np.square(doing_nothing - wanted).mean()
    assert "shifts" not in pipe.encode_relation([(view(), grey(view()))]).provenance


def test_a_design_that_looks_from_afar_gets_the_pair_as_it_is() -> None:
    assert "shifts" not in pipeline("published").encode_relation([(view(), view(-3, 2))]).provenance
