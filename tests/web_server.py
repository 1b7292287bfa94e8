"""The page, up on a port of this machine, for tests."""

from __future__ import annotations

import importlib
import io
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("gradio", reason="the page needs gradio: pip install 'relation-adapter[ui]'")
httpx = pytest.importorskip("httpx")
sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
PageClient = importlib.import_module("page_client").PageClient


from relation_adapter import RelationPipeline  # noqa: E402
from relation_adapter.web.limits import Limits  # noqa: E402
from relation_adapter.web.serve import Server  # noqa: E402

EXAMPLES = Path(__file__).parents[1] / "examples"
BEFORE, AFTER = (EXAMPLES / "pairs" / "negative" / f"{side}.jpg" for side in ("before", "after"))
SOURCE, OTHER = EXAMPLES / "photos" / "rocket.jpg", EXAMPLES / "photos" / "coffee.jpg"
PAIR = [("before", BEFORE), ("after", AFTER)]
SMALL = Limits(upload_mib=2, megapixels=4, sources=3, queue=4)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(limits: Limits = SMALL, pipe: RelationPipeline | None = None, **options: Any) -> Iterator[Server]:
    """One at a time in a process: gradio finds its folder in the environment."""
    pipe = pipe or RelationPipeline.from_pretrained("mini")
    with Server(pipe, pipe.design.name, limits, "127.0.0.1", free_port(), **options) as server:
        yield server


class Steps:
    """Counts the steps of a server's model."""

    def __init__(self, server: Server) -> None:
        self.count = 0
        self._hook = server.studio.pipe.transformer.register_forward_hook(self._add)

    def _add(self, *_: Any) -> None:
        self.count += 1

    def remove(self) -> None:
        self._hook.remove()


def post(server: Server, files: list[tuple[str, Any]], timeout: float = 60, **words: Any) -> Any:
    parts = [(name, (file.name, file.read_bytes()) if isinstance(file, Path) else file) for name, file in files]
    return httpx.post(f"{server.url}api/edit", files=parts, data=words, timeout=timeout)


def error(answer: Any) -> str:
    assert set(answer.json()) == {"error"} or "detail" in answer.json()
    return str(answer.json()["error"])


def opened(answer: Any) -> Image.Image:
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


def wait_until(true: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
