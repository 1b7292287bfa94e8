"""Carrying detail over: sharp where the edit follows the source, no ghost where it does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps
from samples import natural, noise, psnr

from relation_adapter.detail import MOST_KEPT, kept_detail, transfer_detail
from relation_adapter.errors import UsageError
from relation_adapter.images import resize

Edit = Callable[[Image.Image], Image.Image]


def transferred(edit: Edit, small: int = 96) -> tuple[float, float]:
    """PSNR against the edit made at full size: of the transfer, and of plain bicubic enlargement."""
    source = natural()
    truth, size = edit(source), (small, small)
    result = resize(truth, size)
    ours = transfer_detail(source, resize(source, size), result)
    return psnr(ours, truth), psnr(resize(result, source.size), truth)


def brighten(image: Image.Image) -> Image.Image:
    return image.point(lambda value: value * 0.7 + 70)


def test_no_edit_gives_the_source() -> None:
    assert transferred(lambda image: image)[0] > 40


@pytest.mark.parametrize("edit", [ImageOps.invert, brighten, lambda image: image.convert("L").convert("RGB")])
def test_edits_that_follow_the_source_are_sharp(edit: Edit) -> None:
    ours, bicubic = transferred(edit)
    assert ours > bicubic + 8


@pytest.mark.parametrize("edit", [ImageOps.mirror, ImageOps.flip, lambda image: noise(1, 1).resize(image.size)])
def test_edits_that_do_not_follow_leave_no_ghost(edit: Edit) -> None:
    ours, bicubic = transferred(edit)
    assert ours > bicubic - 0.1


def test_blur_stays_blurred() -> None:
    ours, _ = transferred(lambda image: image.filter(ImageFilter.GaussianBlur(8)))
    assert ours > 38


def test_half_edited_half_mirrored() -> None:
    def edit(image: Image.Image) -> Image.Image:
        out = ImageOps.invert(image)
        out.paste(ImageOps.mirror(image).crop((0, 0, 192, 384)), (0, 0))
        return out

    ours, bicubic = transferred(edit)
    assert ours > bicubic + 1.5


def test_shrinking_the_outcome_gives_the_result_back() -> None:
    source = natural()
    small = resize(source, (96, 96))
    result = ImageOps.invert(small)
    assert psnr(resize(transfer_detail(source, small, result), (96, 96)), result) > 35


def test_strips_leave_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    source = natural()
    small = resize(source, (64, 64))
    result = brighten(small)
    result.paste(ImageOps.invert(small).crop((0, 0, 64, 24)), (0, 0))
    whole = transfer_detail(source, small, result)
    monkeypatch.setattr("relation_adapter.units.STRIP_PIXELS", 384 * 37)
    assert np.abs(np.asarray(whole, int) - np.asarray(transfer_detail(source, small, result), int)).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (64, 64), (20, 20)])
def test_any_size_is_returned(size: tuple[int, int]) -> None:
    full = noise(*size)
    assert transfer_detail(full, noise(64, 48), noise(64, 48, seed=1)).size == size
    assert transfer_detail(full, noise(1, 1), noise(1, 1)).size == size


def test_small_sizes_must_agree() -> None:
    with pytest.raises(UsageError):
        transfer_detail(noise(64, 64), noise(16, 16), noise(8, 8))


# What the pair shows of detail that the small size does not


def blur(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(1.5))


def sharpen(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.UnsharpMask(1.5, 150, 0))


def shifted(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.roll(np.asarray(brighten(image)), (3, 2), (0, 1)))


def grainy(image: Image.Image, seed: int = 0) -> Image.Image:
    grain = np.random.default_rng(seed).normal(0, 25, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("edit", [brighten, ImageOps.invert, shifted, lambda image: image])
def test_of_edits_that_change_no_sharpness_all_detail_is_kept(edit: Edit) -> None:
    """Nor of a pair that lies a few pixels apart, as two shots and drawn pairs do."""
    assert kept_detail(natural(), edit(natural()), (96, 96)) == [1.0, 1.0]


def test_a_small_pair_tells_nothing() -> None:
    assert kept_detail(natural(96), brighten(natural(96)), (96, 96)) == []
    assert kept_detail(natural(), brighten(natural(80)), (96, 96)) == []


def test_finer_octaves_are_blurred_more_and_sharpened_most() -> None:
    soft, sharp = (kept_detail(natural(), edit(natural()), (96, 96)) for edit in (blur, sharpen))
    assert 0 <= soft[1] < soft[0] < 1 < sharp[0] <= sharp[1] <= MOST_KEPT


def test_a_denoised_pair_keeps_noise_out() -> None:
    kept = kept_detail(grainy(natural()), natural(), (96, 96))
    assert kept[1] < kept[0] < 0.95


@pytest.mark.parametrize(
    ("edit", "of"), [(blur, lambda image: image), (sharpen, lambda image: image), (lambda image: image, grainy)]
)
def test_what_the_pair_shows_brings_other_pictures_nearer(edit: Edit, of: Edit) -> None:
    """The pair: one half of a picture; the source: the other."""
    half, other = natural().crop((0, 0, 192, 384)), natural().crop((192, 0, 384, 384))
    small = (96, 192)
    kept = kept_detail(of(half), edit(half), small)
    full, truth = of(other), edit(other)
    with_pair, without = (
        transfer_detail(full, resize(full, small), resize(truth, small), known) for known in (kept, ())
    )
    assert psnr(with_pair, truth) > psnr(without, truth) + 1


def test_nothing_kept_is_the_enlarged_result_and_all_kept_the_default() -> None:
    source = natural()
    small = resize(source, (64, 64))
    result = brighten(small)
    plain, default = resize(result, source.size), transfer_detail(source, small, result)
    assert np.abs(np.asarray(transfer_detail(source, small, result, [0.0]), int) - np.asarray(plain, int)).max() <= 1
    assert transfer_detail(source, small, result, [1.0]) == default
    assert transfer_detail(source, small, result, [1.0, 1.0, 0.0]) != default
    assert transfer_detail(source, small, result, [0.5]) == transfer_detail(source, small, result, [0.5, 0.5, 0.5])


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (200, 20), (1200, 900)])
def test_pairs_of_any_size_tell_shares_in_range(size: tuple[int, int]) -> None:
    kept = kept_detail(noise(*size), noise(size[0] // 2 + 1, size[1], seed=1), (16, 12))
    assert all(0 <= share <= MOST_KEPT for share in kept)
