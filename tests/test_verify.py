"""`data verify`: each thing that can be wrong with a set is found, by its line, and a sound set has no problem."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pair_sources import pair, png
from PIL import Image, ImageFilter

from relation_adapter.cli.app import main
from relation_adapter.data import verify_between
from relation_adapter.data.importing import halves
from relation_adapter.data.looks import cut_elsewhere, look, near
from relation_adapter.data.pairs import PairRow, write_pairs
from relation_adapter.data.schema import Quad, write_quads
from relation_adapter.data.verify_journal import Journal, Seen

TASK = "sepia"


def row(folder: Path, number: int, task: str = TASK) -> PairRow:
    paths = [folder / f"{task}-{number}-{side}.png" for side in "12"]
    for path, image in zip(paths, pair(task, number, 64), strict=True):
        image.save(path)
    return PairRow(paths[0], paths[1], task, "style", f"do {number}")


@pytest.fixture
def rows(tmp_path: Path) -> list[PairRow]:
    return [row(tmp_path, number, task) for task in (TASK, "negative") for number in range(4)]


def verified(
    folder: Path, rows: Iterable[PairRow], capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, list[str], str]:
    write_pairs(folder / "pairs.jsonl", rows)
    code = main(["data", "verify", str(folder / "pairs.jsonl"), *words])
    told = capsys.readouterr()
    return code, told.out.replace(str(folder / "pairs.jsonl"), "pairs.jsonl").splitlines(), told.err


def test_a_sound_set_has_no_problem_and_is_counted(
    tmp_path: Path, rows: list[PairRow], capsys: pytest.CaptureFixture[str]
) -> None:
    code, problems, told = verified(tmp_path, rows, capsys)
    assert (code, problems) == (0, [])
    assert "8 pairs, 0 of them looked at before; 8 have an instruction" in told
    assert "2 tasks (published 218) of 4 to 4 pairs" in told and "24 quads (published 251,580)" in told
    assert "style 2 (published 84)" in told and "no problems" in told
    code, problems, _ = verified(tmp_path, rows, capsys, "--published")
    assert code == 1 and [line.partition(": ")[2] for line in problems] == [
        "2 tasks, not the published 218",
        "8 pairs, not the published 33,274 (or half, if those are pictures)",
    ]
    assert verified(tmp_path, rows, capsys, "--counts")[1] == ["negative\tstyle\t4", "sepia\tstyle\t4"]


def test_what_is_wrong_with_one_row(tmp_path: Path, rows: list[PairRow], capsys: pytest.CaptureFixture[str]) -> None:
    rows[0].before.unlink()
    rows[1].after.write_bytes(rows[1].after.read_bytes()[:300])
    rows[2] = replace(rows[2], after=rows[2].before)
    Image.open(rows[3].after).resize((64, 48)).save(rows[3].after)
    for path in (rows[4].before, rows[4].after):
        Image.open(path).resize((8, 8)).save(path)
    code, problems, told = verified(tmp_path, rows, capsys)
    assert code == 1 and "6 problems" in told
    for line, what in (
        (1, "before: .*no such file"),
        (2, "after: .*damaged or cut short"),
        (3, "after is the same picture as before"),
        (4, "before and after differ in shape: 64x64 and 64x48"),
        (5, "before: 8x8 pixels; too small"),
        (5, "after: 8x8 pixels; too small"),
    ):
        assert any(re.match(rf"pairs.jsonl:{line}: {what}", one) for one in problems), what


def test_rows_that_cannot_be_read_are_told_and_the_others_looked_at(
    tmp_path: Path, rows: list[PairRow], capsys: pytest.CaptureFixture[str]
) -> None:
    write_pairs(tmp_path / "pairs.jsonl", rows)
    lines = (tmp_path / "pairs.jsonl").read_text().splitlines()
    lines[1], lines[3] = '{"before": ', json.dumps({"before": "../a.png", "after": "b.png"})
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    assert main(["data", "verify", str(tmp_path / "pairs.jsonl")]) == 1
    told = capsys.readouterr()
    assert "pairs.jsonl:2: not valid JSON" in told.out and "pairs.jsonl:4: before is '../a.png', outside" in told.out
    assert "6 pairs" in told.err


def test_doubles(tmp_path: Path, rows: list[PairRow], capsys: pytest.CaptureFixture[str]) -> None:
    copy, pressed = tmp_path / "copy.png", [tmp_path / f"near-{side}.jpg" for side in "12"]
    copy.write_bytes(rows[0].after.read_bytes())
    for path, source in zip(pressed, (rows[1].before, rows[1].after), strict=True):
        Image.open(source).save(path, quality=85)
    other_task = replace(rows[1], before=pressed[0], after=pressed[1], task="other")
    doubles = [replace(rows[0], after=copy), replace(rows[1], before=pressed[0], after=pressed[1]), other_task]
    code, problems, _ = verified(tmp_path, [*rows, *doubles], capsys)
    assert code == 1 and sorted(problems) == [
        "pairs.jsonl:10: nearly the same pictures as in line 2; keep one",
        "pairs.jsonl:11: the same pictures as in line 10; remove one",
        "pairs.jsonl:9: the same pictures as in line 1; remove one",
    ]
    shared = replace(rows[0], after=rows[1].after)  # one picture alone may come again
    assert verified(tmp_path, [*rows, shared], capsys)[0] == 0


def test_held_out_pictures_in_training(tmp_path: Path, rows: list[PairRow], capsys: pytest.CaptureFixture[str]) -> None:
    blurred = tmp_path / "near.png"
    Image.open(rows[2].before).filter(ImageFilter.GaussianBlur(0.4)).save(blurred)
    split = [replace(one, split="seen" if number == 1 else "train") for number, one in enumerate(rows)]
    assert verified(tmp_path, split, capsys)[0] == 0
    split[4] = replace(split[4], before=rows[1].before)
    split[5] = replace(split[5], after=blurred, split="unseen")
    code, problems, _ = verified(tmp_path, split, capsys)
    assert code == 1 and [line.partition(";")[0] for line in problems] == [
        "pairs.jsonl:2: before is held out, but the same picture as before in line 5, which is to train on",
        "pairs.jsonl:6: after is held out, but nearly the same picture as before in line 3, which is to train on",
    ]


def test_quads_are_verified_too(tmp_path: Path, rows: list[PairRow], capsys: pytest.CaptureFixture[str]) -> None:
    def quad(shown: PairRow, asked: PairRow, split: str) -> Quad:
        sides = (shown.before, shown.after, asked.before, asked.after)
        return Quad(*sides, None, TASK, "style", split)  # type: ignore[arg-type]

    path = tmp_path / "quads.jsonl"
    train = [quad(rows[0], rows[1], "train"), quad(rows[1], rows[0], "train")]
    write_quads(path, [*train, quad(rows[2], rows[3], "seen")])
    assert main(["data", "verify", str(path)]) == 0
    write_quads(path, [*train, train[0], quad(rows[0], rows[3], "seen")])
    assert main(["data", "verify", str(path)]) == 1
    told = capsys.readouterr().out
    assert "quads.jsonl:3: the same pictures as in line 1" in told
    assert "quads.jsonl:4: before is held out, but the same picture as before in line 1" in told


def test_glued_pictures_split_in_the_wrong_place(tmp_path: Path) -> None:
    """No right cut is suspected; of wrong ones many (526 of 872 at 128 px), enough to see a bad set."""
    found = {"right": 0, "wrong": 0}
    for number in range(4):
        for task in (TASK, "negative", "photo frame", "blur", "add haze"):
            before, after = pair(task, number, 96)
            glued = np.concatenate([np.asarray(before), np.asarray(after)], axis=1)
            shifted = np.pad(glued, ((0, 0), (0, 24), (0, 0)), mode="edge")  # its middle lies 12 pixels too far
            for name, whole in (("right", glued), ("wrong", shifted)):
                paths = [tmp_path / f"{name}-{task}-{number}-{side}.png" for side in "12"]
                for path, half in zip(paths, halves(Image.fromarray(whole)), strict=True):
                    half.save(path)
                found[name] += cut_elsewhere(look(paths[0]), look(paths[1]))
    assert found["right"] == 0 and found["wrong"] >= 6, found


def test_the_same_command_again_looks_at_what_changed_alone(
    tmp_path: Path, rows: list[PairRow], capsys: pytest.CaptureFixture[str]
) -> None:
    """Once a row had changed, all after it were opened again: after the first, the whole set."""
    rows[1].after.write_bytes(b"no picture")
    first = verified(tmp_path, rows, capsys)
    again = verified(tmp_path, rows, capsys)
    assert again[:2] == first[:2] and "8 of them looked at before" in again[2]
    rows[3].before.write_bytes(png(pair(TASK, 77, 64)[0]))
    os.utime(rows[3].before, ns=(1, 1))
    assert "7 of them looked at before" in verified(tmp_path, rows, capsys)[2]
    assert "8 of them looked at before" in verified(tmp_path, rows, capsys)[2]
    assert "7 pairs, 7 of them looked at before" in verified(tmp_path, rows[1:], capsys)[2]
    assert "8 pairs, 8 of them looked at before" in verified(tmp_path, rows[::-1], capsys)[2]
    assert "0 of them looked at before" in verified(tmp_path, rows, capsys, "--fresh")[2]


def test_what_was_seen_is_no_more_than_a_help(
    tmp_path: Path, rows: list[PairRow], capsys: pytest.CaptureFixture[str]
) -> None:
    """A journal that is damaged, of another form, or held by another process takes nothing from the answer."""
    journal = tmp_path / ".pairs.jsonl.verified"
    journal.write_bytes(b'{"key": "of an older form"}\n')
    for known in (0, 8):
        code, problems, told = verified(tmp_path, rows, capsys)
        assert (code, problems) == (0, []) and f"{known} of them looked at before" in told
    other = Journal(journal)
    other.add(Seen("held", (), ()))
    rows[0].before.write_bytes(png(pair(TASK, 77, 64)[0]))
    assert verified(tmp_path, rows, capsys)[:2] == (0, [])
    other.close()
    journal.write_bytes(journal.read_bytes()[:4096] + b"x" * 4096)
    assert verified(tmp_path, rows, capsys)[0] == 0


def test_a_kill_loses_little_of_what_was_seen(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "seen")
    for number in range(250):
        journal.add(Seen(f"{number}", (), ((0, 2**64 - 1, number),)))
    left = shutil.copy(tmp_path / "seen", tmp_path / "left")  # as a kill leaves it
    again = Journal(Path(left))
    assert again.known("199") == Seen("199", (), ((0, 2**64 - 1, 199),), known=True) and again.known("249") is None


def test_rows_of_one_line_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An array in one line: pictures with near hashes were compared with themselves, and called alike."""
    wave = (
        (np.arange(64) // 8 % 2 * 60)[None, :, None] + (np.arange(64) // 8 * 5)[:, None, None] + np.zeros((64, 64, 3))
    )
    rows = []
    for number, light in enumerate((0, 40)):
        for side, tones in {"before": wave + light, "after": 255 - wave - light}.items():
            Image.fromarray(tones.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{number}-{side}.png")
        rows.append({side: f"{number}-{side}.png" for side in ("before", "after")} | {"task": "t"})
    (tmp_path / "array.json").write_text(json.dumps(rows))
    assert main(["data", "verify", str(tmp_path / "array.json")]) == 0
    rows[1] = rows[0]
    (tmp_path / "array.json").write_text(json.dumps(rows))
    assert main(["data", "verify", str(tmp_path / "array.json")]) == 1
    assert "array.json:1: the same pictures as in line 1" in capsys.readouterr().out


def test_what_is_not_compared_is_told(
    tmp_path: Path, rows: list[PairRow], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond some number of near hashes the rest was left, without a word: leaks among them stayed unseen."""
    monkeypatch.setattr(verify_between, "CANDIDATES", 1)
    open_picture = Image.open(rows[0].before)
    for number in range(3):
        picture = tmp_path / f"near-{number}.png"
        Image.fromarray(np.asarray(open_picture) + np.uint8(number == 1)).save(picture)
        rows.append(replace(rows[0], before=picture, split="seen" if number else "train"))
    code, problems, _ = verified(tmp_path, rows, capsys)
    assert code == 1 and sum("more pictures have near hashes than are opened" in line for line in problems) == 2


def test_near_hashes_are_found_as_by_comparing_all() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 2**64, 300, dtype=np.uint64)
    second = first[rng.permutation(300)].copy()
    for number in range(300):
        for bit in rng.integers(0, 64, number % 6):
            second[number] ^= np.uint64(1) << np.uint64(bit)
    apart = np.bitwise_count(first[:, None] ^ second[None, :])
    found = list(near(first, second))
    assert len(found) == len(set(found)) and set(found) == {(int(a), int(b)) for a, b in np.argwhere(apart <= 3)}


def test_what_is_no_file_of_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "verify", str(tmp_path / "none.jsonl")]) == 2
    (tmp_path / "empty.jsonl").touch()
    assert main(["data", "verify", str(tmp_path / "empty.jsonl")]) == 2
    assert "holds no rows" in capsys.readouterr().err
