"""Annotating in real processes: killed for real, stopped by hand, and on a disk that refuses."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_vlm import FakeVlm, serving
from forked import Command
from test_annotate import write_some

COUNT = 30
EVERYTHING = {"trouble": 0.4, "refuses": 0.1, "spoils": 0.1, "slow": 0.05, "seconds": 0.02}


def start(pairs: Path, fake: FakeVlm, *more: str) -> Command:
    flags = ["--vlm", "m", "--base-url", fake.url, "--first-wait", "0.01", "--second-look", "--name-tasks", *more]
    return Command("data", "annotate", pairs, *flags, "-o", pairs.with_name("out.jsonl"))


def wait_for_answers(fake: FakeVlm, count: int) -> None:
    deadline = time.monotonic() + 60
    while fake.answered.total() < count:
        assert time.monotonic() < deadline, f"no {count} answers within 60 s"
        time.sleep(0.002)


def results(pairs: Path) -> list[bytes]:
    names = ("out.jsonl", "out.aside.jsonl", "out.rejects.jsonl")
    return [pairs.with_name(name).read_bytes() for name in names]


def test_killed_three_times_nothing_is_lost_or_asked_twice(tmp_path: Path) -> None:
    pairs, unbroken = (write_some(tmp_path / name, COUNT) for name in ("set", "unbroken"))
    threads = 4
    with serving(FakeVlm(**EVERYTHING)) as fake:
        for number in range(1, 4):
            process = start(pairs, fake)
            wait_for_answers(fake, 10 * number)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert not pairs.with_name("out.jsonl").exists()
        process = start(pairs, fake)
        told = process.communicate(timeout=120)[1]
        assert process.returncode == 1, told
        # Each kill may cost the replies that were under way, one a thread; no other is ever asked for again.
        repeated = sum(max(0, count - 1) for count in fake.answered.values())
        assert repeated <= 3 * threads
        requests = len(fake.bodies)
        again = start(pairs, fake)
        again.communicate(timeout=120)
        assert len(fake.bodies) == requests
        assert set(fake.did) >= {
            "429",
            "500",
            "slow",
            "cut off",
            "not JSON",
            "wrong shape",
            "refusal",
            "spoilt",
            "well",
        }
    with serving(FakeVlm(**EVERYTHING)) as other:
        process = start(unbroken, other)
        process.communicate(timeout=120)
        assert max(other.answered.values()) == 1
    assert results(pairs) == results(unbroken)
    assert not list(pairs.parent.glob(".*.part"))
    rows = [json.loads(line) for line in pairs.with_name("out.answers").joinpath("answers.jsonl").open()]
    asked = sum(row["event"] == "asked" for row in rows)
    assert requests <= asked <= requests + 3 * threads  # also those that a kill cut short, so that they count


def test_stopped_by_hand_it_takes_the_replies_under_way(tmp_path: Path) -> None:
    pairs = write_some(tmp_path / "set", COUNT)
    with serving(FakeVlm(seconds=0.3)) as fake:
        process = start(pairs, fake)
        wait_for_answers(fake, 3)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[1]
        assert process.returncode == 130
        assert "replies under way are waited for" in told and "run the same command again to go on" in told
        assert "Traceback" not in told
        kept = pairs.with_name("out.answers").joinpath("answers.jsonl").read_text().count('"event": "answered"')
        assert kept == fake.answered.total() == len(fake.bodies) < COUNT


def test_stopped_twice_it_waits_for_nothing(tmp_path: Path) -> None:
    pairs = write_some(tmp_path / "set", COUNT)
    with serving(FakeVlm(seconds=30)) as fake:
        process = start(pairs, fake)
        deadline = time.monotonic() + 60
        while not fake.bodies and time.monotonic() < deadline:
            time.sleep(0.01)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130 and time.monotonic() - begin < 10


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from relation_adapter.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process")
def test_a_full_disk_stops_in_one_line_and_the_same_again_goes_on(tmp_path: Path) -> None:
    pairs = write_some(tmp_path / "set", COUNT)
    with serving(FakeVlm()) as fake:
        flags = ["--vlm", "m", "--base-url", fake.url, "-o", str(pairs.with_name("out.jsonl"))]
        command = [sys.executable, "-c", LIMITED, "4000", "data", "annotate", str(pairs), *flags]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        errors = [line for line in done.stderr.splitlines() if "error:" in line]
        assert len(errors) == 1 and re.search(r"answers\.jsonl: cannot be written \(.*\); free some space", errors[0])
        assert "Traceback" not in done.stderr
        kept = pairs.with_name("out.answers").joinpath("answers.jsonl").read_text().count('"event": "answered"')
        asked = len(fake.bodies)
        assert 0 < kept < COUNT
        assert Command(*command[4:]).wait() == 0
        assert len(fake.bodies) - asked <= COUNT - kept + 1
