"""Styles: how many there are, that their parameters show, and what is special about some."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from procedural_samples import error, photo, rng

from relation_adapter.procedural import Task, task, tasks
from relation_adapter.procedural.pixels import Picture

STYLES = tasks("style")


def styled(name: str, picture: Picture, seed: int = 0, **fixed: object) -> Picture:
    entry = task(name)
    return entry.apply(picture, {**entry.draw_params(rng(40, seed)), **fixed})


def detailed(size: int = 64) -> Picture:
    """Patches of all colours with finer ones in them."""
    coarse = rng(50).integers(40, 216, (8, 8, 3)).repeat(8, axis=0).repeat(8, axis=1)
    fine = rng(51).integers(-40, 41, (32, 32, 3)).repeat(2, axis=0).repeat(2, axis=1)
    return (coarse + fine).astype(np.uint8).repeat(size // 64, axis=0).repeat(size // 64, axis=1)


def flat(value: int, height: int = 64, width: int = 64) -> Picture:
    return np.full((height, width, 3), value, np.uint8)


def halves() -> Picture:
    """Dark on the left, bright on the right."""
    picture = flat(40)
    picture[:, 32:] = 215
    return picture


def test_there_are_84_styles_of_which_3_are_unseen_and_all_run_on_photos() -> None:
    assert len(STYLES) == 84
    assert [entry.name for entry in STYLES if not entry.seen] == ["typewriter art", "origami", "kaleidoscope"]
    assert all(entry.on_photos and not entry.backwards for entry in STYLES)


@pytest.mark.parametrize("entry", STYLES, ids=[entry.name for entry in STYLES])
def test_other_parameters_give_another_picture(entry: Task) -> None:
    """Else the name of the task alone would tell the target."""
    picture, draw = detailed(), rng(41)
    drawn = [entry.apply(picture, entry.draw_params(draw)) for _ in range(8)]
    assert np.mean([error(first, second) for first, second in pairwise(drawn)]) > 1e-4


@pytest.mark.parametrize("entry", STYLES, ids=[entry.name for entry in STYLES])
def test_the_pattern_is_the_same_on_every_picture_of_a_size(entry: Task) -> None:
    """What the pair shows is all that the target needs: no style draws from the picture's own randomness."""
    params, picture = entry.draw_params(rng(42)), detailed()
    nudged = picture.copy()
    nudged[0, 0] ^= 1
    assert error(entry.apply(picture, params), entry.apply(nudged, params)) < 1e-3


def test_no_two_styles_look_alike() -> None:
    picture = detailed()
    shown = {entry.name: entry.apply(picture, entry.draw_params(rng(43))) for entry in STYLES}
    shown[""] = picture
    near = [(a, b) for a in shown for b in shown if a < b and error(shown[a], shown[b]) < 1e-3]
    assert not near


FOLLOW_THE_SIZE = ["woodcut", "stippling", "paper cut-out", "frost", "ripples", "origami", "Van Gogh style", "knitting"]


@pytest.mark.parametrize("name", FOLLOW_THE_SIZE)
def test_patterns_follow_the_size_of_the_picture(name: str) -> None:
    entry, large = task(name), detailed(256)
    params = entry.draw_params(rng(44))

    def halved(picture: Picture) -> Picture:
        return np.round(picture.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))).astype(np.uint8)

    edited = entry.apply(halved(large), params)
    assert error(halved(entry.apply(large, params)), edited) < 0.2 * error(halved(large), edited)


def test_a_kaleidoscope_of_four_wedges_looks_the_same_after_a_quarter_turn() -> None:
    turned = styled("kaleidoscope", detailed(), wedges=4)
    assert error(turned, np.rot90(turned)) < 1e-4
    assert error(turned, turned[:, ::-1]) > 1e-4


def test_typewriter_art_types_in_two_colours_and_more_ink_where_it_is_dark() -> None:
    paper = {"glowing": False, "dark": [0, 0, 0], "bright": [255, 255, 255], "letters": 16}
    typed = styled("typewriter art", halves(), **paper)
    assert typed[:, :32].mean() < typed[:, 32:].mean() - 40
    glowing = styled("typewriter art", halves(), **{**paper, "glowing": True})
    assert glowing[:, :32].mean() < glowing[:, 32:].mean() - 40
    assert np.ptp(typed.astype(int), axis=2).max() == 0


def test_origami_is_made_of_few_flat_triangles() -> None:
    folded = styled("origami", photo(128, 128), folds=6)
    _, counts = np.unique(folded.reshape(-1, 3), axis=0, return_counts=True)
    assert np.sort(counts)[-72:].sum() > 0.55 * counts.sum()


def test_ink_is_thicker_where_the_picture_is_dark() -> None:
    inks = {"ink": [0, 0, 0], "paper": [255, 255, 255]}
    for name in ("stippling", "spiral drawing", "cross-hatching", "woodcut", "ink wash"):
        drawn = styled(name, halves(), **inks)
        assert drawn[:, :28].mean() < drawn[:, 36:].mean() - 60, name


def test_a_glitch_leaves_the_rows_between_its_bands() -> None:
    picture = photo(100, 100)
    broken = styled("glitch", picture, bands=[[0.2, 0.1, 0.1], [0.6, 0.05, -0.1]])
    touched = np.flatnonzero(np.any(broken != picture, axis=(1, 2)))
    assert set(touched) <= {*range(20, 31), *range(60, 66)}
    assert len(touched) > 10


def test_selective_colour_keeps_its_hue_and_greys_the_others() -> None:
    picture = flat(0)
    picture[:, :32], picture[:, 32:] = (200, 60, 50), (60, 90, 210)
    kept = styled("selective colour", picture, colour=[230, 30, 30]).astype(int)
    assert np.ptp(kept[:, :32], axis=2).min() > 150
    assert np.ptp(kept[:, 32:], axis=2).max() < 5


def test_a_miniature_is_sharp_in_its_strip_alone() -> None:
    noise = rng(45).integers(0, 256, (100, 100, 1), dtype=np.uint8).repeat(3, axis=2)
    rows = styled("miniature", noise, strip=0.2, thick=0.08).std(axis=(1, 2))
    assert rows[66:74].min() > 60
    assert rows[:40].max() < 30


def test_a_ridge_line_rises_where_it_is_bright() -> None:
    plain = {"lines": 16, "rise": 0.15, "ground": [0, 0, 0], "line": [255, 255, 255]}
    drawn = styled("ridge lines", halves(), **plain)[..., 0]
    first = [int(np.argmax(drawn[:, column] > 128)) for column in (8, 56)]
    assert first[0] != first[1]
    foot = drawn[30:, [8, 56]] > 128
    assert np.all(foot.any(axis=0))


def test_lead_letters_and_tiles_stand_where_the_params_say() -> None:
    left, right = (styled("x-ray", flat(230), letter="L", side=side)[..., 0] for side in (-1, 1))
    assert left[2:20, :20].max() > 200 > 120 > left[2:20, -20:].max()
    assert right[2:20, -20:].max() > 200 > 120 > right[2:20, :20].max()
    joint = styled("painted tiles", flat(230), tiles=4, joint=[0, 0, 0])
    dark = np.flatnonzero(joint.max(axis=2).mean(axis=0) < 120)
    assert {15, 16, 31, 32, 47, 48} <= set(dark)
