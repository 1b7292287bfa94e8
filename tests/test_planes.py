"""A pair that shows the picture as a plane seen from elsewhere is told by how, and every other one is seen the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps
from samples import natural

from relation_adapter import Relation, RelationPipeline
from relation_adapter.correction import Known
from relation_adapter.errors import WeightsError
from relation_adapter.exact.plane_fit import plane_of
from relation_adapter.exact.planes import Plane, plane_from, seen_from
from relation_adapter.units import to_unit

Edit = Callable[[Image.Image], Image.Image]
QUAD, AFFINE = Image.Transform.PERSPECTIVE, Image.Transform.AFFINE


def off(first: Image.Image, second: Image.Image) -> float:
    return float(np.square(to_unit(first) - to_unit(second)).mean())


def told(before: Image.Image, after: Image.Image) -> Plane | None:
    return plane_of(Known(to_unit(before), to_unit(before), to_unit(after)))


def leaning(image: Image.Image, colour: str = "black") -> Image.Image:
    """Narrow above, and its left side higher."""
    width, height = image.size
    corners = np.array([[0.2, 0.1], [0.85, 0.0], [1.0, 1.0], [0.0, 0.9]]) * (width, height)
    rows, wanted = [], []
    for (x, y), (u, v) in zip(corners, ((0, 0), (width, 0), (width, height), (0, height)), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    numbers = np.linalg.solve(np.array(rows), np.array(wanted))
    return image.transform(image.size, QUAD, tuple(numbers), Image.Resampling.BILINEAR, fillcolor=colour)


def slanted(image: Image.Image) -> Image.Image:
    """Sheared by the same angle whatever its size, on white."""
    numbers = (1, 0.22, -0.11 * image.height, 0, 1, 0)
    return image.transform(image.size, AFFINE, numbers, Image.Resampling.BICUBIC, fillcolor="white")


@pytest.mark.parametrize("colours", [lambda image: image, lambda image: ImageOps.invert(image.convert("L"))])
@pytest.mark.parametrize("edit", [leaning, slanted])
def test_a_plane_is_told_and_done_at_any_size_and_ratio(edit: Edit, colours: Edit) -> None:
    before = natural(256).crop((0, 0, 160, 128))
    plane = told(before, edit(colours(before).convert("RGB")))
    assert plane is not None
    for other in (natural(384), natural(256).crop((30, 0, 130, 200))):
        white = replace(plane, beyond="white" if edit is slanted else "black")
        assert off(seen_from(other, white), edit(other)) < 0.02 * off(other, edit(other))


@pytest.mark.parametrize("beyond", ["black", "white", "edge", "mirror"])
def test_what_lies_beyond_the_rim_is_told(beyond: str) -> None:
    plane = Plane((1.25, 0.0, 0.0, 0.0, 1.0, 0.25, 0.0, 0.25), 1.0, beyond)
    found = told(natural(128), seen_from(natural(128), plane))
    assert found is not None and found.beyond == beyond
    assert np.allclose(found.numbers, plane.numbers, atol=0.01)


def test_what_stays_in_place_is_no_plane() -> None:
    photo = natural(128)
    assert told(photo, photo) is None
    assert told(photo, photo.filter(ImageFilter.GaussianBlur(2))) is None
    assert told(photo, ImageOps.mirror(photo)) is None
    assert told(photo, Image.new("RGB", photo.size, "grey")) is None
    assert told(photo, photo.filter(ImageFilter.CONTOUR)) is None


def test_half_a_plane_lies_half_way_and_none_leaves_the_picture() -> None:
    plane = Plane((1.25, 0.0, 0.0, 0.0, 1.0, 0.25, 0.0, 0.25), 1.0)
    assert plane.part(0.5).numbers == (1.125, 0.0, 0.0, 0.0, 1.0, 0.125, 0.0, 0.125)
    assert off(seen_from(natural(128), plane.part(0.0)), natural(128)) < 1e-6


def test_mini_shows_photos_from_where_the_pair_does(tmp_path: Path) -> None:
    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    before, other = natural(256), natural(384).crop((0, 100, 300, 300))
    read = pipe.encode_relation([(before, leaning(before))])
    assert read.plane is not None
    read.save(tmp_path / "plane.safetensors")
    loaded = Relation.load(tmp_path / "plane.safetensors")
    assert loaded.plane == read.plane
    made = pipe(image=other, relation=loaded).images[0]
    assert off(made, leaning(other)) < 0.03 * off(other, leaning(other))


def test_a_damaged_plane_is_refused(tmp_path: Path) -> None:
    plane = json.loads(json.dumps(asdict(Plane((1.25, 0.0, 0.0, 0.0, 1.0, 0.25, 0.0, 0.25), 1.0))))
    assert plane_from(plane) == Plane((1.25, 0.0, 0.0, 0.0, 1.0, 0.25, 0.0, 0.25), 1.0)
    assert plane_from(None) is None
    for damage in ("far", {}, {**plane, "numbers": [1.0]}, {**plane, "ratio": 0}, {**plane, "beyond": "sea"}):
        with pytest.raises(ValueError, match="plane is"):
            plane_from(damage)
    read = RelationPipeline.from_pretrained("mini").encode_relation([(natural(128), ImageOps.invert(natural(128)))])
    replace(read, provenance={**read.provenance, "plane": {}}).save(tmp_path / "odd.safetensors")
    with pytest.raises(WeightsError, match="provenance is damaged"):
        Relation.load(tmp_path / "odd.safetensors")
