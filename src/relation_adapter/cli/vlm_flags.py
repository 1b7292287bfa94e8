"""The flags of every command that asks a vision-language model."""

from __future__ import annotations

import argparse
import json
from typing import Any

from relation_adapter.cli import flags, ray_flags


def add(command: argparse.ArgumentParser) -> None:
    """The server, how hard it is asked, and what that may cost."""
    _add_server(command.add_argument_group("the server"))
    _add_limits(command.add_argument_group("how hard to ask, and what it may cost"))
    ray_flags.add(command)


def add_what(what: Any) -> None:
    """What is asked, whatever it is about."""
    what.add_argument("--prompt", type=flags.path, metavar="FILE.txt", help="your own words; default: this package's")
    what.add_argument(
        "--side", type=flags.whole(16, 4096), default=512, metavar="N", help="pixels a picture; default 512"
    )
    what.add_argument("--ask-again", action="store_true", help="ask once more for what was refused or of a wrong shape")
    what.add_argument("--dry-run", action="store_true", help="only tell what it would cost; asks and writes nothing")
    what.add_argument("--replay", action="store_true", help="use the journal alone, no server")


def _add_server(server: Any) -> None:
    server.add_argument("--vlm", required=True, metavar="NAME", help="the model, as the server calls it")
    server.add_argument("--base-url", metavar="URL", help="default: OPENAI_BASE_URL, or OpenAI's own")
    server.add_argument(
        "--reply-format",
        choices=("json_schema", "json_object", "text"),
        default="json_schema",
        help="how to ask for JSON; lower it where a server knows no schemas",
    )
    server.add_argument(
        "--request",
        action="append",
        default=[],
        type=_field,
        metavar="KEY=JSON",
        help="a further field of each request, as max_tokens=2000; null leaves one out; repeatable",
    )
    server.add_argument("--timeout", type=flags.finite(0.1), default=120, metavar="S", help="seconds; default 120")


def _add_limits(limits: Any) -> None:
    limits.add_argument(
        "--threads",
        type=flags.whole(1, 256),
        default=4,
        metavar="N",
        help="requests at once, with --ray of each worker; default 4",
    )
    limits.add_argument("--rate", type=flags.finite(0.01), metavar="N", help="requests a minute at most")
    limits.add_argument(
        "--tries", type=flags.whole(1, 100), default=6, metavar="N", help="requests a question; default 6"
    )
    limits.add_argument(
        "--first-wait",
        type=flags.finite(0.001),
        default=1,
        metavar="S",
        help="seconds before a second try, doubled for each further one, where the server asks for none; default 1",
    )
    limits.add_argument(
        "--budget",
        type=_budget,
        default={},
        metavar="KIND=N,...",
        help="the most to spend in all, as requests=1000,tokens=2e6,money=5; all that the journal holds counts",
    )
    limits.add_argument("--price", type=_price, metavar="IN,OUT", help="money for a million tokens in and out")


def _field(text: str) -> tuple[str, Any]:
    key, value = flags.assignment(text).split("=", 1)
    try:
        return key.strip(), json.loads(value)
    except ValueError:
        return key.strip(), value


def _budget(text: str) -> dict[str, float]:
    budget: dict[str, float] = {}
    for part in text.split(","):
        kind, _, number = part.partition("=")
        if kind not in ("requests", "tokens", "money"):
            raise argparse.ArgumentTypeError(f"{part!r}: write requests=N, tokens=N or money=N")
        budget[kind] = flags.finite(0)(number)
    return budget


def _price(text: str) -> tuple[float, float]:
    numbers = [flags.finite(0)(part) for part in text.split(",")]
    if len(numbers) != 2:
        raise argparse.ArgumentTypeError(f"{text!r}: write two numbers, of tokens in and out, as 2.5,10")
    return numbers[0], numbers[1]
