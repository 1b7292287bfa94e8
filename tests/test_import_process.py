"""`data import` and `export` as processes, killed again and again: the end is that of an undisturbed run."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from forked import Command
from pair_sources import write_labels

TASKS = ("sepia", "negative", "blur", "darken")


def start(*words: object) -> Command:
    return Command("data", *words)


def killed_until_done(folder: Path, *words: object) -> int:
    """How many kills it took until a run ended by itself; each lets a few files more appear."""
    kills = 0
    while kills < 4:
        process, before = start(*words), len(list(folder.rglob("*.*")))
        while process.poll() is None and len(list(folder.rglob("*.*"))) < before + 6:
            time.sleep(0.005)
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
    assert start(*words).wait() == 0
    return kills


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in ("import.json", "export.json"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_kills_lose_nothing(tmp_path: Path) -> None:
    write_labels(tmp_path / "raw", 8, TASKS)
    words = ("import", tmp_path / "raw", "--workers", 2, "-o")
    assert start(*words, tmp_path / "calm").wait() == 0
    assert killed_until_done(tmp_path / "torn", *words, tmp_path / "torn") >= 2
    assert contents(tmp_path / "torn") == contents(tmp_path / "calm")
    words = ("export", tmp_path / "calm" / "pairs.jsonl", "--form", "labels", "-o")
    assert start(*words, tmp_path / "out").wait() == 0
    assert killed_until_done(tmp_path / "torn-out", *words, tmp_path / "torn-out") >= 2
    assert contents(tmp_path / "torn-out") == contents(tmp_path / "out")
