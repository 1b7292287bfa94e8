"""Edits that are mixes of what a pixel shows are told exactly by one pair, and done exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps
from samples import natural

from relation_adapter import Relation, RelationPipeline
from relation_adapter.correction import Known
from relation_adapter.errors import WeightsError
from relation_adapter.exact.families import rows_of
from relation_adapter.exact.linear import fit_linear, fit_other, linear_of
from relation_adapter.exact.turns import SIDEWAYS, TURNS, lies_on_side, turn_of, turned
from relation_adapter.train.tuning import Tuning, tune
from relation_adapter.units import Unit, to_unit

Edit = Callable[[Image.Image], Image.Image]


def crop(left: int, top: int, side: int = 96) -> Image.Image:
    return natural(192).crop((left, top, left + side, top + side))


def known(before: Image.Image, after: Image.Image) -> Known:
    return Known(to_unit(before), to_unit(before), to_unit(after))


def mixed(image: Image.Image, *rows: tuple[float, float, float, float]) -> Image.Image:
    return image.convert("RGB", [number for row in rows for number in row])


COLOURS: dict[str, Edit] = {
    "grey": lambda image: ImageOps.grayscale(image).convert("RGB"),
    "negative": ImageOps.invert,
    "contrast, much of it clipped": lambda image: image.point(lambda value: int(min(max(2 * value - 128, 0), 255))),
    "colour": lambda image: ImageEnhance.Color(image).enhance(1.7),
    "swapped channels": lambda image: Image.merge("RGB", image.split()[::-1]),
    "sepia": lambda image: mixed(image, (0.39, 0.77, 0.19, 0), (0.35, 0.69, 0.17, 0), (0.27, 0.53, 0.13, 0)),
}
BLURS: dict[str, Edit] = {
    "blur": lambda image: image.filter(ImageFilter.GaussianBlur(2.7)),
    "mean of a box": lambda image: image.filter(ImageFilter.BoxBlur(3)),
    "sharpen": lambda image: image.filter(ImageFilter.UnsharpMask(2, 120, 0)),
}


def vignette(image: Image.Image) -> Image.Image:
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in (image.height, image.width)), indexing="ij")
    shade = 1 - 0.8 * (np.hypot(x, y)[..., None] / 2**0.5).clip(0.3, 1)
    return Image.fromarray(np.uint8(np.asarray(image) * shade))


def veil(image: Image.Image) -> Image.Image:
    share = np.linspace(0.8, 0.1, image.height)[:, None, None]
    return Image.fromarray(np.uint8(np.asarray(image) * (1 - share) + share * np.array([200, 210, 230])))


def glow(image: Image.Image) -> Image.Image:
    return ImageChops.screen(image, image.filter(ImageFilter.GaussianBlur(3.2)))


def contours(image: Image.Image) -> Image.Image:
    luma = np.asarray(image.convert("L").filter(ImageFilter.GaussianBlur(1)), np.float32)
    return Image.fromarray(np.uint8((2 * np.hypot(*np.gradient(luma))).clip(0, 255))).convert("RGB")


def fringes(image: Image.Image) -> Image.Image:
    red, green, blue = (np.asarray(band) for band in image.split())
    return Image.fromarray(np.stack([np.roll(red, 6, axis=1), green, np.roll(blue, -6, axis=1)], axis=-1))


def tilt_shift(image: Image.Image) -> Image.Image:
    away = np.abs(np.linspace(-1, 1, image.height)).clip(0.3, 0.8)[:, None, None] * 2 - 0.6
    far = np.asarray(image.filter(ImageFilter.GaussianBlur(4)))
    return Image.fromarray(np.uint8(np.asarray(image) * (1 - away) + far * away))


SMEAR = ImageFilter.Kernel((5, 5), [float(across == down) for across in range(5) for down in range(5)])
FILTERS: dict[str, tuple[Edit, str]] = {
    "smear to one corner": (lambda image: image.filter(SMEAR), "around"),
    "relief, with one of Pillow's filters": (
        lambda image: image.convert("L").filter(ImageFilter.EMBOSS).convert("RGB"),
        "relief",
    ),
    "fringes": (fringes, "row"),
    "tilt-shift": (tilt_shift, "focus"),
    "vignette": (vignette, "ring"),
    "veil": (veil, "down"),
    "glow": (glow, "glow 3.2"),
    "contours": (contours, "contours"),
}
OTHERS: dict[str, Edit] = {
    "other picture": lambda image: natural(192).crop((96, 96, 192, 192)),
    "posterize": lambda image: ImageOps.posterize(image, 2),
    "solarize": lambda image: ImageOps.solarize(image, 128),
}


def off(first: Unit, second: Unit) -> float:
    return float(np.square(first - second).mean())


@pytest.mark.parametrize("name", [*COLOURS, *BLURS])
def test_one_pair_tells_it_and_another_picture_is_edited_the_same(name: str) -> None:
    edit = (COLOURS | BLURS)[name]
    coefficients, family, error = fit_linear([known(crop(0, 0), edit(crop(0, 0)))])
    assert coefficients.shape == (rows_of(family), 3)
    assert family == ("blurs" if name in BLURS else "colours")
    other = crop(96, 96)
    made, nothing = linear_of(to_unit(other), coefficients, family), off(to_unit(other), to_unit(edit(other)))
    assert 0 <= made.min() and made.max() <= 1
    assert off(made, to_unit(edit(other))) < 0.02 * nothing and error < 0.02 * nothing


@pytest.mark.parametrize("name", FILTERS)
def test_so_are_filters_and_what_depends_on_the_place(name: str) -> None:
    edit, expected = FILTERS[name]
    nothing = off(to_unit(crop(0, 0)), to_unit(edit(crop(0, 0))))
    found = fit_other([known(crop(0, 0), edit(crop(0, 0)))], nothing)
    assert found is not None
    coefficients, family, error = found
    assert family == expected and coefficients.shape == (rows_of(family), 3)
    other = crop(96, 96)
    nothing = off(to_unit(other), to_unit(edit(other)))
    inside = np.s_[8:-8, 8:-8]  # Pillow leaves the rim as it is, and rolling brings the other side
    made = linear_of(to_unit(other), coefficients, family)
    assert off(made[inside], to_unit(edit(other))[inside]) < 0.02 * nothing
    assert error < 0.1 * nothing


@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_contrast_about_the_mean_is_about_that_of_the_other_picture(factor: float) -> None:
    before, other = crop(0, 0).point(lambda value: value * 2 // 3), crop(96, 96)
    edit = lambda image: ImageEnhance.Contrast(image).enhance(factor)  # noqa: E731
    coefficients, family, _ = fit_linear([known(before, edit(before))])
    made = linear_of(to_unit(other), coefficients, family)
    assert off(made, to_unit(edit(other))) < 0.02 * off(to_unit(other), to_unit(edit(other)))


def test_contrast_about_middle_grey_stays_there() -> None:
    before, other = crop(0, 0).point(lambda value: value * 2 // 3), crop(96, 96)
    edit = lambda image: image.point(lambda value: round(min(max(1.5 * (value - 127.5) + 127.5, 0), 255)))  # noqa: E731
    coefficients, family, _ = fit_linear([known(before, edit(before))])
    made = linear_of(to_unit(other), coefficients, family)
    assert off(made, to_unit(edit(other))) < 0.001 * off(to_unit(other), to_unit(edit(other)))


def test_a_frame_at_the_rim_is_no_filter() -> None:
    framed = ImageOps.expand(crop(0, 0).crop((8, 8, 88, 88)), 8, (200, 30, 30))
    assert fit_other([known(crop(0, 0), framed)], 1.0) is None


@pytest.mark.parametrize("name", OTHERS)
def test_of_other_edits_much_is_left(name: str) -> None:
    before, after = crop(0, 0), OTHERS[name](crop(0, 0))
    assert fit_other([known(before, after)], 1.0) is None
    assert fit_linear([known(before, after)])[2] > 0.1 * off(to_unit(before), to_unit(after))


def test_pairs_of_several_sizes_are_told_together_and_a_plain_one_is_no_trouble() -> None:
    grey = COLOURS["grey"]
    parts = [crop(0, 0, 48), natural(192).crop((60, 60, 130, 90)), Image.new("RGB", (20, 20), (200, 10, 10))]
    coefficients, family, error = fit_linear([known(part, grey(part)) for part in parts])
    assert error < 1e-4
    assert off(linear_of(to_unit(crop(96, 96)), coefficients, family), to_unit(grey(crop(96, 96)))) < 1e-4
    plain = known(parts[2], grey(parts[2]))
    assert np.isfinite(fit_linear([plain])[0]).all()


def mini() -> RelationPipeline:
    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def made(pipe: RelationPipeline, *relations: tuple[Relation, float]) -> Unit:
    found: Unit = pipe(image=crop(96, 0), relation=list(relations), seed=0, output_type="np").images[0]
    return found


def test_mini_does_exactly_what_the_pair_says_exactly() -> None:
    pipe, grey = mini(), COLOURS["grey"]
    read = pipe.encode_relation([(crop(0, 0), grey(crop(0, 0)))])
    assert read.linear is not None and read.provenance["corrected"] > 0.9
    wanted, photo = to_unit(grey(crop(96, 0))), to_unit(crop(96, 0))
    assert off(made(pipe, (read, 1.0)), wanted) < 0.01 * off(photo, wanted)  # the photo is fitted to 128 px, and back
    assert pipe.encode_relation([(crop(0, 0), ImageOps.posterize(crop(0, 0), 1))]).linear is None
    half = made(pipe, (read, 0.5))
    assert off(half, (photo + wanted) / 2) < 0.01 * off(photo, wanted)


def test_twice_a_strength_stays_in_its_range() -> None:
    pipe = mini()
    for edit in (lambda image: ImageEnhance.Contrast(image).enhance(1.6), lambda image: ImageOps.posterize(image, 1)):
        pairs = [(one, edit(one)) for one in (crop(0, 0), crop(96, 96))]  # together they have all levels
        read = pipe.encode_relation(pairs)
        made = to_unit(edit(natural(192)))
        wanted = (2 * made - to_unit(natural(192))).clip(0, 1)
        twice = pipe(image=natural(192), relation=read, strength=2.0, seed=0, output_type="np").images[0]
        assert 0 <= twice.min() and twice.max() <= 1  # or bytes would begin again at black
        assert off(twice, wanted) < 0.01 * off(made, wanted)


def test_of_a_large_pair_a_clipped_mix_is_told_by_its_single_pixels() -> None:
    """Shrunk, its clipped and its other pixels are averaged, and no mix says what becomes of them."""
    before = natural(384)
    read = mini().encode_relation([(before, ImageEnhance.Contrast(before).enhance(2.5))])
    assert read.linear is not None
    assert np.allclose(read.linear[0, 1:4], 2.5 * np.eye(3), atol=0.03)
    mirrored = mini().encode_relation([(before, ImageOps.mirror(ImageEnhance.Contrast(before).enhance(2.5)))])
    assert mirrored.turn == "flip_left_right" and mirrored.linear is not None
    assert np.allclose(mirrored.linear[0, 1:4], 2.5 * np.eye(3), atol=0.03)


@pytest.mark.parametrize("turn", [*TURNS][1:])
def test_a_turn_is_told_with_and_without_colours(turn: str) -> None:
    for edit in (lambda image: image, COLOURS["negative"]):
        before, after = crop(0, 0), edit(turned(crop(0, 0), turn))
        assert turn_of([known(before, after)]) == turn
        coefficients, family, error = fit_linear([known(turned(before, turn), after)])
        assert error < 1e-4
        other = crop(96, 96)
        made = linear_of(to_unit(turned(other, turn)), coefficients, family)
        assert off(made, to_unit(edit(turned(other, turn)))) < 1e-4
    assert turn_of([known(crop(0, 0), COLOURS["negative"](crop(0, 0)))]) == ""


def test_mini_mirrors_a_large_photo_with_all_its_detail() -> None:
    pipe, photo = mini(), natural(384)
    read = pipe.encode_relation([(crop(0, 0), ImageOps.mirror(crop(0, 0)))])
    assert read.turn == "flip_left_right"
    mirrored = pipe(image=photo, relation=read, seed=0).images[0]
    nothing = off(to_unit(photo), to_unit(ImageOps.mirror(photo)))
    assert off(to_unit(mirrored), to_unit(ImageOps.mirror(photo))) < 0.02 * nothing
    upright = natural(192).crop((0, 0, 80, 160))
    assert pipe(image=upright, relation=read, seed=0).images[0].size == (80, 160)


@pytest.mark.parametrize("turn", SIDEWAYS)
def test_a_turn_on_its_side_turns_the_size_with_the_picture(turn: str) -> None:
    """Of pairs that are square and that are not, of several sources at once, even of one too long for the model."""
    pipe, photo = mini(), natural(384)
    sources = [photo.crop(box) for box in ((0, 0, 300, 200), (50, 0, 178, 128), (30, 0, 60, 384), (0, 10, 64, 94))]
    wanted = [turned(source, turn) for source in sources]
    for before in (crop(0, 0), crop(0, 0, 90).resize((80, 130))):
        read = pipe.encode_relation([(before, ImageOps.invert(turned(before, turn)))])
        assert read.turn == turn
        made = pipe(image=sources, relation=read).images
        assert [one.size for one in made] == [one.size for one in wanted]
        for one, true in zip(made, wanted, strict=True):
            assert off(to_unit(one), to_unit(ImageOps.invert(true))) < 0.001
        (asked,) = pipe(image=sources[0], relation=read, size=(96, 64)).images
        assert asked.size == (96, 64)  # as it was asked
        assert off(to_unit(asked), to_unit(ImageOps.invert(wanted[0].resize((96, 64))))) < 0.01
        arrays = pipe(image=sources, relation=read, output_type="np").images
        assert [array.shape[1::-1] for array in arrays] == [one.size for one in wanted]


def test_no_turn_is_half_made() -> None:
    pipe = mini()
    read = pipe.encode_relation([(crop(0, 0), crop(0, 0).transpose(Image.Transpose.ROTATE_90))])
    for strength, exact in ((0.5, False), (1.0, True)):
        given = {"image": crop(96, 0), "seed": 0, "output_type": "np", "strength": strength}
        without = pipe(relation=replace(read, linear=None, curves=None), **given).images[0]
        assert np.array_equal(pipe(relation=read, **given).images[0], without) != exact


def test_a_turned_picture_whose_colours_no_mix_says_is_turned_all_the_same() -> None:
    pipe, before = mini(), natural(128).crop((0, 0, 128, 96))

    def edit(image: Image.Image) -> Image.Image:
        return ImageOps.solarize(image).transpose(Image.Transpose.ROTATE_270)

    read = pipe.encode_relation([(before, edit(before))])
    assert read.turn == "rotate_270" and read.driver
    other = natural(192).crop((20, 60, 180, 160))
    made = pipe(image=other, relation=read).images[0]
    assert made.size == (100, 160)
    assert off(to_unit(made), to_unit(edit(other))) < 0.001


def test_the_ratio_says_which_pairs_lie_on_their_sides() -> None:
    assert lies_on_side((200, 150), (150, 200)) and lies_on_side((1000, 333), (111, 333))
    assert not lies_on_side((200, 150), (200, 150)) and not lies_on_side((200, 150), (150, 210))
    assert not lies_on_side((128, 128), (64, 64)) and not lies_on_side((200, 199), (200, 199))


def test_two_relations_together_are_left_to_the_model() -> None:
    pipe = mini()
    grey, darker = (
        pipe.encode_relation([(crop(0, 0), edit(crop(0, 0)))])
        for edit in (COLOURS["grey"], lambda image: image.point(lambda value: value // 2))
    )
    assert grey.linear is not None and darker.linear is not None
    both = made(pipe, (grey, 1.0), (darker, 1.0))
    without = made(pipe, *((replace(one, linear=None, curves=None), 1.0) for one in (grey, darker)))
    assert np.array_equal(both, without)
    assert np.array_equal(made(pipe, (grey, 1.0), (darker, 0.0)), made(pipe, (grey, 1.0)))


def test_there_is_nothing_to_fit_in_it() -> None:
    before = crop(0, 0)
    tuned = tune(mini(), [(before, ImageOps.invert(before))], Tuning(steps=20))
    assert tuned.relation.linear is not None and not tuned.helped and tuned.error == tuned.error_before


def test_it_is_saved_and_one_of_another_form_refused(tmp_path: Path) -> None:
    pipe = mini()
    read = pipe.encode_relation([(crop(0, 0), ImageOps.invert(crop(0, 0)))])
    read.save(tmp_path / "negative.safetensors")
    loaded = Relation.load(tmp_path / "negative.safetensors")
    assert read.linear is not None and loaded.linear is not None
    assert np.array_equal(made(pipe, (loaded, 1.0)), made(pipe, (read, 1.0)))
    with pytest.raises(WeightsError, match="its linear is"):
        pipe(image=crop(0, 0), relation=replace(read, linear=read.linear[:, 1:]))
