"""Batches on the workers of a Ray cluster: the same results as alone, whatever is killed in between."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from batches import COUNT, NOISE, add_noise, make_quads, pictures, without_seconds
from PIL import Image

from relation_adapter.cli import main
from relation_adapter.editor import Editor, EditRequest, FunctionEditor
from relation_adapter.errors import UsageError
from relation_adapter.evaluate.generate import Summary, generate, generate_with, item_seed
from relation_adapter.evaluate.rows import read_rows

pytest.importorskip("ray", reason="the extra 'ray' is not installed")
from relation_adapter.scale import Cluster, connect

WORKERS = 3  # each takes seconds to start


@pytest.fixture
def quads(tmp_path: Path) -> Path:
    return make_quads(tmp_path / "set")


def far(workers: Cluster, quads: Path, make: Callable[[], Editor], out: Path) -> Summary:
    return generate_with(workers.spread, quads, "noise", make, out)


class Logged:
    """An editor that notes the seed of every edit that it begins; deadly: how often a seed ends its process."""

    def __init__(self, log: Path, deadly: Mapping[int, int] | None = None, seconds: float = 0.0) -> None:
        self.log, self.deadly, self.seconds = log, deadly or {}, seconds

    def __call__(self) -> Editor:
        return FunctionEditor(self._edit, "noise")

    def _edit(self, request: EditRequest) -> Image.Image:
        with self.log.open("a") as log:
            log.write(f"{request.seed}\n")
        if self.begun()[request.seed] <= self.deadly.get(request.seed, 0):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        return add_noise(request)

    def begun(self) -> Counter[int]:
        return Counter(int(line) for line in self.log.read_text().splitlines())


def test_any_number_of_workers_makes_what_one_process_does(cluster: Cluster, quads: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    generate(quads, NOISE, alone)
    for workers in (1, WORKERS):
        out = tmp_path / str(workers)
        # One reaches all through fsspec, as it would in object storage.
        read, made = (Path(f"file://{path}") if workers == 1 else path for path in (quads, out))
        assert far(replace(cluster, workers=workers), read, lambda: NOISE, made) == Summary(COUNT, 0, 0)
        assert pictures(out) == pictures(alone)
        assert without_seconds(out) == without_seconds(alone)


def test_the_items_of_a_killed_worker_go_to_another(cluster: Cluster, quads: Path, tmp_path: Path) -> None:
    editor = Logged(tmp_path / "log", {item_seed(0, 3): 1, item_seed(0, 7): 99})
    out, alone = tmp_path / "out", tmp_path / "alone"
    assert far(replace(cluster, workers=2), quads, editor, out) == Summary(COUNT - 1, 1, 0)
    assert editor.begun() == Counter({item_seed(0, n): {3: 2, 7: 3}.get(n, 1) for n in range(COUNT)})
    assert "worker was lost 3 times" in read_rows(out)[7]["error"]
    assert generate(quads, NOISE, out) == Summary(1, 0, COUNT - 1)
    generate(quads, NOISE, alone)
    assert pictures(out) == pictures(alone)
    assert without_seconds(out) == without_seconds(alone)


def test_what_workers_raise_is_raised(cluster: Cluster, quads: Path, tmp_path: Path) -> None:
    def make() -> Editor:
        raise UsageError("no such weights here")

    with pytest.raises(UsageError, match="no such weights here") as raised:
        far(replace(cluster, workers=1), quads, make, tmp_path / "out")
    assert raised.value.__cause__ is None
    with pytest.raises(ZeroDivisionError) as bug:
        cluster.once(lambda: 1 // 0)
    assert "1 // 0" in str(bug.value.__cause__)


HEAD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from test_scale import Logged
from relation_adapter.evaluate.generate import generate_with
from relation_adapter.scale import Slots, connect

with connect("local", Slots(2)) as cluster:
    print("begun", flush=True)
    generate_with(cluster.spread, sys.argv[1], "noise", Logged(Path(sys.argv[2]), seconds=0.3), sys.argv[3])
"""


def test_the_head_killed_nothing_is_lost_or_done_twice(cluster: Cluster, quads: Path, tmp_path: Path) -> None:
    out, editor = tmp_path / "out", Logged(tmp_path / "log")
    arguments = [str(quads), str(editor.log), str(out), str(Path(__file__).parent)]
    process = subprocess.Popen([sys.executable, "-c", HEAD, *arguments], stdout=subprocess.PIPE)
    deadline = time.monotonic() + 60
    rows = out / "rows.jsonl"
    while not (rows.exists() and rows.read_bytes().count(b"\n") >= 3):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    finished = {row["seed"] for row in read_rows(out)}
    on_one = replace(cluster, workers=1)
    assert far(on_one, quads, editor, out) == Summary(COUNT - len(finished), 0, len(finished))
    begun = editor.begun()
    assert set(begun) == {item_seed(0, index) for index in range(COUNT)}
    assert all(begun[seed] == 1 for seed in finished)
    # At most what lay before the two workers when their head was killed: the item at work and two that are ready.
    assert begun.total() <= COUNT + 2 * 3
    generate(quads, NOISE, tmp_path / "alone")
    assert pictures(out) == pictures(tmp_path / "alone")
    assert without_seconds(out) == without_seconds(tmp_path / "alone")


def test_without_the_extra_one_line_says_how_to_install_it(
    quads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["edit", "--quads", str(quads), "-o", str(tmp_path / "out"), "--ray"]) == 2
    told = capsys.readouterr().err
    assert told == "relation-adapter: error: --ray needs Ray; pip install 'relation-adapter[ray]'\n"


def test_flags_that_need_ray_and_no_address(quads: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edit", "--quads", str(quads), "-o", "out", "--ray-workers", "2"]) == 2
    assert "--ray-workers goes with --ray" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["evaluate", "generate", "-o", "out", "--ray", "quads.jsonl"])
    assert "'quads.jsonl' is no address" in capsys.readouterr().err


def test_auto_does_not_wait_for_a_head_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray._private.services, "find_gcs_addresses", set)
    monkeypatch.setattr(ray._private.utils, "read_ray_address", lambda: gone)
    with pytest.raises(UsageError, match="--ray auto: no Ray cluster answers there"), connect("auto"):
        pass
