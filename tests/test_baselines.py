"""Baselines that need no weights, as editors and on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from samples import natural, noise, psnr

from relation_adapter.baselines import EDITORS, Choices, image_analogies
from relation_adapter.baselines.image_analogies import ImageAnalogies
from relation_adapter.cli import main
from relation_adapter.editor import EditRequest, Pair
from relation_adapter.images import open_picture, save_picture

PHOTO = natural(96)
NEGATIVE = Image.eval(PHOTO, lambda value: 255 - value)


def edited(pairs: list[Pair], source: Image.Image, editor: ImageAnalogies | None = None) -> Image.Image:
    return (editor or ImageAnalogies()).edit(EditRequest(pairs, source)).image


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    return set(map(tuple, np.asarray(image).reshape(-1, 3).tolist()))


def test_identity_gives_a_copy_of_the_source() -> None:
    source = noise(9, 7)
    made = EDITORS["identity"].make(Choices()).edit(EditRequest([], source)).image
    assert made is not source
    assert made.tobytes() == source.tobytes()


def test_the_source_that_the_pair_shows_becomes_what_the_pair_shows() -> None:
    assert psnr(edited([(PHOTO, NEGATIVE)], PHOTO), NEGATIVE) > 40


def test_an_edit_is_carried_over_to_another_place_of_the_picture() -> None:
    left, right = ((0, 0, 64, 96), (32, 0, 96, 96))
    pair = (PHOTO.crop(left), NEGATIVE.crop(left))
    nothing = psnr(PHOTO.crop(right), NEGATIVE.crop(right))
    assert psnr(edited([pair], PHOTO.crop(right)), NEGATIVE.crop(right)) > nothing + 6


def test_every_colour_of_a_changed_palette_is_one_of_after() -> None:
    after = noise(24, 24, 1)
    assert colours(edited([(noise(24, 24), after)], noise(20, 30, 2))) <= colours(after)


def test_an_edit_of_brightness_keeps_the_colours_of_the_source() -> None:
    gray = PHOTO.convert("L").convert("RGB")
    made = edited([(gray, Image.eval(gray, lambda value: value // 2))], PHOTO)
    chroma = [np.asarray(picture, float) @ np.array([0.596, -0.274, -0.322]) for picture in (made, PHOTO)]
    whole = np.logical_and(np.asarray(made) > 0, np.asarray(made) < 255).all(-1)  # not clipped
    assert np.abs(chroma[0] - chroma[1])[whole].max() < 1.5
    assert np.asarray(made, float).mean() < 0.8 * np.asarray(PHOTO, float).mean()


def test_fronts_make_what_reading_order_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, source = (PHOTO.crop((0, 0, 30, 24)), NEGATIVE.crop((0, 0, 30, 24))), PHOTO.crop((40, 40, 61, 57))

    def one_by_one(height: int, width: int) -> Iterator[npt.NDArray[np.intp]]:
        yield from (np.array([[y, x]]) for y in range(height) for x in range(width))

    made = edited([pair], source)
    monkeypatch.setattr(image_analogies, "_fronts", one_by_one)
    assert edited([pair], source).tobytes() == made.tobytes()


def test_every_front_holds_only_pixels_whose_neighbourhood_is_done() -> None:
    done: set[tuple[int, int]] = set()
    for front in image_analogies._fronts(7, 9):
        for y, x in front.tolist():
            causal = {(y + dy, x + dx) for dy, dx in image_analogies.CAUSAL}
            assert {(j, i) for j, i in causal if 0 <= j and 0 <= i < 9} <= done
        done |= set(map(tuple, front.tolist()))
    assert done == {(y, x) for y in range(7) for x in range(9)}


def test_coherence_takes_over_larger_pieces() -> None:
    pair, source = (noise(32, 32), noise(32, 32, 1)), noise(32, 32, 2)

    def runs(coherence: float) -> int:
        made = np.asarray(edited([pair], source, ImageAnalogies(coherence=coherence)))
        after = np.asarray(pair[1])
        places = {tuple(colour): place for place, colour in enumerate(after.reshape(-1, 3).tolist())}
        found = np.array([places[tuple(colour)] for colour in made.reshape(-1, 3).tolist()]).reshape(32, 32)
        return int((np.diff(found, axis=1) == 1).sum())

    assert runs(25.0) > 4 * max(runs(0.0), 1)


def test_a_second_pair_serves_what_the_first_lacks() -> None:
    flat = Image.new("RGB", (48, 48), (90, 90, 90)), Image.new("RGB", (48, 48), (165, 165, 165))
    one, two = edited([flat], PHOTO), edited([flat, (PHOTO, NEGATIVE)], PHOTO)
    assert psnr(two, NEGATIVE) > psnr(one, NEGATIVE) + 6


@pytest.mark.parametrize("size", [(1, 1), (3, 90), (90, 3), (300, 200)])
def test_any_size_is_worked_at_and_given_back(size: tuple[int, int]) -> None:
    editor = ImageAnalogies(long_side=64)
    assert edited([(PHOTO, NEGATIVE)], natural(300).resize(size), editor).size == size
    assert edited([(natural(300).resize(size), noise(*size))], PHOTO.crop((0, 0, 20, 20)), editor).size == (20, 20)


# On the command line


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    for name, picture in (("before", PHOTO), ("after", NEGATIVE), ("source", PHOTO)):
        save_picture(picture, tmp_path / f"{name}.png")
    return ["edit", "--pair", *(str(tmp_path / f"{name}.png") for name in ("before", "after", "source"))]


@pytest.mark.parametrize(("model", "truth"), [("identity", PHOTO), ("image_analogies", NEGATIVE)])
def test_edit_takes_a_baseline_as_its_model(model: str, truth: Image.Image, files: list[str], tmp_path: Path) -> None:
    assert main([*files, "--model", model, "-o", str(tmp_path / "out.png")]) == 0
    assert psnr(open_picture(tmp_path / "out.png"), truth) > 40


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--strength", "0.5"], "--strength means nothing to the baseline image_analogies; leave it out"),
        (["--steps", "3"], "--steps means nothing to the baseline image_analogies"),
        (["--relation", "x.safetensors"], "--relation means nothing"),
        (["--base", "x"], "--base means nothing"),
        (["--size", "own"], "image_analogies takes a size to work at, as 512x512"),
    ],
)
def test_flags_that_mean_nothing_to_a_baseline_are_refused(
    flags: list[str], told: str, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*files, "--model", "image_analogies", *flags, "-o", str(tmp_path / "out.png")]) == 2
    assert told in capsys.readouterr().err


def test_a_baseline_reads_no_relation_and_its_name_is_guessed(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "look.safetensors")
    assert main(["relation", *files[1:4], "--model", "identity", "-o", out]) == 2
    assert "a baseline makes edits, and nothing else" in capsys.readouterr().err
    assert main([*files, "--model", "image_analogy", "-o", str(tmp_path / "out.png")]) == 2
    assert "did you mean image_analogies?" in capsys.readouterr().err


def test_a_chosen_size_is_part_of_the_name_that_a_batch_goes_on_with() -> None:
    names = [EDITORS["image_analogies"].make(Choices(size=size)).name for size in (None, (128, 96))]
    assert names == ["image_analogies", "image_analogies size=128"]
