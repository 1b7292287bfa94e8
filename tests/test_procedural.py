"""Procedural quads: what training and the benchmark rely on when they take the computed result for the truth."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from procedural_samples import error, photo, rng

from relation_adapter.errors import UsageError
from relation_adapter.procedural import CATEGORIES, TASKS, DrawnQuad, Task, draw_quad, task, tasks
from relation_adapter.procedural.pixels import Picture

PIXEL_TASKS = tasks(on_photos=True)
SCENE_TASKS = tasks(on_photos=False)
FORWARD = [entry for entry in PIXEL_TASKS if not entry.backwards]
BACKWARDS = [entry for entry in PIXEL_TASKS if entry.backwards]
ODD_SIZES = [(37, 91), (91, 37), (2, 3), (1, 20), (20, 1), (1, 1)]


def pictures(quad: DrawnQuad) -> list[Picture]:
    return [quad.before, quad.after, quad.source, quad.target]


def names(entries: list[Task]) -> list[str]:
    return [entry.name for entry in entries]


# The registry


def test_there_are_tasks_enough_in_every_category() -> None:
    assert len(TASKS) >= 40
    assert all(len(tasks(category)) >= 5 for category in CATEGORIES)
    assert len(PIXEL_TASKS) + len(SCENE_TASKS) == len(TASKS)
    assert all(task(name).name == name for name in TASKS)


def test_an_unknown_task_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="mirror halves"):
        task("mirorr halves")
    with pytest.raises(UsageError, match="brighten"):
        draw_quad(rng(0), 32, "brigten")
    for wanted, near in (
        ("Moire", "'moire removal'?"),
        ("hat", "'add hat' or 'take off hat'?"),
        ("swap", "'channel swap' or 'swap objects'?"),
    ):
        with pytest.raises(UsageError, match=re.escape(f"Did you mean {near}")):
            task(wanted)
    with pytest.raises(UsageError, match="There are: brighten"):
        task("§§§§")


def test_an_unknown_category_is_refused() -> None:
    with pytest.raises(UsageError, match=r"lowlevel.*low_level"):
        tasks("lowlevel")


# A quad


@pytest.mark.parametrize("name", TASKS)
def test_a_quad_is_the_same_for_the_same_rng_and_its_pairs_share_the_params(name: str) -> None:
    first, second = draw_quad(rng(1), 32, name), draw_quad(rng(1), 32, name)
    assert (first.task, first.category, first.params) == (name, task(name).category, second.params)
    assert json.loads(json.dumps(first.params)) == first.params
    for ours, again in zip(pictures(first), pictures(second), strict=True):
        assert ours.shape == (32, 32, 3)
        assert ours.dtype == np.uint8
        assert ours.flags.c_contiguous and ours.flags.writeable
        assert np.array_equal(ours, again)
    assert error(first.before, first.source) > 1e-4
    assert not np.array_equal(draw_quad(rng(2), 32, name).before, first.before)


@pytest.mark.parametrize("name", TASKS)
def test_other_params_make_another_pair_of_the_same_scene(name: str) -> None:
    """Else the task's name would tell the target, and nobody had to read the pair."""
    entry = task(name)
    drawn = (entry.draw_pair(rng(3), entry.draw_params(rng(4, number)), 32) for number in range(8))
    first = np.stack(next(drawn))
    assert any(not np.array_equal(first, np.stack(pair)) for pair in drawn)


@pytest.mark.parametrize("name", TASKS)
def test_the_edit_can_be_seen(name: str) -> None:
    quads = [draw_quad(rng(3, number), 48, name) for number in range(12)]
    changes = [error(quad.before, quad.after) for quad in quads] + [error(quad.source, quad.target) for quad in quads]
    assert np.mean(changes) > 1e-3
    assert np.mean(np.array(changes) > 1e-4) > 0.85


def test_without_a_name_the_task_is_drawn_too() -> None:
    drawn = {draw_quad(rng(4, number), 16).task for number in range(60)}
    assert len(drawn) > 25
    on_photos = {draw_quad(rng(5, number), 16, photos=[photo()]).task for number in range(60)}
    assert len(on_photos) > 20
    assert on_photos <= set(names(PIXEL_TASKS))


@pytest.mark.parametrize("entry", FORWARD, ids=names(FORWARD))
def test_params_that_went_through_json_give_the_same_edit_of_both_pairs(entry: Task) -> None:
    quad = draw_quad(rng(6), 48, entry, [photo(seed=1), photo(seed=2)])
    params = json.loads(json.dumps(quad.params))
    assert np.array_equal(entry.apply(quad.before, params), quad.after)
    assert np.array_equal(entry.apply(quad.source, params), quad.target)


@pytest.mark.parametrize("entry", BACKWARDS, ids=names(BACKWARDS))
def test_the_truth_of_a_restoration_is_the_untouched_picture(entry: Task) -> None:
    picture = photo()
    before, after = entry.make_pair(picture, entry.draw_params(rng(7)))
    assert np.array_equal(after, picture)
    assert error(before, after) > 1e-4
    with pytest.raises(UsageError, match="draw_pair or make_pair"):
        entry.apply(picture, entry.draw_params(rng(7)))


def test_grain_differs_between_the_pairs() -> None:
    quad = draw_quad(rng(8), 48, "denoising")
    first = quad.before.astype(int) - quad.after
    second = quad.source.astype(int) - quad.target
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.1


# Photos


def test_photos_of_a_quad_differ_where_there_are_several() -> None:
    plain = [np.full((40, 60, 3), value, np.uint8) for value in (40, 120, 200)]
    for number in range(20):
        quad = draw_quad(rng(9, number), 16, "flip", plain)
        assert quad.before.mean() in (40, 120, 200)
        assert quad.before.mean() != quad.source.mean()


def test_one_photo_gives_two_crops_and_is_left_as_it_was() -> None:
    picture = photo()
    kept = picture.copy()
    quad = draw_quad(rng(10), 32, "deblurring", [picture])
    assert error(quad.after, quad.target) > 1e-4
    assert np.array_equal(picture, kept)


def test_a_photo_of_one_pixel_will_do() -> None:
    quad = draw_quad(rng(11), 16, "darken", [np.full((1, 1, 3), 200, np.uint8)])
    assert np.all(quad.before == 200)
    assert np.all(quad.after < 200)


@pytest.mark.parametrize("entry", PIXEL_TASKS, ids=names(PIXEL_TASKS))
def test_pixel_tasks_take_pictures_of_any_size_and_leave_them_alone(entry: Task) -> None:
    params = entry.draw_params(rng(12))
    for height, width in ODD_SIZES:
        picture = photo(height, width)
        kept = picture.copy()
        before, after = entry.make_pair(picture, params)
        changed = before if entry.backwards else after
        assert changed.shape in ((height, width, 3), (width, height, 3) if entry.name == "turn" else None)
        assert changed.dtype == np.uint8
        assert np.array_equal(picture, kept)


@pytest.mark.parametrize(
    ("size", "name", "photos", "message"),
    [
        (7, "brighten", None, "size 7"),
        (32, "add hat", [photo()], "'add hat' needs a rendered scene"),
        (32, "brighten", [], "list of photos is empty"),
        (32, "brighten", [photo()[..., 0]], r"uint8 \(H, W, 3\), got uint8 \(120, 170\)"),
        (32, "brighten", [photo() / 255], "got float64"),
    ],
)
def test_unusable_calls_are_refused(size: int, name: str, photos: list[Picture] | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        draw_quad(rng(13), size, name, photos)


def test_a_scene_task_is_not_computed_on_a_picture() -> None:
    entry = task("raise arms")
    for compute in (entry.apply, entry.make_pair):
        with pytest.raises(UsageError, match="raise arms"):
            compute(photo(), entry.draw_params(rng(14)))


def test_procedural_needs_neither_torch_nor_scipy() -> None:
    code = "import sys, relation_adapter.procedural; print({'torch', 'scipy', 'diffusers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
