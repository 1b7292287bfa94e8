"""Judging in real processes against a server that does all that real ones do: killed for real, and two at once."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fake_vlm import FakeVlm, say_something, serving
from forked import Command
from PIL import Image
from test_judge import make_batches

from relation_adapter.files import locked_folder

COUNT, THREADS = 20, 4
EVERYTHING = {"trouble": 0.4, "refuses": 0.05, "spoils": 0.05, "slow": 0.05, "seconds": 0.02}


def by_pixels(words: str, image: Image.Image, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: say_something(words, image, field["properties"]) for name, field in fields.items()}


def start(white: Path, fake: FakeVlm) -> Command:
    flags = ["--against", white.with_name("black"), "-o", white.with_name("judged")]
    flags += ["--base-url", fake.url, "--first-wait", "0.01", "--side", "32"]
    return Command("evaluate", "judge", white, "--vlm", "m", *flags)


def wait_for_answers(fake: FakeVlm, count: int) -> None:
    deadline = time.monotonic() + 60
    while fake.answered.total() < count:
        assert time.monotonic() < deadline, f"no {count} answers within 60 s"
        time.sleep(0.002)


def table(white: Path) -> list[dict[str, Any]]:
    """The rows; where no reply had the right shape without the last wrong one, which a kill may change."""
    rows = [json.loads(line) for line in (white.with_name("judged") / "judged.jsonl").open()]
    return [row | {"why": str(row["why"]).partition(":")[0], "reply": None} for row in rows]


def test_killed_twice_nothing_is_lost_or_asked_twice(tmp_path: Path) -> None:
    white, unbroken = (make_batches(tmp_path / name, COUNT)[0] for name in ("killed", "unbroken"))
    with serving(FakeVlm(**EVERYTHING, answer=by_pixels)) as fake:
        for number in (1, 2):
            process = start(white, fake)
            wait_for_answers(fake, 10 * number)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert not (white.with_name("judged") / "judged.jsonl").exists()
        process = start(white, fake)
        told = process.communicate(timeout=120)[1]
        assert process.returncode == 1, told
        # Each kill may cost the replies that were under way, one a thread; no other is ever asked for again.
        assert sum(max(0, count - 1) for count in fake.answered.values()) <= 2 * THREADS
        requests = len(fake.bodies)
        start(white, fake).communicate(timeout=120)
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
    with serving(FakeVlm(**EVERYTHING, answer=by_pixels)) as other:
        start(unbroken, other).communicate(timeout=120)
        assert max(other.answered.values()) == 1
    rows = table(white)
    assert rows == table(unbroken)
    assert {row["why"] for row in rows} == {"None", "refused", "bad"}


def test_two_at_once_do_not_work_in_one_folder(tmp_path: Path) -> None:
    white = make_batches(tmp_path, 2)[0]
    with serving(FakeVlm(answer=by_pixels)) as fake, locked_folder(white.with_name("judged")):
        process = start(white, fake)
        told = process.communicate(timeout=60)[1]
        assert process.returncode == 2 and "another process works in this folder" in told
        assert not fake.bodies
