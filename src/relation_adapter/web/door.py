"""What every request passes before anything reads it: is it meant for this server, and is it small enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from relation_adapter.web.limits import MIB
from relation_adapter.web.studio import Studio

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
UPLOADS = "/upload"
# Of the library below: fetches addresses of the web for the caller, keeps runs of all visitors. The page needs none.
CLOSED = ("/proxy=", "/file=http", "/run-history", "/deep_link", "/monitoring", "/process_recording", "/vibe")


class Door:
    """Middleware: refuses what no page of this server sends.

    hosts: the names of this machine, where the server is for it alone: a request for another name comes from a page
    elsewhere whose name was pointed here.
    """

    def __init__(self, app: Any, studio: Studio, hosts: set[str] | None) -> None:
        self.app, self.studio, self.hosts = app, studio, hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on, or answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, path = Headers(scope=scope), str(scope["path"])
        if (answer := self._refusal(scope["method"], path, headers)) is not None:
            await answer(scope, receive, send)
            return
        if scope["method"] in ("POST", "PUT", "PATCH"):
            receive = _bounded(receive, self.studio.limits.request_bytes)
        await self.app(scope, receive, send)

    def _refusal(self, method: str, path: str, headers: Headers) -> JSONResponse | None:
        host, origin = _name(f"//{headers.get('host', '')}"), headers.get("origin")
        if self.hosts is not None and host not in self.hosts:
            return _answer(403, f"host {host[:80]!r}: this page is for this machine alone; open it as 127.0.0.1")
        if method not in ("GET", "HEAD", "OPTIONS") and origin is not None and _name(origin) != host:
            return _answer(403, "a page of another site asked for this; it is refused")
        if any(f"/gradio_api{closed}" in path or path.startswith(closed) for closed in CLOSED):
            return _answer(404, "not here")
        if method == "POST" and _length(headers) > self.studio.limits.request_bytes:
            return _answer(413, _too_much(self.studio.limits.request_bytes))
        if method == "POST" and path.endswith((UPLOADS, "/api/edit")) and self.studio.visits.is_full():
            return _answer(507, "the disk of this server is full; try again later")
        return None


def _answer(code: int, text: str) -> JSONResponse:
    return JSONResponse({"error": text, "detail": text}, code)


def _too_much(most: int) -> str:
    return f"more than {most // MIB} MiB at once; give fewer, or smaller files"


def _name(address: str) -> str:
    """The host's name of an address, without its port."""
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isdecimal() else 0


def _bounded(receive: Callable[[], Any], most: int) -> Callable[[], Any]:
    """`receive` that ends where a body without a length grows too large."""
    total = 0

    async def bounded() -> Any:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > most:
            raise HTTPException(413, _too_much(most))
        return message

    return bounded
