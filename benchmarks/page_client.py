"""A visitor of the page without a browser: what a browser sends for a drop and a press, over plain HTTP.

The page's own calls are no interface for programs, which have POST /api/edit; this is for measuring, and for attacks.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

import httpx

FILES = re.compile(r"visit/[\w-]{32}/[\w.-]+")


class PageClient:
    """One session of the page at `url`."""

    def __init__(self, url: str, timeout: float = 300) -> None:
        self.http = httpx.Client(base_url=url, timeout=timeout)
        self.session = secrets.token_hex(8)
        self.config = self.http.get("config").json()
        parts = {part["props"].get("elem_id"): part for part in self.config["components"]}
        self.parts = {name: part["id"] for name, part in parts.items() if name}
        self.values = {part["id"]: part["props"].get("value") for part in self.config["components"]}

    def upload(self, *files: tuple[str, bytes]) -> list[dict[str, Any]]:
        """Files as the page names them after an upload."""
        answer = self.http.post("gradio_api/upload", files=[("files", file) for file in files])
        answer.raise_for_status()
        named = zip(answer.json(), files, strict=True)
        return [{"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}} for path, (name, _) in named]

    def press(self, part: str, event: str = "click", **given: Any) -> Iterator[dict[str, Any]]:
        """All messages of an event of a part; given: values of parts, `-` written as `_`."""
        number = self.parts[part]
        (call,) = [one for one in self.config["dependencies"] if [number, event] in one["targets"]]
        values = self.values | {self.parts[name.replace("_", "-")]: value for name, value in given.items()}
        body = {"data": [values[part] for part in call["inputs"]], "fn_index": call["id"], "session_hash": self.session}
        answer = self.http.post("gradio_api/queue/join", json=body)
        if answer.status_code == 503:
            yield {"msg": "process_completed", "success": False, "output": answer.json()}
            return
        answer.raise_for_status()
        with self.http.stream("GET", "gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    message = json.loads(line[5:])
                    yield message
                    if message["msg"] in ("process_completed", "close_stream"):
                        return

    def edit(self, before: Any, after: Any, sources: Sequence[Any], **given: Any) -> str:
        """Make an edit; the text of all messages, with links to what came of it."""
        gallery = [{"image": source, "caption": None} for source in sources]
        pictures = {"before_1": before, "after_1": after, "sources": gallery}
        return "\n".join(json.dumps(message) for message in self.press("edit", **pictures, **given))

    def files(self, text: str, suffix: str) -> list[str]:
        """The links in messages to files with a suffix, in order, each once."""
        return list(dict.fromkeys(link for link in FILES.findall(text) if link.endswith(suffix)))
