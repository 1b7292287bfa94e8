"""`data build` on the command line, and how little a long file of pairs takes."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from relation_adapter.cli import main
from relation_adapter.data.build import BuildOptions, build
from relation_adapter.data.pairs import read_pairs
from relation_adapter.data.schema import read_quads, write_quads


def write_pairs_file(folder: Path, tasks: int = 12, pairs: int = 20) -> Path:
    path = folder / "pairs.jsonl"
    rows = [
        {"before": f"t{task}/{n}-1.png", "after": f"t{task}/{n}-2.png", "task": f"t{task}", "instruction": f"do {n}"}
        for task in range(tasks)
        for n in range(pairs)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_quads_are_written_and_their_counts_explained(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pairs, out = write_pairs_file(tmp_path), tmp_path / "quads.jsonl"
    assert main(["data", "build", str(pairs), "-o", str(out), "--counts", "--cap", "100"]) == 0
    told = capfd.readouterr()
    quads = read_quads(out)
    assert told.out.strip() == str(out)
    assert len(quads) == 11 * (100 + 30) + 30
    assert "12 tasks: 11 seen, 1 unseen" in told.err
    assert "1,100 quads to train on" in told.err and "which 11 tasks reach" in told.err
    assert "330 quads held out of seen tasks, 30 of unseen tasks" in told.err
    assert "t3: seen, 20 pairs, 100 quads to train on, 30 held out" in told.err
    assert {quad.split for quad in quads} == {"train", "seen", "unseen"}


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    pairs = write_pairs_file(tmp_path)
    for name, seed in (("one", "3"), ("two", "3"), ("three", "4")):
        assert main(["data", "build", str(pairs), "-o", str(tmp_path / name), "--seed", seed]) == 0
    one, two, three = ((tmp_path / name).read_bytes() for name in ("one", "two", "three"))
    assert one == two != three


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--unseen", "t1,t99"], "no task is called 't99'"),
        (["--unseen", "t1,,t2"], "task names with commas between them"),
        (["--unseen", "12"], "unseen=12 of 12 tasks; leave some to train on"),
        (["--unseen", ",".join(f"t{n}" for n in range(12))], "all of 12 tasks; leave some to train on"),
        (["-o", "pairs.jsonl"], "exists; --force overwrites it"),
        (["-o", "pairs.jsonl", "--force"], "is the file of pairs; choose another"),
        (["-o", "elsewhere/quads.jsonl"], "outside of the file's folder"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    write_pairs_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "pairs.jsonl").read_bytes()
    try:
        code = main(["data", "build", "pairs.jsonl", "-o", "quads.jsonl", *more])
    except SystemExit as stop:
        code = stop.code  # type: ignore[assignment]
    told = capfd.readouterr()
    assert code == 2 and words in told.err and len(told.err.strip().splitlines()) == 1
    assert not (tmp_path / "quads.jsonl").exists() and (tmp_path / "pairs.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("path", "words"),
    [("/etc/a.png", "an absolute path"), ("../a.png", "outside"), ("https://a.b/c.png", "address")],
)
def test_hostile_rows_are_refused_with_their_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], path: str, words: str
) -> None:
    pairs = write_pairs_file(tmp_path)
    with pairs.open("a") as file:
        file.write(json.dumps({"before": path, "after": "t0/0-2.png", "task": "t0"}) + "\n")
    assert main(["data", "build", str(pairs), "-o", str(tmp_path / "quads.jsonl")]) == 2
    told = capfd.readouterr().err
    assert "pairs.jsonl:241: before" in told and words in told
    quads = tmp_path / "hostile.jsonl"
    quads.write_text(json.dumps({"before": path, "after": "b.png", "source": "c.png", "target": "d.png"}) + "\n")
    assert main(["data", "cache", str(quads), "-o", str(tmp_path / "cache")]) == 2
    assert "hostile.jsonl:1: before" in capfd.readouterr().err
    assert not list((tmp_path / "cache").glob("*.safetensors"))


def test_a_picture_that_a_link_leads_out_to_is_not_cached(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    (folder / "a.png").symlink_to(tmp_path / "secret.png")
    row = dict.fromkeys(("before", "after", "source", "target"), "a.png")
    (folder / "quads.jsonl").write_text(json.dumps(row) + "\n")
    assert main(["data", "cache", str(folder / "quads.jsonl"), "-o", str(tmp_path / "cache")]) == 2
    assert "quads.jsonl:1: " in (told := capfd.readouterr().err) and "a link out of the file's folder" in told


def test_ten_times_the_pairs_take_the_same_memory(tmp_path: Path) -> None:
    peaks = []
    for tasks in (4, 40):
        (folder := tmp_path / str(tasks)).mkdir()
        pairs = write_pairs_file(folder, tasks, 50)
        tracemalloc.start()
        plans = build(read_pairs(pairs), folder, BuildOptions(cap=100, unseen=1))
        assert write_quads(folder / "quads.jsonl", (quad for plan in plans for quad in plan.quads())) > 50 * tasks
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200_000
