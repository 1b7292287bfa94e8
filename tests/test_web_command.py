"""`relation-adapter ui` as a process: how it starts, what it says, what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from web_server import BEFORE, OTHER, SOURCE, free_port

from relation_adapter.cli import main

PAGE = (Path(__file__).parents[1] / "docs" / "page.md").read_text()


def command(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "relation_adapter", "ui", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def test_what_the_documentation_shows_runs_and_nothing_is_left_behind(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not here")
    (tmp_path / "served" / "relation-adapter-ui-killed" / "visits").mkdir(parents=True)
    port = free_port()
    server = command("--host", "0.0.0.0", "--port", str(port), TMPDIR=str(tmp_path / "served"))
    assert server.stdout is not None
    assert server.stdout.readline().endswith(f":{port}/\n")
    for name, file in {
        "before": BEFORE,
        "after": BEFORE.parent / "after.jpg",
        "photo": SOURCE,
        "holiday": OTHER,
    }.items():
        shutil.copyfile(file, tmp_path / f"{name}.jpg")
    blocks = re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.DOTALL)
    assert [kind for kind, _ in blocks] == ["sh", "python", "sh"]
    for kind, text in blocks:
        text = text.replace("127.0.0.1:7860", f"127.0.0.1:{port}")
        shell = ["bash", "-ec", text] if kind == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} >= {"edited.png", "edited.zip", "look.safetensors"}
    assert json.loads(done.stdout)["ready"]
    (folder,) = (tmp_path / "served").glob("relation-adapter-ui-*")
    assert folder.stat().st_mode & 0o077 == 0
    server.send_signal(signal.SIGTERM)
    _, told = server.communicate(timeout=30)
    assert server.returncode == 130
    assert told.splitlines() == [
        "relation-adapter: warning: everybody who reaches this address can use it; there is no password",
        "relation-adapter: stopped; the page is closed, its files are gone",
    ]
    assert not list((tmp_path / "served").iterdir())


def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["ui", "--port", str(port)]) == 2
    told = capsys.readouterr().err
    assert f"error: --host 127.0.0.1 --port {port}: " in told
    assert len(told.splitlines()) == 1


def test_without_the_extra_the_install_line_is_given(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["ui"]) == 2
    line = "relation-adapter: error: gradio is not installed; pip install 'relation-adapter[ui]'\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--model", "identity"], "--model identity: a baseline reads no relations"),
        (["--model", "mimi"], "--model mimi: no model has this name; did you mean mini?"),
        (["--weights", "x"], "--weights goes with --model flux-dev"),
    ],
)
def test_wrong_models_are_refused_before_anything_starts(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ui", *arguments]) == 2
    assert line in capsys.readouterr().err
