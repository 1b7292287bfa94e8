"""The weights that ship: they load, they edit a real photo, and they know before from after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from relation_adapter import RelationPipeline
from relation_adapter.images import open_picture

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def mini() -> RelationPipeline:
    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def pictures(edit: str, photo: str) -> list[Image.Image]:
    pair = [open_picture(EXAMPLES / "pairs" / edit / f"{name}.jpg") for name in ("before", "after")]
    return [*pair, open_picture(EXAMPLES / "photos" / f"{photo}.jpg")]


def brightness(image: Image.Image) -> float:
    return float(np.asarray(image).mean())


def colourfulness(image: Image.Image) -> float:
    return float(np.asarray(image, float).std(axis=2).mean())


@pytest.mark.parametrize("photo", ["chelsea", "astronaut", "rocket"])
def test_a_brightening_pair_brightens_and_swapped_it_darkens(mini: RelationPipeline, photo: str) -> None:
    before, after, source = pictures("brighten", photo)
    there = mini(image=source, pairs=[(before, after)], seed=0).images[0]
    back = mini(image=source, pairs=[(after, before)], seed=0).images[0]
    assert there.size == source.size
    assert brightness(there) > brightness(source) + 5 and brightness(back) < brightness(source) - 5


def test_a_grayscale_pair_takes_the_colours_away(mini: RelationPipeline) -> None:
    before, after, source = pictures("grayscale", "coffee")
    gray = mini(image=source, pairs=[(before, after)], seed=0).images[0]
    assert colourfulness(gray) < 0.35 * colourfulness(source)
