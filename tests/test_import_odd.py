"""`data import` of what real folders and archives hold: doubles, odd names, pictures replaced by older ones."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from pair_sources import glued, pair, png, write_shard
from PIL import Image

from relation_adapter.cli.app import main
from relation_adapter.data.pairs import PairRow, read_pairs


def imported(*words: object, code: int = 0) -> list[PairRow]:
    assert main(["data", "import", *map(str, words)]) == code
    out = Path(str(words[words.index("-o") + 1]))
    return list(read_pairs(out / "pairs.jsonl"))


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def shown(path: Path) -> list[object]:
    with Image.open(path) as image:
        return list(image.convert("RGB").resize((4, 4)).tobytes())


def test_two_pictures_for_one_side_are_told_not_chosen_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`cat_before.jpg` beside `cat_before.png`: one was taken, without a word."""
    before, after = pair("sepia", 0)
    for name, image in {"cat_before.png": before, "cat-before.jpg": after, "cat_after.png": after}.items():
        save(image, tmp_path / "raw" / name)
    for side, image in {"before": before, "after": after}.items():
        save(image, tmp_path / "raw" / f"dog_{side}.png")
    rows = imported(tmp_path / "raw", "-o", tmp_path / "out", code=1)
    assert [row.before.name for row in rows] == ["dog-before.png"]
    assert "cat_before.png: so is cat-before.jpg the before of 'cat'; keep one" in capsys.readouterr().err


def test_twins_in_folders_of_their_own_are_read_too(tmp_path: Path) -> None:
    """`before/hat/1.png` was passed over, without a word."""
    (first, one), (second, two) = pair("sepia", 0), pair("negative", 1)
    for name, image in {"before/hat/1": first, "after/hat/1": one, "hat/1_before": second, "hat/1_after": two}.items():
        save(image, tmp_path / "raw" / f"{name}.png")
    rows = imported(tmp_path / "raw", "-o", tmp_path / "out")
    assert [row.task for row in rows] == ["hat", "hat"]
    assert [shown(row.before) for row in rows] == [
        shown(tmp_path / "raw" / f"{n}.png") for n in ("before/hat/1", "hat/1_before")
    ]
    assert [shown(row.after) for row in rows] == [
        shown(tmp_path / "raw" / f"{n}.png") for n in ("after/hat/1", "hat/1_after")
    ]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are text there")
def test_names_that_are_no_text_are_told_and_the_others_imported(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A name in Latin-1 ended the import in a traceback."""
    raw = tmp_path / "raw"
    for side, image in zip(("before", "after"), pair("sepia", 0), strict=True):
        for folder, name in (("hat", b"caf\xe9_"), ("hat", b"dog_"), ("t\udce9", b"cat_")):
            (raw / folder).mkdir(parents=True, exist_ok=True)
            image.save(raw / folder / os.fsdecode(name + f"{side}.png".encode()))
    rows = imported(raw, "-o", tmp_path / "out", code=1)  # copied: under a name that is text
    assert [row.task for row in rows] == ["hat", "hat"] and len({row.before for row in rows}) == 2
    assert "task is 't\\udce9', which holds characters that are no text" in capfd.readouterr().err
    rows = imported(raw, "-o", raw, code=1)  # where they lie: cannot be written into a text file
    assert [row.before.name for row in rows] == ["dog_before.png"]
    assert "before is 'hat/caf\\udce9_before.png', which holds characters that are no text" in capfd.readouterr().err


def test_a_name_may_be_as_long_as_the_disk_takes(tmp_path: Path) -> None:
    """`-before.png` made it too long, and the import stopped with "free some space"."""
    folder, names = tmp_path / "raw" / "hat" / "Group1", ["n" * 250 + suffix for suffix in ("1.png", "2.png")]
    folder.mkdir(parents=True)
    for name in names:
        (folder / name[-255:]).write_bytes(png(glued("sepia", 0)))
    (folder / "labels.json").write_text(json.dumps([{"img_name": name} for name in names]))
    rows = imported(tmp_path / "raw", "-o", tmp_path / "out")
    assert len({row.before for row in rows}) == 2 and all(row.before.exists() for row in rows)


def test_a_label_may_name_its_picture_with_a_dot(tmp_path: Path) -> None:
    save(glued("sepia", 0), tmp_path / "raw" / "hat" / "1.png")
    (tmp_path / "raw" / "hat" / "labels.json").write_text(json.dumps([{"img_name": "./1.png"}]))
    assert len(imported(tmp_path / "raw", "-o", tmp_path / "out")) == 1


def test_an_archive_packed_on_a_mac(tmp_path: Path) -> None:
    """It holds a hidden `._` file beside every file, which tore all samples apart."""
    members: dict[str, bytes] = {}
    for number in range(2):
        before, after = pair("sepia", number)
        for name, data in {"before.png": png(before), "after.png": png(after), "txt": b"do it"}.items():
            members |= {f"./._{number}.{name}": b"no picture", f"./{number}.{name}": data}
    write_shard(tmp_path / "mac.tar", members)
    rows = imported(tmp_path / "mac.tar", "-o", tmp_path / "out")
    assert [row.instruction for row in rows] == ["do it"] * 2
    assert [row.before.name.partition("-")[0] for row in rows] == ["0", "1"]


def test_what_is_given_stands_for_a_word_of_the_source_that_is_not_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--category style` is "of all pairs, whatever the source says", and yet they were refused for what it says."""
    before, after = map(png, pair("sepia", 0))
    told = json.dumps({"task": "sepia", "category": "Image Style Transfer", "split": "test"}).encode()
    write_shard(tmp_path / "s.tar", {"1.before.png": before, "1.after.png": after, "1.json": told})
    words = ("data", "import", str(tmp_path / "s.tar"), "-o", str(tmp_path / "no"))
    assert main([*words, "--split", "seen"]) == 2
    assert "category is 'Image Style Transfer'; use one of low_level" in capsys.readouterr().err
    (row,) = imported(tmp_path / "s.tar", "-o", tmp_path / "out", "--category", "style", "--split", "seen")
    assert (row.task, row.category, row.split) == ("sepia", "style", "seen")


def test_a_picture_that_an_older_one_replaced_is_imported_again(tmp_path: Path) -> None:
    """Unpacking a corrected archive leaves its older times: the import kept the first pictures beside new labels."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    save(glued("sepia", 0), raw / "hat" / "1.png")
    (raw / "hat" / "labels.json").write_text(json.dumps([{"img_name": "1.png"}]))
    first = [shown(row.before) for row in imported(raw, "-o", out)]
    save(glued("negative", 5), raw / "hat" / "1.png")
    os.utime(raw / "hat" / "1.png", (1_600_000_000, 1_600_000_000))
    second = [shown(row.before) for row in imported(raw, "-o", out)]
    assert first != second == [shown(row.before) for row in imported(raw, "-o", tmp_path / "fresh")]


def test_a_shard_that_changed_never_meets_pictures_of_the_old_one(tmp_path: Path) -> None:
    """Rows of a data set that was made anew, one row fewer, got the pictures of the row before."""
    members = [
        {f"{n}.before.png": png(pair("sepia", n)[0]), f"{n}.after.png": png(pair("sepia", n)[1])} for n in (0, 1)
    ]
    write_shard(tmp_path / "s.tar", members[0])
    imported(tmp_path / "s.tar", "-o", tmp_path / "out")
    write_shard(tmp_path / "s.tar", {f"0.{name[2:]}": data for name, data in members[1].items()})
    os.utime(tmp_path / "s.tar", (1_600_000_000, 1_600_000_000))
    (row,) = imported(tmp_path / "s.tar", "-o", tmp_path / "out")
    assert row.before.read_bytes() == members[1]["1.before.png"]
