"""Commands as processes to watch and to kill, forked from one that has imported all, so that they begin at once.

For what a process does once it is there; how Python and its imports begin is tested with new ones.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["forked_first"])


def fork(target: Callable[..., object], *given: Any) -> Any:
    """Begin a function of a module in a process of its own."""
    # Python 3.11 does not tell the first one where modules of tests lie, and it does without those that it cannot find.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        forkserver.ensure_running()
    process = _CONTEXT.Process(target=target, args=given)
    process.start()
    return process


class Command:
    """A `relation-adapter` command at work, with what a `subprocess.Popen` has of that."""

    def __init__(self, *words: object) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._told = [Path(self._folder.name) / name for name in ("stdout", "stderr")]
        self._process = fork(_run, [*map(str, words)], self._told)

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""
        code: int | None = self._process.exitcode
        return code

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float = 120) -> int:
        """Its exit code."""
        self._process.join(timeout)
        code = self.poll()
        assert code is not None, f"it still runs after {timeout} s"
        return code

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        """Wait for its end; what it wrote."""
        self.wait(timeout)
        out, err = (path.read_text() if path.exists() else "" for path in self._told)
        return out, err


def _run(words: list[str], told: list[Path]) -> None:
    for number, path in enumerate(told, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from relation_adapter.cli import main

    sys.exit(main(words))
