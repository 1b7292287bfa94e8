"""A small hub on this machine, so that the real huggingface_hub client can be tested without a network.

It speaks the part of the hub's interface that a download needs: the listing of a revision, and `resolve` with commit,
ETag and size in headers; large files lie behind a redirect, as on the hub, and are served in ranges. It can be told to
refuse, to be slow and to break off.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin")


@dataclass
class Repo:
    """files: content by path. readers: the tokens that may read the files; None: everybody."""

    files: Mapping[str, bytes]
    commit: str = "c0ffee" + 34 * "0"
    readers: set[str] | None = None


@dataclass
class FakeHub:
    """What the server holds, how it misbehaves, and what it was asked.

    tokens: those it knows. status: what every request is answered with, where not 200. seconds: to wait before every
    answer. cuts: how often each file breaks off after `cut_at` bytes. before: called with the path before a file is
    sent.
    """

    repos: dict[str, Repo] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    status: int = 200
    seconds: float = 0.0
    cuts: dict[str, int] = field(default_factory=dict)
    cut_at: int = 0
    before: Callable[[str], None] = lambda path: None
    asked: list[str] = field(default_factory=list)
    url: str = ""
    large: str = ""  # where large files lie: another host to the client, as on the hub

    def sent(self) -> list[str]:
        """The files sent, whole or in part, in order: `path` or `path from BYTE`."""
        return [line.removeprefix("sent ") for line in self.asked if line.startswith("sent ")]


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve a hub on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    hub.url, hub.large = (f"http://{host}:{server.server_port}" for host in ("127.0.0.1", "localhost"))
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        time.sleep(self.hub.seconds)
        try:
            if self.hub.status != 200:
                self._refuse(self.hub.status)
            elif path.startswith("/api/models/"):
                self._listing(path.removeprefix("/api/models/"))
            elif path.startswith("/large/"):
                repo, _, name = path.removeprefix("/large/").partition("//")
                self._content(name, self.hub.repos[repo].files[name])
            else:
                self._resolve(path.removeprefix("/"))
        except BrokenPipeError:
            self.close_connection = True

    def _listing(self, path: str) -> None:
        name, _, revision = path.partition("/revision/")
        repo = self._repo(name, revision or "main")
        if repo:
            siblings = [_entry(path, data) for path, data in repo.files.items()]
            body = json.dumps({"id": name, "sha": repo.commit, "siblings": siblings}).encode()
            self._send(200, {"Content-Type": "application/json"}, body)

    def _resolve(self, path: str) -> None:
        name, _, rest = path.partition("/resolve/")
        revision, _, file = rest.partition("/")
        repo = self._repo(name, revision)
        if repo is None:
            return
        if repo.readers is not None and self._token() not in repo.readers:
            self._refuse(403 if self._token() else 401, "GatedRepo", "Access to model is restricted.")
        elif file not in repo.files:
            self._refuse(404, "EntryNotFound", "Entry not found")
        else:
            self._file(name, repo, file)

    def _file(self, name: str, repo: Repo, file: str) -> None:
        data = repo.files[file]
        headers = {"X-Repo-Commit": repo.commit, "ETag": f'"{_git_id(data)}"'}
        if file.endswith(LARGE):
            linked = {"X-Linked-Size": str(len(data)), "X-Linked-ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
            self._send(302, headers | linked | {"Location": f"{self.hub.large}/large/{name}//{file}"}, b"")
        elif self.command == "HEAD":
            self._send(200, headers, data)
        else:
            self._content(file, data, headers)

    def _repo(self, name: str, revision: str) -> Repo | None:
        """The repository, or None once it is refused."""
        token, repo = self._token(), self.hub.repos.get(name)
        if token and token not in self.hub.tokens:
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif repo is None:
            self._refuse(404 if token else 401, "RepoNotFound", "Repository not found")
        elif revision not in ("main", repo.commit):
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return repo
        return None

    def _content(self, name: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        """A file, from where the Range header says; broken off where it is told to."""
        self.hub.before(name)
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.hub.asked.append(f"sent {name}" + (f" from {start}" if start else ""))
        extent = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        body = data[start:]
        if self.hub.cuts.get(name, 0) > 0:
            self.hub.cuts[name] -= 1
            self._send(206 if start else 200, {**(headers or {}), **extent}, body, sent=self.hub.cut_at)
            self.close_connection = True
        else:
            self._send(206 if start else 200, {**(headers or {}), **extent}, body)

    def _token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _refuse(self, status: int, code: str = "", message: str = "") -> None:
        self._send(status, {"X-Error-Code": code, "X-Error-Message": message}, b"{}")

    def _send(self, status: int, headers: Mapping[str, str], body: bytes, sent: int | None = None) -> None:
        self.send_response(status)
        for key, value in headers.items():
            if value:
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:sent])
            self.wfile.flush()


def _entry(path: str, data: bytes) -> dict[str, object]:
    large = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    entry: dict[str, object] = {"rfilename": path, "size": len(data), "blobId": _git_id(data)}
    return entry | ({"lfs": large} if path.endswith(LARGE) else {})


def _git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
