"""A picture made small in tiles, each with its own colours, is told from one pair and done to pictures of any size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from test_filters import as_jpeg, crop, edited, off, photo

from relation_adapter import Relation, RelationPipeline
from relation_adapter.errors import WeightsError
from relation_adapter.exact.tiles import tiles_of
from relation_adapter.units import to_unit

Edit = Callable[[Image.Image], Image.Image]

PRINTS: tuple[Edit, ...] = (
    lambda image: image,
    lambda image: image.convert("L").convert("RGB"),
    ImageOps.mirror,
    ImageOps.invert,
    lambda image: ImageOps.colorize(image.convert("L"), "navy", "gold", "crimson"),
    lambda image: ImageOps.solarize(ImageOps.flip(image), 100),
)


def collage(image: Image.Image) -> Image.Image:
    """Two columns and three rows, with a margin and gaps in grey."""
    whole, gap = Image.new("RGB", image.size, (90, 90, 90)), image.width // 40
    width, height = (image.width - 3 * gap) // 2, (image.height - 4 * gap) // 3
    for place, edit in enumerate(PRINTS):
        corner = gap + place % 2 * (width + gap), gap + place // 2 * (height + gap)
        whole.paste(edit(image.resize((width, height), Image.Resampling.LANCZOS)), corner)
    return whole


def prints(image: Image.Image) -> Image.Image:
    """Four gradient maps, side by side."""
    whole, half = Image.new("RGB", image.size), (image.width // 2, image.height // 2)
    small = image.resize(half, Image.Resampling.LANCZOS).convert("L")
    for place, (dark, light) in enumerate((("black", "yellow"), ("navy", "pink"), ("red", "white"), ("cyan", "black"))):
        whole.paste(ImageOps.colorize(small, dark, light), (place % 2 * half[0], place // 2 * half[1]))
    return whole


@pytest.mark.parametrize("shown", ["as it is", "as a JPEG"])
@pytest.mark.parametrize("edit", [collage, prints])
def test_mini_tiles_a_photo_as_the_pair_does(edit: Edit, shown: str, pipe: RelationPipeline, tmp_path: Path) -> None:
    before, other = photo("astronaut"), crop(0, 0, 288, 288)
    after = edit(before) if shown == "as it is" else as_jpeg(edit(before))
    read = pipe.encode_relation([(before, after)])
    assert read.tiles is not None and len(read.tiles.each) == (6 if edit is collage else 4)
    read.save(tmp_path / "tiles.safetensors")
    loaded = Relation.load(tmp_path / "tiles.safetensors")
    assert loaded.tiles == read.tiles
    wanted, near = to_unit(edit(other)), 0.02 if shown == "as it is" else 0.12  # a tile may lie a pixel off
    assert off(edited(pipe, other, loaded), wanted) < near * off(to_unit(other), wanted)
    half = edited(pipe, other, loaded, strength=0.5)
    assert off(half, (wanted + to_unit(other)) / 2) < near / 2 * off(to_unit(other), wanted)
    small = before.resize((150, 150))
    wanted = to_unit(after.resize(small.size))
    assert off(edited(pipe, small, loaded), wanted) < 0.1 * off(to_unit(small), wanted)
    assert edited(pipe, before.resize((5, 3)), loaded).shape == (3, 5, 3)


@pytest.mark.parametrize(
    "edit",
    [
        lambda image: image,
        ImageOps.mirror,
        ImageEnhance.Contrast(crop(0, 0)).enhance,
        lambda image: Image.new("RGB", image.size, "grey"),
        lambda image: ImageOps.expand(image.resize((250, 250)), 19, "white"),
        lambda image: ImageOps.fit(image, (96, 96)),
    ],
)
def test_what_shows_the_picture_once_is_no_tiles(edit: Callable[..., Image.Image]) -> None:
    before = crop(0, 0)
    after = ImageEnhance.Contrast(before).enhance(2) if edit.__name__ == "enhance" else edit(before)
    assert tiles_of([(before, after)]) is None


def test_damaged_tiles_are_refused(pipe: RelationPipeline, tmp_path: Path) -> None:
    read = pipe.encode_relation([(photo("astronaut"), prints(photo("astronaut")))])
    tiles = read.provenance["tiles"]
    first, *rest = tiles["each"]
    damages = (
        "many",
        {},
        {**tiles, "columns": [[0, 1]]},
        {**tiles, "rows": [[0.5, 0.2], [0.5, 1]]},
        {**tiles, "between": [0, 0, 2]},
        {**tiles, "each": [{**first, "turn": "rotate_90"}, *rest]},
        {**tiles, "each": [{**first, "driver": "moon"}, *rest]},
        {**tiles, "each": [{**first, "numbers": [[0.0, 0.0, 0.0]]}, *rest]},
        {**tiles, "each": [{**first, "numbers": [*first["numbers"][:-1], [float("nan"), 0, 0]]}, *rest]},
    )
    for damage in damages:
        replace(read, provenance={**read.provenance, "tiles": damage}).save(tmp_path / "odd.safetensors")
        with pytest.raises(WeightsError, match="provenance is damaged"):
            Relation.load(tmp_path / "odd.safetensors")
    assert np.isfinite(first["numbers"]).all()
