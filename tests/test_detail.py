"""Carrying detail over: sharp where the edit follows the source, no ghost where it does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps
from samples import natural, noise, psnr

from relation_adapter.detail import transfer_detail
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
    monkeypatch.setattr("relation_adapter.images.STRIP_PIXELS", 384 * 37)
    assert np.abs(np.asarray(whole, int) - np.asarray(transfer_detail(source, small, result), int)).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (64, 64), (20, 20)])
def test_any_size_is_returned(size: tuple[int, int]) -> None:
    full = noise(*size)
    assert transfer_detail(full, noise(64, 48), noise(64, 48, seed=1)).size == size
    assert transfer_detail(full, noise(1, 1), noise(1, 1)).size == size


def test_small_sizes_must_agree() -> None:
    with pytest.raises(UsageError):
        transfer_detail(noise(64, 64), noise(16, 16), noise(8, 8))
