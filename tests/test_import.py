"""`data import`: every form becomes the same rows; what cannot be used is named and the rest goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from pair_sources import TASKS, glued, label, pair, png, write_labels, write_shard
from PIL import Image

from relation_adapter.cli.app import main
from relation_adapter.data.pairs import PairRow, read_pairs
from relation_adapter.images import open_picture


def imported(*words: object, code: int = 0) -> list[PairRow]:
    assert main(["data", "import", *map(str, words)]) == code
    out = Path(str(words[words.index("-o") + 1]))
    return list(read_pairs(out / "pairs.jsonl"))


def same(path: Path, image: Image.Image) -> bool:
    return np.array_equal(np.asarray(open_picture(path)), np.asarray(image))


def check_pixels(rows: list[PairRow]) -> None:
    """Every row's pictures are the halves that its instruction's number names."""
    for row in rows:
        number = int(str(row.instruction).removeprefix("do "))
        before, after = pair(str(row.task), number)
        assert same(row.before, before) and same(row.after, after)


def test_the_published_layout(tmp_path: Path) -> None:
    write_labels(tmp_path / "raw")
    rows = imported(tmp_path / "raw", "-o", tmp_path / "out", "--category", "editing")
    assert [(row.task, row.instruction) for row in rows] == [(t, f"do {n}") for t in sorted(TASKS) for n in range(3)]
    assert {row.category for row in rows} == {"editing"}
    assert rows[0].before_description == "left 0" and rows[0].after_description == "right 0"
    check_pixels(rows)


@pytest.mark.parametrize("text", ["{0},\n{1},\n", "{0}\n{1}", "[{0}, {1}]", "\ufeff[\n{0},\n{1}\n]\n"])
def test_labels_with_and_without_brackets(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "raw" / "sepia" / "Group1"
    folder.mkdir(parents=True)
    for number in range(2):
        glued("sepia", number).save(folder / f"{number:06d}.jpg", quality=100)
    labels = [json.dumps(label(n, "" if n else ".jpg"), indent=2) for n in range(2)]  # a name without suffix too
    (folder / "labels.json").write_text(text.replace("{0}", labels[0]).replace("{1}", labels[1]))
    rows = imported(tmp_path / "raw", "-o", tmp_path / "out")
    assert [row.instruction for row in rows] == ["do 0", "do 1"] and rows[0].task == "sepia"


def test_bad_labels_are_named_and_the_others_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_labels(tmp_path / "raw", tasks=("sepia",))
    folder = tmp_path / "raw" / "sepia" / "Group1"
    (tmp_path / "secret.png").write_bytes(png(glued("sepia", 9)))
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "broken.png").write_bytes(png(glued("sepia", 8))[:500])
    (folder / "unnamed.png").write_bytes(png(glued("sepia", 7)))
    bad = [label(0) | {"img_name": name} for name in ("../../../secret.png", "/etc/passwd", "https://a.b/c.png")]
    bad += [label(0) | {"img_name": name} for name in ("link.png", "broken.png", "none.png")]
    bad += [{"img_name": 3}, {"edit_instruction": "x"}]
    lines = [json.dumps(one) for one in [*bad, label(0), label(1)]]
    (folder / "labels.json").write_text(",\n".join([*lines[:2], '{"img_name": "cut', *lines[2:]]))
    rows = imported(tmp_path / "raw", "-o", tmp_path / "out", code=1)
    assert [row.instruction for row in rows] == ["do 0", "do 1", "do 2"]
    check_pixels(rows)
    told = capsys.readouterr().err
    for number, what in {
        1: "outside of the file's folder",
        2: "an absolute path",
        3: "not valid JSON",
        4: "an address",
        5: "is a link out of the file's folder",
        6: "damaged or cut short",
        7: "no such file",
        8: "it must be text",
        9: "img_name is missing",
    }.items():
        assert any(f"labels.json:{number}: " in line and what in line for line in told.splitlines()), what
    assert "unnamed.png: labels.json does not name it" in told and "10 left out" in told


def test_the_run_ready_form_gives_every_pair_once(tmp_path: Path) -> None:
    folder = tmp_path / "raw" / "sepia"
    folder.mkdir(parents=True)
    for number in range(3):
        for side, image in zip("12", pair("sepia", number), strict=True):
            image.save(folder / f"{number}-{side}.png")

    def quad(shown: int, asked: int) -> dict[str, str]:
        keys = {"cond1": f"{shown}-1", "cond2": f"{shown}-2", "source": f"{asked}-1", "target": f"{asked}-2"}
        return {key: f"sepia/{name}.png" for key, name in keys.items()} | {"text": f"do {asked}"}

    for name, text in (
        ("array.json", json.dumps([quad(2, 0), quad(0, 1), quad(1, 0)])),
        ("lines.jsonl", "\n".join(map(json.dumps, [quad(2, 0), quad(0, 1), quad(1, 0)]))),
    ):
        (tmp_path / "raw" / name).write_text(text)
        rows = imported(tmp_path / "raw" / name, "-o", tmp_path / name.partition(".")[0])
        assert [row.instruction for row in rows] == ["do 0", "do 1", None] and {row.task for row in rows} == {"sepia"}
        check_pixels(rows[:2])
        assert same(rows[2].before, pair("sepia", 2)[0]) and same(rows[2].after, pair("sepia", 2)[1])


def test_folders_of_both_kinds_in_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("hat/before", "hat/After", "smile"):
        (tmp_path / name).mkdir(parents=True)
    for number, (before, after) in enumerate(pair("sepia", number) for number in range(11)):
        before.save(tmp_path / "hat" / "before" / f"{number}.png")
        after.save(tmp_path / "hat" / "After" / f"{number}.webp", lossless=True)
    before.save(tmp_path / "smile" / "cat_before.JPG")
    after.save(tmp_path / "smile" / "cat-After.png")
    before.save(tmp_path / "smile" / "dog_before.png")
    rows = imported(tmp_path, "-o", tmp_path, code=1)
    assert [row.before.name for row in rows[:11]] == [f"{n}.png" for n in range(11)]  # 2 before 10
    assert [row.task for row in rows] == ["hat"] * 11 + ["smile"] and rows[-1].after.name == "cat-After.png"
    assert not (tmp_path / "pictures").exists()  # nothing had to be copied
    assert "dog_before.png: has no after beside it" in capsys.readouterr().err
    elsewhere = imported(tmp_path, "-o", tmp_path.parent / f"{tmp_path.name}-out", code=1)
    assert [one.before.read_bytes() for one in elsewhere] == [one.before.read_bytes() for one in rows]


def test_shards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members: dict[str, bytes] = {}
    for number in range(2):
        before, after = pair("sepia", number)
        members[f"a/{number}.before.png"], members[f"a/{number}.after.png"] = png(before), png(after)
        members[f"a/{number}.json"] = json.dumps(label(number) | {"task": "sepia"}).encode()
    members |= {"g.png": png(glued("negative", 5)), "g.json": b'{"task": "negative", "instruction": "do 5"}'}
    members |= {"h.png": png(glued("blur", 6)), "h.txt": b"do 6\n", "../x.png": b"x", "lone.before.png": b"x"}
    members |= {"bad.png": b"no picture"}
    (tmp_path / "raw").mkdir()
    write_shard(tmp_path / "raw" / "s-10.tar", members)
    write_shard(tmp_path / "raw" / "s-2.tar", {"g.png": png(glued("negative", 1)), "g.txt": b"do 1"})
    rows = imported(tmp_path / "raw", "-o", tmp_path / "out", code=1)
    assert [row.instruction for row in rows] == ["do 1", "do 0", "do 1", "do 5", "do 6"]
    check_pixels([row for row in rows if row.task])
    told = capsys.readouterr().err
    assert all(what in told for what in ("outside of", "lone: holds before.png", "bad: not a picture"))
    whole = (tmp_path / "raw" / "s-10.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2])
    assert imported(tmp_path / "cut.tar", "-o", tmp_path / "cut", code=1)
    assert "cut.tar: damaged or cut short" in capsys.readouterr().err


def test_the_same_command_again_goes_on_and_another_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_labels(tmp_path / "raw")
    first = imported(tmp_path / "raw", "-o", tmp_path / "out")
    lines = (tmp_path / "out" / "pairs.jsonl").read_bytes()
    first[0].after.unlink()
    (tmp_path / "out" / "pairs.jsonl").unlink()
    times = {row.before: row.before.stat().st_mtime_ns for row in first[1:]}
    capsys.readouterr()
    assert imported(tmp_path / "raw", "-o", tmp_path / "out") == first
    assert (tmp_path / "out" / "pairs.jsonl").read_bytes() == lines
    assert "2 pictures written, 16 there already" in capsys.readouterr().err
    assert times == {path: path.stat().st_mtime_ns for path in times}
    check_pixels(first)
    changed = tmp_path / "raw" / "sepia" / "Group1" / "000000.png"
    glued("negative", 0).save(changed)
    os.utime(changed)
    row = next(one for one in imported(tmp_path / "raw", "-o", tmp_path / "out") if one.task == "sepia")
    assert same(row.before, pair("negative", 0)[0])
    assert main(["data", "import", str(tmp_path / "raw"), "-o", str(tmp_path / "out"), "--task", "x"]) == 2
    assert "holds another import" in capsys.readouterr().err


def test_results_never_become_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_labels(tmp_path / "raw", tasks=("sepia",))
    for out in (tmp_path / "raw" / "out", tmp_path / "raw"):
        first = imported(tmp_path / "raw", "-o", out)
        assert imported(tmp_path / "raw", "-o", out) == first and len(first) == 3
    assert main(["data", "import", str(tmp_path / "raw"), "--form", "folders", "-o", str(tmp_path / "new")]) == 2
    assert "nothing that could be imported" in capsys.readouterr().err


@pytest.mark.skipif(getattr(os, "geteuid", int)() == 0, reason="root may read all")
def test_a_folder_that_may_not_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw" / "before").mkdir(parents=True, mode=0o000)
    assert main(["data", "import", str(tmp_path / "raw"), "--form", "folders", "-o", str(tmp_path / "out")]) == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["none"], "no such file or folder"),
        (["empty"], "holds no labels.json"),
        (["empty", "--form", "labels"], "nothing that could be imported"),
        (["text.txt"], "no form of pairs"),
        (["empty", "--form", "run-ready"], "is read from a file"),
        (["empty", "--columns", "before=a"], "--columns goes with"),
    ],
)
def test_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], what: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").touch()
    assert main(["data", "import", str(tmp_path / words[0]), *words[1:], "-o", str(tmp_path / "out")]) == 2
    assert what in capsys.readouterr().err
