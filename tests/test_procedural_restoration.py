"""Restorations spoil a picture in the way their names and params say."""

from __future__ import annotations

import numpy as np
import pytest
from procedural_samples import error, photo, rng

from relation_adapter.procedural import task, tasks
from relation_adapter.procedural.scenes import draw_scene_picture

RESTORATIONS = [entry.name for entry in tasks("low_level") if entry.backwards]


def test_there_are_32_low_level_tasks_two_of_them_unseen() -> None:
    assert len(tasks("low_level")) == 32
    assert {entry.name for entry in tasks("low_level", seen=False)} == {"demosaicing", "document rectification"}


@pytest.mark.parametrize("name", RESTORATIONS)
def test_the_params_of_restorations_show_in_the_spoiled_picture(name: str) -> None:
    entry, apart = task(name), []
    for number in range(6):
        picture = draw_scene_picture(rng(30, number), 96)
        first, second = (entry.make_pair(picture, entry.draw_params(rng(30, number, draw)))[0] for draw in (0, 1))
        apart.append(error(first, second))
    assert np.mean(apart) > 1e-4


def test_a_colour_filter_leaves_one_channel_of_every_pixel() -> None:
    picture = np.full((8, 8, 3), 200, np.uint8)
    before, _ = task("demosaicing").make_pair(picture, {"pattern": [0, 1, 1, 2], "cell": 1 / 8})
    assert np.array_equal(before[:2, :2], [[[200, 0, 0], [0, 200, 0]], [[0, 200, 0], [0, 0, 200]]])
    assert np.array_equal(before[:2, :2], before[2:4, 2:4])


def test_a_lamp_multiplies_every_channel() -> None:
    picture = photo()
    before, after = task("white balance").make_pair(picture, {"lamp": [255, 204, 102]})
    assert np.abs(before - after * np.array([1, 0.8, 0.4])).max() <= 1


def test_the_corners_of_a_sheet_lie_where_the_params_say() -> None:
    """A picture of four colours, one to a quarter: each is found just within its corner, the desk just outside."""
    picture = np.zeros((100, 100, 3), np.uint8)
    colours = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 0]])
    quarters = ((slice(0, 50), slice(0, 50)), (slice(0, 50), slice(50, 100)), (slice(50, 100), slice(50, 100)))
    for colour, quarter in zip(colours, (*quarters, (slice(50, 100), slice(0, 50))), strict=True):
        picture[quarter] = colour
    corners = np.array([[0.2, 0.1], [0.9, 0.2], [0.8, 0.9], [0.1, 0.7]])
    params = {"corners": corners.tolist(), "desk": [120, 120, 120]}
    before, after = task("document rectification").make_pair(picture, params)
    assert np.array_equal(after, picture)
    for colour, corner in zip(colours, corners, strict=True):
        towards = (corners.mean(axis=0) - corner) * 0.12
        (x, y), (outer_x, outer_y) = ((corner + towards) * 100).astype(int), ((corner - towards) * 100).astype(int)
        assert np.array_equal(before[y, x], colour)
        assert np.ptp(before[outer_y, outer_x].astype(int)) <= 1


def test_compression_keeps_plain_pictures_and_loses_the_detail_of_others() -> None:
    params = {"block": 0.1, "step": 0.3}
    plain = np.full((40, 50, 3), 128, np.uint8)
    before, _ = task("compression artefact removal").make_pair(plain, params)
    assert np.ptp(before.reshape(-1, 3).astype(int), axis=0).max() <= 1
    assert np.abs(before.astype(int) - plain).max() <= 0.15 * 255
    fine = rng(31).integers(96, 160, (48, 48, 3), dtype=np.uint8)
    coarse, _ = task("compression artefact removal").make_pair(fine, params)
    assert np.abs(np.diff(coarse.astype(int), axis=1)).mean() < 0.2 * np.abs(np.diff(fine.astype(int), axis=1)).mean()


@pytest.mark.parametrize("name", ["watermark removal", "scratch removal", "spot removal", "rain removal"])
def test_what_covers_a_picture_leaves_much_of_it(name: str) -> None:
    entry, picture = task(name), photo(128, 128)
    for number in range(4):
        before, after = entry.make_pair(picture, entry.draw_params(rng(32, number)))
        assert 0.01 < np.any(before != after, axis=2).mean() < 0.7


def test_clouds_and_shadows_have_a_place_of_their_own_in_every_picture() -> None:
    for name in ("cloud removal", "shadow removal"):
        entry = task(name)
        params = entry.draw_params(rng(33))
        first, second = (np.any(np.subtract(*entry.make_pair(photo(64, 64, seed), params)), axis=2) for seed in (1, 2))
        assert (first != second).mean() > 0.02
