"""Annotating, judging, scoring and encoding on the workers of a Ray cluster: the same files as alone."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from batches import NOISE, make_quads
from fake_vlm import FakeVlm, serving
from test_annotate import write_some
from test_judge import biased, make_batches

from relation_adapter.cli import main
from relation_adapter.evaluate.generate import generate
from relation_adapter.evaluate.rows import read_rows, write_rows
from relation_adapter.vlm.desk import Desk
from relation_adapter.vlm.journal import open_journal
from relation_adapter.vlm.spending import Budget, Spent, Stopped

pytest.importorskip("ray", reason="the extra 'ray' is not installed")
from relation_adapter.scale import Cluster, Slots, served

PAIRS = 24
MISCHIEF = {"trouble": 0.3, "refuses": 0.1, "spoils": 0.1, "slow": 0.05, "seconds": 0.02}


@pytest.fixture(autouse=True)
def one_cluster(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What --ray connects to is there already."""

    @contextmanager
    def there(_: str, slots: Slots) -> Iterator[Cluster]:
        yield replace(cluster, workers=slots.workers or 2)

    monkeypatch.setattr("relation_adapter.scale.connect", there)


def annotate(pairs: Path, fake: FakeVlm, *more: str) -> int:
    flags = ["--vlm", "m", "--base-url", fake.url, "--first-wait", "0.01", *more]
    return main(["data", "annotate", str(pairs), "-o", str(pairs.with_name("out.jsonl")), *flags])


def results(pairs: Path) -> list[bytes]:
    names = ("out.jsonl", "out.aside.jsonl")
    return [pairs.with_name(name).read_bytes() for name in names]


def test_pairs_are_described_the_same_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    alone, far = (write_some(tmp_path / name, PAIRS) for name in ("alone", "far"))
    with serving(FakeVlm(**MISCHIEF)) as fake:
        assert annotate(alone, fake, "--name-tasks") == 1  # some are refused, as they are of any server
        asked = Counter(fake.keys)
        fake.keys.clear()
        fake.answered.clear()
        fake.seconds = 0.2  # so that both workers ask at once on a busy machine too
        assert annotate(far, fake, "--name-tasks", "--ray") == 1
        assert results(far) == results(alone)
        assert Counter(fake.keys) == asked
        assert fake.most_busy > 4


def test_a_budget_is_that_of_all_workers_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = write_some(tmp_path / "set", PAIRS)
    with serving(FakeVlm(seconds=0.02)) as fake:
        assert annotate(pairs, fake, "--ray", "--budget", "requests=9") == 2
        assert len(fake.bodies) == 9
        assert "the budget of 9 requests is spent" in capsys.readouterr().err
        assert fake.answered.total() == 9
        with open_journal(pairs.with_name("out.answers"), writing=False) as journal:
            assert journal.spent.requests == 9


def test_results_are_judged_the_same(tmp_path: Path) -> None:
    batches = make_batches(tmp_path)
    with serving(FakeVlm(trouble=0.3, slow=0.05, answer=biased)) as fake:
        for out, more in (("alone", ()), ("far", ("--ray",))):
            given = ["--vlm", "m", "--base-url", fake.url, "--first-wait", "0.01", "--side", "32", *more]
            folders = [str(batches[0]), "--against", str(batches[1]), "-o", str(tmp_path / out)]
            assert main(["evaluate", "judge", *folders, *given]) == 0
    assert (tmp_path / "far" / "judged.jsonl").read_bytes() == (tmp_path / "alone" / "judged.jsonl").read_bytes()


def test_rows_are_scored_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    quads = make_quads(folder)
    for name in ("alone", "far"):
        generate(quads, NOISE, folder / name)
        rows = [row | {"target": row["source"]} for row in read_rows(folder / name)]

        write_rows(folder / name, [row | {"seconds": 0, "peak_gib": 0} for row in rows])
    assert main(["evaluate", "score", str(folder / "alone")]) == 0
    assert main(["evaluate", "score", str(folder / "far"), "--ray"]) == 0
    assert "psnr" in read_rows(folder / "far")[0]
    assert (folder / "far" / "rows.jsonl").read_bytes() == (folder / "alone" / "rows.jsonl").read_bytes()


def test_a_cache_holds_the_same(tmp_path: Path) -> None:
    quads = tmp_path / "quads"
    assert main(["data", "procedural", "-o", str(quads), "--count", "4", "--tasks", "sepia", "--size", "32"]) == 0
    given = [str(quads / "quads.jsonl"), "--shard", "2"]
    assert main(["data", "cache", *given, "-o", str(tmp_path / "alone")]) == 0
    assert main(["data", "cache", *given, "-o", str(tmp_path / "far"), "--ray", "--ray-workers", "1"]) == 0
    files = {path.name: path.read_bytes() for path in (tmp_path / "alone").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "far").iterdir()} == files
    assert len(files) > 6


def test_what_a_lost_worker_held_is_let_go_of(tmp_path: Path) -> None:
    """A worker is killed in the middle of a request: the question and its part of the budget are free again."""
    with open_journal(tmp_path) as journal:
        desk = Desk(journal, Budget(requests=1), None)
        with served(desk, "127.0.0.1") as far:
            child = os.fork()
            if child == 0:
                with far.alone("a"), far.request(Spent(1)):
                    time.sleep(60)
            deadline = time.monotonic() + 10
            while "a" not in desk._open:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            taken = threading.Event()

            def take() -> None:
                with far.alone("a"), far.request(Spent(1)):
                    taken.set()

            threading.Thread(target=take, daemon=True).start()
            assert not taken.wait(0.2)
            os.kill(child, signal.SIGKILL)
            assert taken.wait(10)
            os.waitpid(child, 0)
            desk.stop()
            with pytest.raises(Stopped):
                far.turn()
    shutil.rmtree(tmp_path)
