"""Batches in real processes: killed for real, two at once, and a disk that refuses."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from batches import COUNT, NOISE, Counting, grow, make_quads, pictures, without_seconds

from relation_adapter.editor import FunctionEditor
from relation_adapter.errors import PictureError, UsageError
from relation_adapter.evaluate.generate import Summary, generate, item_seed
from relation_adapter.evaluate.rows import read_rows


@pytest.fixture
def quads(tmp_path: Path) -> Path:
    return make_quads(tmp_path / "set")


SCRIPT = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from batches import add_noise
from relation_adapter.editor import FunctionEditor
from relation_adapter.evaluate.generate import generate

def edit(request):
    time.sleep(float(sys.argv[3]))
    with open(sys.argv[2] + ".log", "a") as log:
        log.write(f"{request.seed}\\n")
    return add_noise(request)

generate(sys.argv[1], FunctionEditor(edit, "noise"), sys.argv[2])
"""


def start(quads: Path, out: Path, seconds: float) -> subprocess.Popen[bytes]:
    arguments = [str(quads), str(out), str(seconds), str(Path(__file__).parent)]
    return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], stderr=subprocess.PIPE)


def wait_for_rows(out: Path, count: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if (out / "rows.jsonl").exists() and (out / "rows.jsonl").read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.002)
    raise AssertionError(f"no {count} rows within 20 s")


def test_killed_three_times_nothing_is_lost_or_done_twice(quads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for target, delay in ((2, 0.0), (4, 0.03), (6, 0.059)):
        process = start(quads, out, 0.06)
        try:
            wait_for_rows(out, target)
            time.sleep(delay)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.stderr is not None
            process.stderr.close()
        finished = [row["seed"] for row in read_rows(out)]
        assert target <= len(finished) < COUNT
    log = Path(f"{out}.log")
    editor = Counting()
    assert generate(quads, editor, out) == Summary(done=COUNT - len(finished), failed=0, skipped=len(finished))
    assert not set(editor.seeds) & set(finished)
    times = Counter(int(line) for line in log.read_text().splitlines()) + Counter(editor.seeds)
    assert set(times) == {item_seed(0, index) for index in range(COUNT)}
    assert sum(times.values()) <= COUNT + 3  # at most the one item that each kill cut short
    generate(quads, NOISE, tmp_path / "unbroken")
    assert pictures(out) == pictures(tmp_path / "unbroken")
    assert without_seconds(out) == without_seconds(tmp_path / "unbroken")


def test_one_process_a_folder(quads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(quads, out, 30)
    try:
        wait_for_rows(out, 0)
        with pytest.raises(UsageError, match="another process"):
            generate(quads, NOISE, out)
    finally:
        process.kill()
        process.communicate()
    assert generate(quads, NOISE, out).done == COUNT


FULL_DISK = """
import resource, sys
from relation_adapter.errors import InputError
sys.path.insert(0, sys.argv[3])
from batches import grow
from relation_adapter.editor import FunctionEditor
from relation_adapter.evaluate.generate import generate
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), int(sys.argv[4])))
try:
    generate(sys.argv[1], FunctionEditor(grow, "grow"), sys.argv[2])
except InputError as error:
    sys.exit(f"stopped: {error}")
"""


@pytest.mark.parametrize(("limit", "what"), [(20_000, r"000005_\S*\.png"), (1_200, r"rows\.jsonl")])
def test_a_disk_that_refuses_stops_the_batch_and_keeps_what_is_done(
    quads: Path, tmp_path: Path, limit: int, what: str
) -> None:
    out = tmp_path / "out"
    arguments = [str(quads), str(out), str(Path(__file__).parent), str(limit)]
    run = subprocess.run([sys.executable, "-c", FULL_DISK, *arguments], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert run.stderr.startswith("stopped: ") and run.stderr.count("\n") == 1
    assert re.search(what + ".*: cannot be written", run.stderr)
    finished = len(read_rows(out))
    assert 0 < finished <= 5
    editor = FunctionEditor(grow, "grow")
    assert generate(quads, editor, out) == Summary(done=COUNT - finished, failed=0, skipped=finished)


def test_an_output_folder_that_cannot_be(quads: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be used"):
        generate(quads, NOISE, tmp_path / "file")


def test_a_refusing_disk_is_no_fault_of_the_item(quads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, replace = tmp_path / "out", os.replace

    def full(source: str, target: str) -> None:
        if str(target).endswith(".png"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(PictureError, match="No space left on device"):
        generate(quads, NOISE, out)
    assert read_rows(out) == []
