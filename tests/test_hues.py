"""Edits by hue, and what a pair leaves open: grey pairs, pairs in shades of one colour."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter
from test_filters import Edit, crop, edited, off, photo

from relation_adapter import RelationPipeline
from relation_adapter.correction import Known
from relation_adapter.exact import hues
from relation_adapter.exact.families import family_of, numbers_of
from relation_adapter.exact.likely import colours_stay
from relation_adapter.units import to_unit


def reds_kept(image: Image.Image) -> Image.Image:
    """And stronger; the rest is grey."""
    colours = np.asarray(image, np.float64) / 255
    grey = colours.mean(axis=2, keepdims=True)
    spread = colours - grey
    redness = spread[..., :1] / np.maximum(np.sqrt(np.square(spread).sum(axis=2, keepdims=True)), 1e-6)
    kept = 1.4 * np.clip((redness - 0.3) / 0.4, 0, 1)
    return Image.fromarray(np.rint(255 * (grey + kept * spread).clip(0, 1)).astype(np.uint8))


def strong(image: Image.Image) -> Image.Image:
    return ImageEnhance.Color(image).enhance(1.5)


def grey(image: Image.Image) -> Image.Image:
    return image.convert("L").convert("RGB")


def test_one_hue_kept_is_told_where_the_pair_has_not_the_sources_colours(pipe: RelationPipeline) -> None:
    shown, source = photo("astronaut"), strong(photo("coffee"))  # far stronger colours
    source = Image.blend(source, Image.merge("RGB", source.split()[::-1]).transpose(Image.Transpose.ROTATE_180), 0.6)
    read = pipe.encode_relation([(shown, reds_kept(shown))])
    assert read.family == "hues"
    wanted = to_unit(reds_kept(source))
    assert off(edited(pipe, source, read), wanted) < 0.2 * off(to_unit(source), wanted)


def test_every_pixel_lies_between_two_hues() -> None:
    colours = np.random.default_rng(0).random((8, 8, 3)).astype(np.float32)
    wheel = numbers_of(colours, family_of("hues"))[:, 0, 3:]
    assert wheel.shape[1] == hues.HUES and ((wheel > 0).sum(axis=1) <= 2).all()
    spread = colours - colours.mean(axis=2, keepdims=True)
    far = np.sqrt(np.square(spread).sum(axis=2)).ravel()
    assert np.allclose(wheel.sum(axis=1), far * np.sqrt(2 / 3), atol=1e-5)
    red = numbers_of(np.array([[[1, 0, 0]]], np.float32), family_of("hues"))[0, 0, 3:]
    assert red.argmax() == 0 and red.sum() == red[0]


def tinted(image: Image.Image) -> Image.Image:
    light = np.asarray(image.convert("L"), np.float64)[..., None]
    return Image.fromarray(np.rint(light * [1.0, 0.85, 0.6]).astype(np.uint8))


def parted(image: Image.Image) -> Image.Image:
    return image.convert("L").point([255 * (level > 128) for level in range(256)]).convert("RGB")


@pytest.mark.parametrize(
    "edit",
    [
        lambda image: ImageEnhance.Contrast(image).enhance(1.5),
        lambda image: ImageEnhance.Brightness(image).enhance(0.7),
        lambda image: image.filter(ImageFilter.MedianFilter(5)),
        tinted,
        parted,
    ],
)
def test_of_a_grey_pair_colours_stay_but_where_it_gets_a_tint_or_is_parted(edit: Edit, pipe: RelationPipeline) -> None:
    """Which nothing in the pair says; black and white parts by luma."""
    shown, source = grey(photo("astronaut")), crop(0, 0)
    read = pipe.encode_relation([(shown, edit(shown))])
    wanted = to_unit(edit(source))
    assert off(edited(pipe, source, read), wanted) < 0.02 * off(to_unit(source), wanted)


def test_a_veil_over_a_brown_picture_tints_no_other(pipe: RelationPipeline) -> None:
    """It is thicker above, and no mix: least squares of browns alone took a median with a mix of colours for it."""

    def veiled(image: Image.Image) -> Image.Image:
        share = np.linspace(0.5, 0.8, image.height)[:, None, None]
        return Image.fromarray(np.rint(np.asarray(image) * share + 225 * (1 - share)).astype(np.uint8))

    shown, source = crop(0, 0), photo("astronaut")
    read = pipe.encode_relation([(veiled(shown), shown)])
    left = off(edited(pipe, veiled(source), read), to_unit(source))
    assert left < 0.05 * off(to_unit(veiled(source)), to_unit(source))


def test_a_thing_that_is_gone_is_no_mix_of_colours() -> None:
    """Of a backdrop and a square, both flat, some mix makes the one of the other and leaves it as it is."""
    before = np.full((64, 64, 3), [0.2, 0.5, 0.8], np.float32)
    gone = before.copy()
    before[10:30, 10:30] = [0.9, 0.3, 0.2]
    assert colours_stay([Known(before, before, gone)])
    assert not colours_stay([Known(before, before, before * np.float32(0.9))])
    grey = np.where(before == before[0, 0], np.float32(0.5), before)
    assert not colours_stay([Known(grey, grey, np.where(grey == 0.5, grey, 0.8 * grey))])  # made less colourful
