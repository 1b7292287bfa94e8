"""The page on an address: started, swept now and then, and ended with all of its files."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from relation_adapter.errors import MissingExtraError, UsageError
from relation_adapter.files import locked_folder, reason
from relation_adapter.web.limits import Limits

# gradio reads these when it is imported, and its folder again when a page is made. It would tell its makers of every
# start and look for a newer version; and after every event it would make a table of all earlier ones, for a page of
# statistics that nobody is shown.
GRADIO = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_ANALYTICS_MAX_EVENTS": "100",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**9),
}
PREFIX = "relation-adapter-ui-"
_OURS: set[Path] = set()  # a process is not kept out of what it holds itself
SWEEP_SECONDS = 30
SESSIONS = 256  # of which the form's values are remembered


def check_extra() -> None:
    """Refuse to go on without gradio, which is not loaded yet. Raises MissingExtraError."""
    if importlib.util.find_spec("gradio") is None:
        raise MissingExtraError("gradio is not installed; pip install 'relation-adapter[ui]'")
    version = importlib.metadata.version("gradio")
    if int(version.partition(".")[0]) < 6:
        raise MissingExtraError(f"gradio {version} is too old; pip install 'relation-adapter[ui]'")


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder for a server's files, removed at the end; those of servers that were killed are removed now."""
    top = Path(tempfile.gettempdir())
    for old in top.glob(f"{PREFIX}*"):
        with suppress(UsageError, OSError), locked_folder(old):  # held by nobody
            if old not in _OURS:
                shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    _OURS.add(folder)
    try:
        with locked_folder(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _OURS.discard(folder)


class Server:
    """A page that is up. Use it in a `with`; at the end its files are gone.

    pipe: a loaded pipeline; model: what to call it. names: of hosts that stand for this machine, as that of a proxy.
    Raises UsageError where the address cannot be had, or shared.
    """

    def __init__(
        self,
        pipe: Any,
        model: str,
        limits: Limits,
        host: str,
        port: int,
        share: bool = False,
        names: Sequence[str] = (),
    ) -> None:
        check_extra()
        self._held = ExitStack()
        self.folder = self._held.enter_context(own_folder())
        self._names = names
        os.environ.update(GRADIO, GRADIO_TEMP_DIR=str(self.folder))
        from relation_adapter.web.page import build
        from relation_adapter.web.studio import Studio

        self.studio = Studio(pipe, model, limits, self.folder)
        self.blocks = build(self.studio)
        self.studio.visits.keep_own()
        self._ended = threading.Event()
        try:
            self.url, self.shared = self._launch(host, port, share)
        except BaseException:
            self.close()
            raise

    def _launch(self, host: str, port: int, share: bool) -> tuple[str, str | None]:
        from starlette.middleware import Middleware

        from relation_adapter.web.door import LOOPBACK, Door
        from relation_adapter.web.look import look
        from relation_adapter.web.routes import routes

        _check_address(host, port)
        self.only_loopback = host in LOOPBACK and not share
        hosts = {*LOOPBACK, *(name.lower() for name in self._names)} if self.only_loopback else None
        door = Middleware(Door, studio=self.studio, hosts=hosts)
        talk = io.StringIO()
        try:
            with redirect_stdout(talk):  # what a command prints is its result
                _, url, shared = self.blocks.launch(
                    server_name=host,
                    server_port=port,
                    share=share,
                    prevent_thread_lock=True,
                    quiet=True,
                    show_error=False,
                    footer_links=[],
                    run_history=False,
                    ssr_mode=False,
                    enable_monitoring=False,
                    max_threads=4 * self.studio.limits.queue,
                    max_file_size=self.studio.limits.upload_bytes,
                    state_session_capacity=SESSIONS,
                    app_kwargs={
                        "routes": routes(self.studio),
                        "middleware": [door],
                        "docs_url": None,
                        "redoc_url": None,
                    },
                    **look(),
                )
        except (OSError, RuntimeError, ValueError) as error:
            raise UsageError(f"--host {host} --port {port}: {reason(error)}; choose another") from error
        if share and not shared:
            raise UsageError("--share: no public address could be had; check the network, or leave it out")
        return url, shared or None

    def wait(self) -> None:
        """Keep it up, and clean, until it is closed or interrupted."""
        while not self._ended.wait(SWEEP_SECONDS):
            self.sweep()

    def sweep(self) -> None:
        """End the visits that are over, and forget files that are gone."""
        self.studio.visits.sweep()
        for files in self.blocks.temp_file_sets:
            files.difference_update([file for file in list(files) if not os.path.exists(file)])

    def close(self) -> None:
        """Take it down and remove its files."""
        self._ended.set()
        self.studio.close()
        with suppress(Exception):  # it may never have come up
            self.blocks.close(verbose=False)
        self._held.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check_address(host: str, port: int) -> None:
    """Refuse an address that cannot be had, in words of ours."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except socket.gaierror as error:
        raise UsageError(f"--host {host}: {reason(error)}; give a name or an address of this machine") from error
    except OSError as error:
        raise UsageError(f"--host {host} --port {port}: {reason(error)}; choose another") from error
