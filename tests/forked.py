"""Commands as processes to watch and to kill, forked from one that has imported all, so that they begin at once.

For what a process does once it is there; how Python and its imports begin is tested with new ones.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["relation_adapter.train.loop", "relation_adapter.cli.app", "openai"])


class Command:
    """A `relation-adapter` command at work, with what a `subprocess.Popen` has of that."""

    def __init__(self, *words: object) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._told = [Path(self._folder.name) / name for name in ("stdout", "stderr")]
        self._process = CONTEXT.Process(target=_run, args=([*map(str, words)], self._told))
        self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float = 120) -> int:
        """Its exit code."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"it still runs after {timeout} s"
        return self._process.exitcode

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
