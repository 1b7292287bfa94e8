"""A server on this machine that speaks as an OpenAI-compatible one does, and misbehaves as real ones do.

What it does is drawn from its seed, the content of the request and how often that content came: an answer depends on
the pictures and words alone, however often a client was killed on the way. `trouble` passes after two tries; refusals
and replies of a wrong shape stay for the pictures that get them.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

TROUBLES = ("429", "500", "slow", "cut off", "not JSON", "wrong shape")


@dataclass
class FakeVlm:
    """How the server behaves, and what it was asked.

    trouble: the part of requests that go wrong in one of `troubles`, never more than two in a row for one content.
    refuses, spoils: the part of contents that are refused, or get a reply of a wrong shape, each time. seconds: before
    every reply; slow: before a slow one. always: what every request gets, as "401". retry_after: with a 429.
    answer: (words of the prompt, picture, fields of the schema) -> the reply's values.
    """

    seed: int = 0
    trouble: float = 0.0
    troubles: tuple[str, ...] = TROUBLES
    refuses: float = 0.0
    spoils: float = 0.0
    seconds: float = 0.0
    slow: float = 0.3
    always: str | None = None
    retry_after: str = "0.05"
    usage: bool = True
    answer: Callable[[str, Image.Image, Mapping[str, Any]], dict[str, Any]] = lambda *about: say_something(*about)
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)  # of the contents asked for, in order
    times: list[float] = field(default_factory=list)  # of every request, by the clock that never goes back
    did: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)  # good replies sent, by content
    busy: int = 0
    most_busy: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def draw(self, *words: object) -> float:
        """In [0, 1), the same for the same words."""
        data = json.dumps([self.seed, *map(str, words)]).encode()
        return int.from_bytes(hashlib.sha256(data).digest()[:6]) / 2**48

    def behaviour(self, key: str, count: int) -> str:
        """What the request number `count` (from 0) of a content gets."""
        if self.always:
            return self.always
        if count % 3 < 2 and self.draw(key, count, "trouble") < self.trouble:
            return self.troubles[int(self.draw(key, count, "which") * len(self.troubles))]
        lasting = self.draw(key, "lasting")
        if lasting < self.refuses:
            return "refusal"
        return "spoilt" if lasting < self.refuses + self.spoils else "well"


@contextmanager
def serving(vlm: FakeVlm) -> Iterator[FakeVlm]:
    """Serve on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"vlm": vlm}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    vlm.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield vlm
    finally:
        server.shutdown()
        server.server_close()


def say_something(words: str, image: Image.Image, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the kinds wished for, from the pixels."""
    mark = hashlib.sha256(image.tobytes()).hexdigest()[:8]
    values: dict[str, Any] = {}
    for name, kind in fields.items():
        if kind["type"] == "boolean":
            values[name] = int(mark, 16) % 4 != 0
        elif "enum" in kind:
            values[name] = kind["enum"][int(mark, 16) % len(kind["enum"])]
        else:
            values[name] = f"{name} of {image.width}x{image.height} {mark}"
    return values


class _Handler(BaseHTTPRequestHandler):
    vlm: FakeVlm
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def handle(self) -> None:
        """A client that was killed is nothing to report."""
        with suppress(ConnectionResetError):
            super().handle()

    def do_POST(self) -> None:
        vlm, now = self.vlm, time.monotonic()
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if len(data) < int(self.headers["Content-Length"]):
            self.close_connection = True  # from a client that was killed
            return
        body = json.loads(data)
        key = hashlib.sha256(json.dumps([body["model"], body["messages"]], sort_keys=True).encode()).hexdigest()
        with vlm.lock:
            count = vlm.keys.count(key)
            vlm.keys.append(key)
            vlm.bodies.append(body)
            vlm.times.append(now)
            vlm.busy += 1
            vlm.most_busy = max(vlm.most_busy, vlm.busy)
        behaviour = vlm.behaviour(key, count)
        try:
            time.sleep(vlm.seconds)
            self._behave(behaviour, body)
            with vlm.lock:
                vlm.did[behaviour] += 1
                vlm.answered[key] += behaviour in ("well", "slow")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with vlm.lock:
                vlm.busy -= 1

    def _behave(self, behaviour: str, body: dict[str, Any]) -> None:
        if behaviour.isdigit():
            error = {"message": f"it is {behaviour}", "code": None}
            headers = {"Retry-After": self.vlm.retry_after} if behaviour == "429" else {}
            self._send(int(behaviour), {"error": error}, headers)
        elif behaviour == "no quota":
            self._send(429, {"error": {"message": "you exceeded your quota", "code": "insufficient_quota"}})
        elif behaviour == "filtered":
            self._send(400, {"error": {"message": "not this picture", "code": "content_policy_violation"}})
        elif behaviour == "not HTTP":
            self.close_connection = True
        elif behaviour == "web page":
            self._send_bytes(200, b"<html>sign in</html>", {"Content-Type": "text/html"})
        elif behaviour == "error with 200":  # as routers of several servers do
            self._send(200, {"error": {"message": "the server behind is busy", "code": 502}})
        elif behaviour == "empty object":
            self._send(200, {})
        else:
            self._reply(behaviour, body)

    def _reply(self, behaviour: str, body: dict[str, Any]) -> None:
        content, refusal, finish = json.dumps(self._values(body)), None, "stop"
        if behaviour == "slow":
            time.sleep(self.vlm.slow)
        elif behaviour == "not JSON":
            content = "Of course! The left picture shows"
        elif behaviour in ("wrong shape", "spoilt"):
            content = json.dumps({"caption": "a picture"})
        elif behaviour == "refusal":
            content, refusal = None, "I cannot help with this picture."
        elif behaviour == "too long":
            content, finish = content[:-9], "length"
        elif behaviour == "fenced":
            content = f"Here it is:\n```json\n{content}\n```"
        message = {"role": "assistant", "content": content, "refusal": refusal}
        completion: dict[str, Any] = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": f"{body['model']}-2026-01-01",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        }
        if self.vlm.usage:
            completion["usage"] = {"prompt_tokens": 500, "completion_tokens": 50, "total_tokens": 550}
        self._send(200, completion, cut=behaviour == "cut off")

    def _values(self, body: dict[str, Any]) -> dict[str, Any]:
        *pictures, text = body["messages"][0]["content"]
        data = base64.b64decode(pictures[0]["image_url"]["url"].partition(",")[2])
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
        return self.vlm.answer(text["text"], Image.open(io.BytesIO(data)), schema.get("properties", {}))

    def _send(self, status: int, body: object, headers: Mapping[str, str] | None = None, cut: bool = False) -> None:
        self._send_bytes(
            status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})}, cut
        )

    def _send_bytes(self, status: int, data: bytes, headers: Mapping[str, str], cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        self.wfile.flush()
        self.close_connection = cut
