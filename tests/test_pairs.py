"""Pair JSONL: what is written is read back, one row at a time; a hostile or wrong row is refused by its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relation_adapter.data.pairs import PairRow, read_pairs, write_pairs
from relation_adapter.errors import QuadsError


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    full = PairRow(
        tmp_path / "hat" / "ä 1.png", tmp_path / "2.png", "Hat", "editing", "Add a hat", "bare", "hatted", "seen"
    )
    bare = PairRow(tmp_path / "3.png", tmp_path / "4.png")
    assert write_pairs(tmp_path / "pairs.jsonl", iter([full, bare])) == 2
    assert list(read_pairs(tmp_path / "pairs.jsonl")) == [full, bare]
    first, second = (json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines())
    assert first["before"] == "hat/ä 1.png" and second["task"] is None


def test_reading_does_not_wait_for_the_end_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"before": "1.png", "after": "2.png"}\n{"before"\n')
    rows = read_pairs(path)
    assert next(rows).after == tmp_path / "2.png"
    with pytest.raises(QuadsError, match=r"pairs.jsonl:2: not valid JSON"):
        next(rows)


HOSTILE = {
    "/etc/passwd": "absolute path",
    "C:\\secret.png": "absolute path",
    "\\\\server\\share.png": "absolute path",
    "../out.png": "outside of the file's folder",
    "a/../../out.png": "outside of the file's folder",
    "https://example.org/a.png": "an address",
    "file:a.png": "an address",
    "data:image/png;base64,AAAA": "an address",
    ".": "names no file",
    "a\0.png": "no text",
}


@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"before": "1.png", "after": value}) + "\n")
    with pytest.raises(QuadsError, match=rf"pairs.jsonl:1: after is .*{HOSTILE[value]}"):
        list(read_pairs(path))


def test_links_out_of_the_folder_are_refused_and_links_within_are_not(tmp_path: Path) -> None:
    inside = tmp_path / "set"
    (inside / "real").mkdir(parents=True)
    (tmp_path / "out.png").touch()
    (inside / "out").symlink_to(tmp_path)
    (inside / "within").symlink_to(inside / "real")
    (inside / "file.png").symlink_to(tmp_path / "out.png")
    (tmp_path / "door").symlink_to(inside)
    path = inside / "pairs.jsonl"
    path.write_text('{"before": "within/1.png", "after": "real/2.png"}\n')
    assert len(list(read_pairs(path))) == len(list(read_pairs(tmp_path / "door" / "pairs.jsonl"))) == 1
    for bad in ("file.png", "out/out.png", "out/not-there.png"):
        path.write_text(json.dumps({"before": bad, "after": "real/2.png"}))
        with pytest.raises(QuadsError, match=r"pairs.jsonl:1: before: .* is a link out of the file's folder"):
            list(read_pairs(path))


WRONG = {
    "": "holds no pairs",
    "[]": "is not an object",
    '{"before": "1.png"}': "after is missing",
    '{"before": "1.png", "after": null}': "after is missing",
    '{"before": "1.png", "after": 2}': "it must be text",
    '{"before": "1.png", "after": "2.png", "categroy": "style"}': "did you mean 'category'",
    '{"before": "1.png", "after": "2.png", "category": "styles"}': "did you mean 'style'",
    '{"before": "1.png", "after": "2.png", "split": "test"}': "use one of train, seen, unseen",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_rows_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(text)
    with pytest.raises(QuadsError, match=WRONG[text]):
        list(read_pairs(path))


def test_a_picture_outside_is_not_written_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "set" / "pairs.jsonl"
    good = PairRow(tmp_path / "set" / "1.png", tmp_path / "set" / "2.png")
    write_pairs(path, [good])
    with pytest.raises(QuadsError, match="outside of the file's folder"):
        write_pairs(path, [good, PairRow(tmp_path / "1.png", tmp_path / "set" / "2.png")])
    assert list(read_pairs(path)) == [good]
