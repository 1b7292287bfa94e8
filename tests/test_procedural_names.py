"""Procedural tasks do what their names say."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from procedural_samples import error, photo, rng

from relation_adapter.procedural import draw_quad, task
from relation_adapter.procedural.pixels import Picture
from relation_adapter.procedural.scenes import draw_scene_picture

Measure = Callable[[Picture], float]


def brightness(picture: Picture) -> float:
    return float(picture.mean())


def spread(picture: Picture) -> float:
    return float(picture.std())


def colourfulness(picture: Picture) -> float:
    return float(np.ptp(picture.astype(float), axis=2).mean())


def warmth(picture: Picture) -> float:
    return float(picture[..., 0].mean() - picture[..., 2].mean())


def detail(picture: Picture) -> float:
    return float(np.abs(np.diff(picture.astype(float), axis=1)).mean())


@pytest.mark.parametrize(
    ("name", "measure", "factor"),
    [
        ("brighten", brightness, 1.08),
        ("darken", brightness, 0.9),
        ("add haze", brightness, 1.02),
        ("low-light enhancement", brightness, 1.3),
        ("vignette", brightness, 0.98),
        ("raise contrast", spread, 1.2),
        ("lower contrast", spread, 0.7),
        ("haze removal", detail, 1.2),
        ("saturate", colourfulness, 1.3),
        ("desaturate", colourfulness, 0.6),
        ("grayscale", colourfulness, 0.2),
        ("old photo restoration", colourfulness, 1.2),
        ("blur", detail, 0.9),
        ("sharpen", detail, 1.2),
        ("deblurring", detail, 1.05),
        ("super resolution", detail, 1.05),
        ("denoising", detail, 0.9),
    ],
)
def test_every_pair_goes_in_the_direction_of_its_name(name: str, measure: Measure, factor: float) -> None:
    entry = task(name)
    for number in range(8):
        before, after = entry.make_pair(photo(seed=number), entry.draw_params(rng(15, number)))
        ratio = measure(after) / measure(before)
        assert ratio > factor if factor > 1 else ratio < factor


def test_warmer_and_cooler_are_opposite() -> None:
    for number in range(8):
        picture = photo(seed=number)
        warm = task("warmer").apply(picture, task("warmer").draw_params(rng(16, number)))
        cool = task("cooler").apply(picture, task("cooler").draw_params(rng(16, number)))
        assert warmth(warm) > warmth(picture) + 10
        assert warmth(cool) < warmth(picture) - 10


def test_flips_and_turns_come_back() -> None:
    picture = photo()
    across, down = (task("flip").apply(picture, {"axis": axis}) for axis in ("horizontal", "vertical"))
    assert np.array_equal(across, picture[:, ::-1])
    assert np.array_equal(down, picture[::-1])
    turn = task("turn")
    assert np.array_equal(turn.apply(picture, {"quarters": 2}), down[:, ::-1])
    for quarters in (1, 2, 3):
        turned = turn.apply(picture, {"quarters": quarters})
        assert np.array_equal(turn.apply(turned, {"quarters": 4 - quarters}), picture)


def test_a_tilted_picture_keeps_its_middle_and_shows_the_colour_in_its_corners() -> None:
    picture = np.zeros((90, 120, 3), np.uint8)
    picture[40:50] = 255
    for angle in (20, -20):
        tilted = task("tilt").apply(picture, {"angle": angle, "colour": [250, 0, 250]})
        for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
            assert tuple(tilted[row, column]) == (250, 0, 250)
        assert tuple(tilted[45, 60]) == (255, 255, 255)
        heights = [int(np.argmax(tilted[:, column].min(axis=1) > 128)) for column in (30, 90)]
        assert heights[1] - heights[0] == pytest.approx(
            60 * np.tan(np.radians(angle)), abs=2
        )  # clockwise: down at the right


def test_a_picture_slid_there_and_back_is_as_it_was() -> None:
    picture, entry = photo(100, 60), task("slide")
    for there, back in (("left", "right"), ("up", "down")):
        slid = entry.apply(picture, {"to": there, "share": 0.2})
        assert np.array_equal(entry.apply(slid, {"to": back, "share": 0.2}), picture)
    assert np.array_equal(entry.apply(picture, {"to": "right", "share": 0.2})[:, 12:], picture[:, :-12])
    assert np.array_equal(entry.apply(picture, {"to": "up", "share": 0.2})[:-20], picture[20:])


def test_channel_swap_only_moves_channels() -> None:
    picture = photo()
    for number in range(10):
        swapped = task("channel swap").apply(picture, task("channel swap").draw_params(rng(17, number)))
        assert np.array_equal(np.sort(swapped, axis=2), np.sort(picture, axis=2))
        assert not np.array_equal(swapped, picture)


@pytest.mark.parametrize(
    ("forth", "back"),
    [
        ("add hat", "take off hat"),
        ("add glasses", "take off glasses"),
        ("close eyes", "open eyes"),
        ("grow beard", "shave"),
        ("day to night", "night to day"),
        ("add snow", "melt snow"),
    ],
)
def test_opposite_scene_tasks_are_each_other_reversed(forth: str, back: str) -> None:
    one, other = draw_quad(rng(18), 32, forth), draw_quad(rng(18), 32, back)
    assert np.array_equal(one.before, other.after)
    assert np.array_equal(one.target, other.source)


@pytest.mark.parametrize("name", ["add hat", "add glasses", "close eyes", "open mouth", "add object", "remove object"])
def test_a_local_edit_leaves_most_of_the_picture(name: str) -> None:
    quads = [draw_quad(rng(19, number), 48, name) for number in range(12)]
    touched = [np.any(quad.before != quad.after, axis=2).mean() for quad in quads]
    assert 0 < np.mean(touched) < 0.35


def test_an_added_object_stands_where_the_params_say() -> None:
    for number in range(6):
        quad = draw_quad(rng(20, number), 64, "add object")
        for first, second in ((quad.before, quad.after), (quad.source, quad.target)):
            y, x = (np.median(places) / 64 for places in np.nonzero(np.any(first != second, axis=2)))
            assert abs(x - quad.params["x"]) < 0.1
            assert abs(y - quad.params["y"]) < 0.2


def test_a_red_id_photo_has_a_red_ground() -> None:
    for number in range(6):
        target = draw_quad(rng(21, number), 48, "red-background ID photo").target.astype(int)
        corner = target[:4, :4].reshape(-1, 3).mean(axis=0)
        assert corner[0] > 2 * corner[1:].max()


def test_posterize_leaves_as_many_levels_as_it_says() -> None:
    for levels in (3, 4, 5):
        posterized = task("posterize").apply(photo() * 2, {"levels": levels})
        assert len(np.unique(posterized)) <= levels


FRAMES = ["photo frame", "instant print", "rounded border", "film strip", "postage stamp", "trading card"]


@pytest.mark.parametrize("name", [*FRAMES, "oval portrait", "round badge"])
def test_a_frame_covers_the_corners_and_leaves_the_middle(name: str) -> None:
    picture, entry = photo(), task(name)
    for number in range(5):
        framed = entry.apply(picture, entry.draw_params(rng(24, number)))
        assert np.array_equal(framed[50:70, 75:95], picture[50:70, 75:95])
        for rows, columns in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
            assert not np.array_equal(framed[rows, columns], picture[rows, columns])


FOLLOW_THE_SIZE = ["blur", "vignette", "photo frame", "instant print", "trading card", "film strip", "snow globe"]


@pytest.mark.parametrize("name", FOLLOW_THE_SIZE)
def test_lengths_follow_the_size_of_the_picture(name: str) -> None:
    """Editing then halving is halving then editing, but for a tenth of what the edit does."""
    entry = task(name)
    large = rng(22).integers(0, 256, (32, 32, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    params = entry.draw_params(rng(22))

    def halved(picture: Picture) -> Picture:
        return np.round(picture.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))).astype(np.uint8)

    edited = entry.apply(halved(large), params)
    assert error(halved(entry.apply(large, params)), edited) < 0.1 * error(halved(large), edited)


def test_scene_pictures_vary_as_photos_do() -> None:
    drawn = [draw_scene_picture(rng(23, number), 48) for number in range(80)]
    assert 90 < np.mean([picture.mean() for picture in drawn]) < 150
    assert 0.08 < np.mean([picture.std() / 255 for picture in drawn]) < 0.25
    assert all(error(first, second) > 1e-4 for first, second in pairwise(drawn))


def test_drawn_pictures_have_the_statistics_of_photos() -> None:
    """Amplitudes fall like 1/f, slopes are rare and steep, colours follow the light: as crops of photos do."""
    slopes, kurtoses, correlations = [], [], []
    for number in range(60):
        picture = draw_scene_picture(rng(25, number), 64) / 255
        light = picture @ [0.299, 0.587, 0.114]
        window = np.hanning(64)[:, None] * np.hanning(64)
        amplitude = np.abs(np.fft.fft2((light - light.mean()) * window))
        place = np.fft.fftfreq(64) * 64
        radius = np.hypot(place[:, None], place[None, :])
        rings = np.arange(2, 21)
        mean = [amplitude[(radius >= ring) & (radius < ring + 1)].mean() for ring in rings]
        slopes.append(-np.polyfit(np.log(rings + 0.5), np.log(mean), 1)[0])
        change = np.diff(light, axis=1).ravel()
        kurtoses.append(np.mean((change - change.mean()) ** 4) / change.var() ** 2)
        correlations.append(np.corrcoef(picture.reshape(-1, 3).T)[0, 1])
    assert 1.0 < np.median(slopes) < 1.8
    assert 5 < np.median(kurtoses) < 40
    assert 0.6 < np.median(correlations) < 0.98
