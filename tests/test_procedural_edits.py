"""Editing and customized tasks: what an edit keeps, what its parameters settle, where prints put the picture."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from procedural_samples import error, photo, rng

from relation_adapter.procedural import SceneTask, draw_quad, task, tasks
from relation_adapter.procedural.pixels import Picture, grid, to_float
from relation_adapter.procedural.printing import bent, painted, placed, shrunk

MINE = [*tasks("editing"), *tasks("customized")]


def states(name: str, number: int) -> tuple[Any, Any, dict[str, Any]]:
    """The subject that is edited, before and after (in the order drawn), and the parameters."""
    entry = task(name)
    assert isinstance(entry, SceneTask)
    params = entry.draw_params(rng(1, number))
    first, second = entry.change(entry.draw_scene(rng(2, number), 16), params)
    return first.subjects[-1], second.subjects[-1], params


def test_there_are_as_many_as_in_the_paper_and_some_stay_unseen() -> None:
    assert len(tasks("editing")) == 63
    assert len(tasks("customized")) == 39
    unseen = {entry.name for entry in MINE if not entry.seen}
    assert unseen == {"make older", "swap objects", "flood", "jigsaw puzzle", "cube"}


@pytest.mark.parametrize("entry", MINE, ids=[entry.name for entry in MINE])
@pytest.mark.parametrize("size", [8, 33])
def test_small_and_odd_pictures_will_do(entry: Any, size: int) -> None:
    quad = draw_quad(rng(3), size, entry)
    assert quad.target.shape == (size, size, 3)
    assert not np.array_equal(quad.before, quad.after)


# Scenes


@pytest.mark.parametrize("name", ["sit down", "grow taller", "kick", "wave", "make stouter"])
def test_feet_stay_where_they_are(name: str) -> None:
    for number in range(10):
        before, after, _ = states(name, number)
        assert after.foot == pytest.approx(before.foot)
        assert after.x == before.x


@pytest.mark.parametrize(
    ("name", "field"), [("replace object", "kind"), ("change animal", "kind"), ("change letter", "letter")]
)
def test_what_is_replaced_was_another_before(name: str, field: str) -> None:
    for number in range(60):
        before, after, params = states(name, number)
        assert getattr(before, field) != getattr(after, field) == params[field]


def test_what_lids_lenses_and_snow_hide_is_told_by_the_params() -> None:
    for number in range(5):
        for name in ("open eyes", "take off glasses"):
            shown, hidden, params = states(name, number)
            assert shown.iris == hidden.iris == tuple(params["iris"])
        bare, _, params = states("melt snow", number)
        assert bare.ground == tuple(params["ground"])
        assert {thing.top for thing in bare.things if thing.kind == "tree"} == {tuple(params["leaves"])}


def test_swapped_objects_swapped_again_are_where_they_were() -> None:
    entry = task("swap objects")
    assert isinstance(entry, SceneTask)
    drawn = entry.draw_scene(rng(4), 32)
    for one, other in ([0, 1], [1, 2], [0, 2]):
        params = {"places": [one, other]}
        first, second = entry.change(drawn, params)
        assert entry.change(second, params)[1] == first
        before: list[Any] = list(first.subjects[-3:])
        after: list[Any] = list(second.subjects[-3:])
        moved = [place for place in range(3) if before[place].kind != after[place].kind]
        assert moved == [one, other]
        assert [prop.x for prop in before] == [prop.x for prop in after]
        assert (before[one].kind, before[other].kind) == (after[other].kind, after[one].kind)


def test_objects_to_swap_are_all_different_and_none_hides_another() -> None:
    entry = task("swap objects")
    assert isinstance(entry, SceneTask)
    for number in range(20):
        row: list[Any] = list(entry.draw_scene(rng(5, number), 16).subjects[-3:])
        assert len({prop.kind for prop in row}) == len({prop.colour for prop in row}) == 3
        assert all(right.x - left.x > left.scale + right.scale for left, right in pairwise(row))
        assert row[0].x - row[0].scale > 0.03 and row[2].x + row[2].scale < 0.97


def test_a_shrunk_object_stays_in_its_place() -> None:
    for number in range(5):
        before, after, params = states("shrink object", number)
        assert (after.x, after.y, after.colour) == (before.x, before.y, before.colour)
        assert after.scale == pytest.approx(before.scale * params["factor"])


def test_copies_stand_beside_the_object_in_one_row() -> None:
    entry = task("duplicate object")
    assert isinstance(entry, SceneTask)
    for copies in (1, 2):
        params = {"copies": copies, "side": 1, "step": 0.25}
        first, second = entry.change(entry.draw_scene(rng(6), 16), params)
        placed_at = [(copy.x, copy.y) for copy in second.subjects[len(first.subjects) - 1 :]]  # type: ignore[attr-defined]
        assert len(placed_at) == copies + 1
        assert {y for _, y in placed_at} == {placed_at[0][1]}
        assert len({round(x, 3) for x, _ in placed_at}) == copies + 1


# Prints


def test_a_plain_picture_is_plain_wherever_it_is_put() -> None:
    x, y = grid(40, 60)
    plain = np.full((40, 60, 3), 0.4, np.float32)
    for put in (placed, bent):
        assert np.allclose(put(plain, (0.3, 0.2), x, y), 0.4, atol=0.002)


def test_an_upright_window_shows_the_same_as_a_bent_one_that_is_straight() -> None:
    x, y = grid(48, 48)
    picture = to_float(photo(48, 48))
    upright = placed(picture, (0.25, 0.3), x - 0.1, y)
    assert np.allclose(upright, bent(picture, (0.25, 0.3), x - 0.1, y), atol=1e-5)


def test_a_window_as_large_as_the_picture_shows_the_picture() -> None:
    x, y = grid(48, 48)
    picture = to_float(photo(48, 48))
    assert np.allclose(placed(picture, (0.5, 0.5), x, y), picture, atol=0.003)


def test_a_window_takes_the_middle_of_a_picture_of_another_shape() -> None:
    picture = np.zeros((40, 80, 3), np.float32)
    picture[:, 20:60] = 1
    small = shrunk(picture, (0.25, 0.25))
    assert small.shape == (20, 20, 3)
    assert small.min() > 0.99


def test_a_pen_over_a_wide_picture_starts_in_its_middle() -> None:
    sheet = painted(np.zeros((20, 60, 3), np.float32), lambda pen: pen.box(-0.5, -0.5, 0.5, 0.5, (255, 255, 255)))
    assert sheet[:, 21:39].min() > 0.9
    assert sheet[:, :19].max() == sheet[:, 41:].max() == 0


def apply(name: str, picture: Picture, **fields: Any) -> Picture:
    params = task(name).draw_params(rng(7)) | fields
    return task(name).apply(picture, params)


def test_a_playing_card_is_the_same_upside_down() -> None:
    card = apply("playing card", photo(96, 96))
    assert error(card, card[::-1, ::-1]) < 2e-3


def test_wrapping_paper_repeats_the_picture() -> None:
    paper = apply("wrapped gift", photo(120, 120), tiles=2, across=-0.2)
    assert error(paper[84:108, 14:20], paper[84:108, 62:68]) < 5e-3


def test_a_jigsaw_lacks_the_piece_that_the_params_name() -> None:
    picture = photo(120, 120)
    for row, column in ((0, 0), (1, 2), (2, 1)):
        cut = apply("jigsaw puzzle", picture, pieces=3, row=row, column=column, table=[250, 0, 250])
        assert tuple(cut[40 * row + 20, 40 * column + 20]) == (250, 0, 250)
        assert np.any(cut == picture, axis=2).mean() > 0.6


@pytest.mark.parametrize("name", ["coin", "medal", "keychain", "balloon form", "cube", "cushion", "flag"])
def test_a_thing_lies_on_a_ground_that_the_picture_does_not_touch(name: str) -> None:
    params = task(name).draw_params(rng(8))
    first, second = (task(name).apply(photo(64, 64, seed), params) for seed in (1, 2))
    assert np.array_equal(first[:2], second[:2])
    assert error(first[24:40, 28:44], second[24:40, 28:44]) > 1e-3
