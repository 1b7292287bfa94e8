"""What bends a picture line by line is told from one pair, and done to pictures of any size."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter
from samples import natural
from scipy import ndimage

from relation_adapter import Relation, RelationPipeline
from relation_adapter.errors import WeightsError
from relation_adapter.exact.warp_fit import warp_of
from relation_adapter.exact.warps import BEYOND, Places, Warp, bent, warp_from, warped
from relation_adapter.units import Unit, from_unit, to_unit

Bend = Callable[[Places, Places], tuple[Places, Places]]  # of places to the right and down, in sides from the middle


def crop(left: int, top: int, side: int = 96) -> Image.Image:
    return natural(192).crop((left, top, left + side, top + side))


def off(first: Unit, second: Unit) -> float:
    return float(np.square(first - second).mean())


def bend(image: Image.Image, way: Bend, mode: str = "nearest") -> Image.Image:
    """A square picture whose pixels come from other places, as OpenCV or ImageMagick make it."""
    unit, side = to_unit(image), image.width
    y, x = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    right, down = way(x, y)
    places = np.stack([down, right]) * side + side / 2 - 0.5
    colours = [ndimage.map_coordinates(unit[..., one], places, order=1, mode=mode) for one in range(3)]
    return from_unit(np.stack(colours, axis=-1).clip(0, 1))


def swirl(x: Places, y: Places) -> tuple[Places, Places]:
    turn = 2 * np.exp(-4 * np.hypot(x - 0.1, y))
    return (x - 0.1) * np.cos(turn) - y * np.sin(turn) + 0.1, (x - 0.1) * np.sin(turn) + y * np.cos(turn)


def bulge(x: Places, y: Places) -> tuple[Places, Places]:
    share = np.minimum(1, np.hypot(x, y) / 0.5) ** 0.6
    return x * share, y * share


def wave(x: Places, y: Places) -> tuple[Places, Places]:
    return x, y + 0.04 * np.sin(3 * math.tau * x)


def squeeze(x: Places, y: Places) -> tuple[Places, Places]:
    return (x + 0.5) ** 1.5 - 0.5, y


def halves(x: Places, y: Places) -> tuple[Places, Places]:
    return -np.abs(x), y


def wedges(x: Places, y: Places) -> tuple[Places, Places]:
    turned = np.abs((np.arctan2(y, x) % (math.tau / 6)) - math.pi / 6) + 0.4
    return np.hypot(x, y) * np.cos(turned), np.hypot(x, y) * np.sin(turned)


@pytest.mark.parametrize(
    ("way", "kind"),
    [(swirl, "twirl"), (bulge, "rings"), (wave, "slides"), (squeeze, "lines"), (halves, "lines"), (wedges, "rays")],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_a_bend_is_told_from_one_pair_and_done_elsewhere(way: Bend, kind: str) -> None:
    before, source = crop(0, 0), crop(96, 96)
    found = warp_of(to_unit(before), to_unit(bend(before, way)))
    assert found is not None
    assert found[0].way == kind
    assert found[1] < 0.05 * off(to_unit(before), to_unit(bend(before, way)))
    wanted = to_unit(bend(source, way))
    assert off(to_unit(warped(source, found[0])), wanted) < 0.05 * off(to_unit(source), wanted)


@pytest.mark.parametrize("mode", ["nearest", "grid-wrap", "constant"])
def test_what_comes_from_outside_is_told_too(mode: str) -> None:
    before, source = crop(0, 0), crop(96, 96)
    further = lambda x, y: (x + 0.06 * np.sin(math.tau * y), y)  # noqa: E731
    found = warp_of(to_unit(before), to_unit(bend(before, further, mode)))
    assert found is not None
    assert BEYOND[found[0].beyond][0] == mode
    wanted = to_unit(bend(source, further, mode))
    assert off(to_unit(warped(source, found[0])), wanted) < 0.05 * off(to_unit(source), wanted)


def test_ripples_keep_their_light() -> None:
    def rippled(image: Image.Image) -> Image.Image:
        y, x = (np.mgrid[: image.height, : image.width] + 0.5) / image.width - 0.5
        far = np.hypot(x, y) + 1e-6
        made = bend(
            image, lambda x, y: (x * (1 + 0.02 * np.sin(60 * far) / far), y * (1 + 0.02 * np.sin(60 * far) / far))
        )
        return from_unit((to_unit(made) + (0.08 * np.cos(60 * far) * x / far)[..., None]).clip(0, 1))

    before, source = crop(0, 0), crop(96, 96)
    found = warp_of(to_unit(before), to_unit(rippled(before)))
    assert found is not None
    wanted = to_unit(rippled(source))
    plain = replace(found[0], lines=tuple((line[0], 1.0, 0.0, 0.0, 0.0, 0.0, 0.0) for line in found[0].lines))
    error = off(to_unit(warped(source, found[0])), wanted)
    assert error < 0.05 * off(to_unit(source), wanted)
    assert error < 0.2 * off(to_unit(warped(source, plain)), wanted)


@pytest.mark.parametrize(
    "edit",
    [
        ImageEnhance.Brightness(crop(0, 0)).enhance(0.6),
        crop(0, 0).filter(ImageFilter.FIND_EDGES),
        crop(96, 0),
    ],
    ids=["darker", "edges", "another"],
)
def test_what_is_no_bend_is_not_told_as_one(edit: Image.Image) -> None:
    assert warp_of(to_unit(crop(0, 0)), to_unit(edit)) is None


def test_parts_of_a_picture_are_bent_as_the_whole_and_part_of_the_way() -> None:
    source, warp = to_unit(natural(160)), warp_of(to_unit(crop(0, 0)), to_unit(bend(crop(0, 0), swirl)))
    assert warp is not None
    whole = bent(source, warp[0])
    assert np.array_equal(
        np.concatenate([bent(source, warp[0], slice(0, 70)), bent(source, warp[0], slice(70, 160))]), whole
    )
    assert off(bent(source, warp[0].part(0)), source) < 1e-9
    assert 0 < off(bent(source, warp[0].part(0.3)), source) < off(whole, source)


def test_mini_bends_a_large_photo_and_the_file_keeps_it(tmp_path: Path) -> None:
    pipe, photo = RelationPipeline.from_pretrained("mini"), natural(384)
    pipe.set_progress_bar_config(disable=True)
    before = crop(0, 0, 128)
    read = pipe.encode_relation([(before, bend(before, bulge))])
    assert read.warp is not None
    read.save(tmp_path / "bulge.safetensors")
    made = pipe(image=photo, relation=Relation.load(tmp_path / "bulge.safetensors"), seed=0).images[0]
    wanted = to_unit(bend(photo, bulge))
    assert off(to_unit(made), wanted) < 0.05 * off(to_unit(photo), wanted)
    good = asdict(read.warp)
    for damage in (
        {"way": "knots"},
        {"beyond": "nothing"},
        {"step": 0.0},
        {"lines": [[0.0]]},
        {"x": "left"},
        {"lines": 1},
    ):
        replace(read, provenance={**read.provenance, "warp": good | damage}).save(tmp_path / "odd.safetensors")
        with pytest.raises(WeightsError, match="provenance is damaged"):
            Relation.load(tmp_path / "odd.safetensors")
    assert warp_from(None) is None
    assert warp_from(good) == read.warp


def of_its_size(image: Image.Image, way: Bend) -> Image.Image:
    """Bent in shares of its width and height."""
    unit, (width, height) = to_unit(image), image.size
    y, x = np.mgrid[:height, :width] + 0.5
    right, down = way(x / width - 0.5, y / height - 0.5)
    places = np.stack([(down + 0.5) * height, (right + 0.5) * width]) - 0.5
    colours = [ndimage.map_coordinates(unit[..., one], places, order=1, mode="nearest") for one in range(3)]
    return from_unit(np.stack(colours, axis=-1).clip(0, 1))


@pytest.mark.parametrize("turn", [False, True])
@pytest.mark.parametrize("way", [bulge, wave, squeeze], ids=lambda way: way.__name__)
def test_a_bend_that_is_stretched_with_its_picture_is_so_with_any_other(way: Bend, turn: bool) -> None:
    """An oval bulge; and waves and squeezed lines, of which there are as many to any width or height."""
    across = (lambda x, y: way(y, x)[::-1]) if turn else way
    before = natural(192).crop((0, 0, 160, 110))
    found = warp_of(to_unit(before), to_unit(of_its_size(before, across)))
    assert found is not None and found[0].stretched
    again = warp_from(asdict(found[0]))
    for other in (crop(96, 96), natural(192).crop((0, 0, 120, 180))):
        wanted = to_unit(of_its_size(other, across))
        made = to_unit(warped(other, again if again is not None else found[0]))
        assert off(made, wanted) < 0.06 * off(to_unit(other), wanted)


def test_a_wide_picture_is_bent_in_its_own_short_sides() -> None:
    rings = Warp("rings", 0.005, 0.01, tuple((0.02, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0) for _ in range(60)))
    wide = Image.new("RGB", (200, 100))
    wide.paste((255, 255, 255), (100 + 30, 45, 100 + 40, 55))  # 0.3 to 0.4 short sides right of the middle
    seen = np.asarray(warped(wide, rings))[50, :, 0]
    assert np.flatnonzero(seen > 128).tolist() == list(range(128, 138))
