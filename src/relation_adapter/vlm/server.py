"""One request to an OpenAI-compatible server, and what its refusals mean.

The client's own retries are off: every request is to be counted, and a wait that the server asks for is meant for all.
"""

from __future__ import annotations

import base64
import io
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from PIL import Image

from relation_adapter.errors import MissingExtraError, UsageError, VlmError
from relation_adapter.vlm.schema import Schema
from relation_adapter.vlm.spending import Spent

ReplyFormat = Literal["json_schema", "json_object", "text"]

JPEG_QUALITY = 90
PATCH = 28  # px: a token is a square of about this size to the models of today that say so
REFUSAL_CODES = ("content_filter", "content_policy_violation", "moderation_blocked")


@dataclass(frozen=True)
class ServerOptions:
    """Which model of which server. base_url: None for OpenAI's, or what OPENAI_BASE_URL says.

    timeout: seconds without a byte. reply_format: how the server is asked for JSON; the reply is checked in any case.
    request: further fields of the request, as {"temperature": 0.2}; None leaves out one of ours.
    """

    model: str
    base_url: str | None = None
    timeout: float = 120.0
    reply_format: ReplyFormat = "json_schema"
    request: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """What the model said. finish: "stop", or why it ended. model: what the server calls itself."""

    text: str
    finish: str
    refusal: str | None
    model: str
    spent: Spent

    def counted(self, likely: Spent) -> Reply:
        """With tokens by guess where the server counts none."""
        if self.spent.tokens:
            return self
        return replace(self, spent=Spent(1, likely.input_tokens, len(self.text) // 3 + 1))


class Passing(Exception):  # noqa: N818
    """A failure that may pass: too many requests, a server's fault, no reply in time. wait: seconds the server asks."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


class Rejected(Exception):  # noqa: N818
    """The server does not take this very request. refusal: because of what it shows."""

    def __init__(self, why: str, refusal: bool) -> None:
        super().__init__(why)
        self.refusal = refusal


class Server:
    """An OpenAI-compatible server; may be shared by threads."""

    def __init__(self, options: ServerOptions, key: str | None = None) -> None:
        """key: default OPENAI_API_KEY; a server of your own may need none. Raises MissingExtraError, UsageError."""
        try:
            import openai
        except ImportError as error:
            raise MissingExtraError(
                "asking a model needs the openai client; pip install 'relation-adapter[vlm]'"
            ) from error
        base_url = options.base_url or os.environ.get("OPENAI_BASE_URL") or None
        key = key or os.environ.get("OPENAI_API_KEY") or ("none" if base_url else None)
        if key is None:
            raise UsageError("OPENAI_API_KEY is not set; set it, or give the --base-url of a server that needs none")
        if base_url is not None and not base_url.startswith(("http://", "https://")):
            raise UsageError(f"--base-url {base_url!r} is no address; write it as http://localhost:8000/v1")
        self.options, self._openai = options, openai
        self._place = base_url or "OpenAI"
        self._client = openai.OpenAI(api_key=key, base_url=base_url, timeout=options.timeout, max_retries=0)

    def send(self, images: Sequence[Image.Image], text: str, schema: Schema) -> Reply:
        """Send one request. Raises Passing, Rejected, and VlmError where no request can succeed."""
        body = self._body(images, text, schema)
        try:
            data = self._client.chat.completions.with_raw_response.create(**body).http_response.content
        except self._openai.APIStatusError as error:
            raise self._meaning(error) from error
        except self._openai.APITimeoutError as error:
            raise Passing(f"no reply within {self.options.timeout:g} s") from error
        except self._openai.APIConnectionError as error:
            raise Passing(f"{self._place}: {_one_line(error.__cause__ or error)}") from error
        try:
            return _reply(json.loads(data))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
            raise Passing(f"{self._place}: {_complaint(data)}") from error

    def _body(self, images: Sequence[Image.Image], text: str, schema: Schema) -> dict[str, Any]:
        pictures = [{"type": "image_url", "image_url": {"url": _data_url(image)}} for image in images]
        body: dict[str, Any] = {"temperature": 0, "max_tokens": 1000} | dict(self.options.request)
        shape = {"type": self.options.reply_format}
        if self.options.reply_format == "json_schema":
            body["response_format"] = shape | {"json_schema": {"name": "reply", "strict": True, "schema": schema}}
        elif self.options.reply_format == "json_object":
            body["response_format"] = shape
        return {
            "model": self.options.model,
            "messages": [{"role": "user", "content": [*pictures, {"type": "text", "text": text}]}],
            "extra_body": {name: value for name, value in body.items() if value is not None},
        }

    def _meaning(self, error: Any) -> Exception:
        status, code, why = error.status_code, str(error.code or ""), f"{error.status_code}: {_one_line(error)}"
        if status == 401:
            return VlmError(f"{self._place} does not take the key ({why}); set OPENAI_API_KEY to a valid one")
        if status in (402, 403) or code == "insufficient_quota":
            return VlmError(f"{self._place} gives no access ({why}); see to the account, then run the same again")
        if status == 404:
            return VlmError(
                f"{self._place} has no model {self.options.model!r} at this address ({why}); check --vlm and --base-url"
            )
        if status in (408, 409, 425, 429) or status >= 500:
            return Passing(why, _retry_after(error.response.headers))
        if status in (400, 422) and self.options.reply_format != "text":
            why += "; where it knows no schemas, try another --reply-format"
        return Rejected(why, code in REFUSAL_CODES)


def likely_cost(sizes: Sequence[tuple[int, int]], text: str, options: ServerOptions) -> Spent:
    """What one request may cost: a guess for the pictures, the most for the reply. sizes: (width, height) in pixels."""
    pictures = sum(-(-width // PATCH) * -(-height // PATCH) for width, height in sizes)
    most = next(
        (options.request[name] for name in ("max_completion_tokens", "max_tokens") if options.request.get(name)), 1000
    )
    return Spent(1, pictures + len(text) // 3 + 50, int(most))


def _reply(completion: Mapping[str, Any]) -> Reply:
    choice, usage = completion["choices"][0], completion.get("usage") or {}
    message = choice["message"]
    content = message.get("content") or ""
    if not isinstance(content, str):
        raise TypeError("content is no text")
    spent = Spent(1, int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
    refusal = message.get("refusal") or None
    return Reply(content, choice.get("finish_reason") or "", refusal, str(completion.get("model")), spent)


def _complaint(data: bytes) -> str:
    """Why a reply is none: routers of several servers answer 200 with the error of the one behind them."""
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        return _one_line(json.loads(data)["error"]["message"])
    return "the reply is no chat completion; is the address right?"


def _data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from `Retry-After-Ms` or `Retry-After` as a number or a date; None where there is none to be read."""
    try:
        if headers.get("retry-after-ms"):
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        text = headers.get("retry-after") or ""
        if text.replace(".", "", 1).isdigit():
            return float(text)
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _one_line(error: object) -> str:
    text = " ".join(str(getattr(error, "message", "") or error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
