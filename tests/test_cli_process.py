"""The command in processes of its own: how it starts, and how it stands being killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from batches import COUNT, make_quads, pictures, without_seconds
from test_cli import turned

from relation_adapter.cli import editors, main
from relation_adapter.editor import EditRequest, FunctionEditor
from relation_adapter.evaluate.rows import read_rows

HEAVY = ("torch", "diffusers", "transformers", "numpy", "PIL", "tqdm")


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "code",
    [
        "import relation_adapter",
        "import relation_adapter; dir(relation_adapter); relation_adapter.__version__",
        "from relation_adapter.cli import main; main([])",
        *(
            f"from relation_adapter.cli import main; main({line.split()})"
            for line in ("--help", "--version", "edit --help", "relation --help", "train --help", "ui --help")
        ),
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code: str) -> None:
    run = python(
        f"import atexit, sys\natexit.register(lambda: print('HEAVY', [m for m in {HEAVY} if m in sys.modules]))\n{code}"
    )
    assert "HEAVY []" in run.stdout


def test_models_info_needs_no_torch(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    code = "import sys; from relation_adapter.cli import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    run = python(code, "models", "info", str(tmp_path / "x.safetensors"))
    assert run.returncode == 0, run.stderr
    assert "parameters" in run.stdout


def test_as_a_module() -> None:
    run = subprocess.run([sys.executable, "-m", "relation_adapter", "--version"], capture_output=True, text=True)
    assert re.fullmatch(r"relation-adapter \d+\.\d+\S*\n", run.stdout)
    assert run.returncode == 0


SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
sys.path.insert(0, sys.argv[1])
from test_cli import turned
from relation_adapter.cli import editors, main
from relation_adapter.editor import FunctionEditor

def edit(request):
    time.sleep(0.05)
    print(request.seed, flush=True)
    return turned(request.source)

editors.open_editor = lambda *_: FunctionEditor(edit, "slow")
sys.exit(main(sys.argv[2:]))
"""


def start(line: list[str]) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", SLOW, str(Path(__file__).parent), *line]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, lines: int) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() or path.read_bytes().count(b"\n") < lines:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_a_batch_stopped_half_way_is_completed_by_the_same_command(
    kill: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quads, out = make_quads(tmp_path / "set"), tmp_path / "out"
    line = ["edit", "--quads", str(quads), "-o", str(out)]
    process = start(line)
    wait_for(out / "rows.jsonl", 4)
    process.send_signal(kill)
    first, err = process.communicate()
    finished = [row["seed"] for row in read_rows(out)]
    assert 4 <= len(finished) < COUNT
    if kill == signal.SIGINT:
        assert process.returncode == 130
        assert "run the same command again to go on" in err and "Traceback" not in err

    again: list[int] = []

    def edit(request: EditRequest) -> object:
        again.append(request.seed)
        return turned(request.source)

    monkeypatch.setattr(editors, "open_editor", lambda *_: FunctionEditor(edit, "slow"))  # type: ignore[arg-type]
    assert main(line) == 0
    assert f"{COUNT - len(finished)} edited, 0 failed, {len(finished)} done before" in capsys.readouterr().err
    assert not set(again) & set(finished)
    assert len(first.split()) + len(again) <= COUNT + 1  # at most the item in hand when the kill came
    assert main([*line[:-1], str(tmp_path / "unbroken")]) == 0
    assert pictures(out) == pictures(tmp_path / "unbroken")
    assert without_seconds(out) == without_seconds(tmp_path / "unbroken")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "relation_adapter", "models", "list"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.returncode == 0 and "Traceback" not in done.stderr and "Broken" not in done.stderr
