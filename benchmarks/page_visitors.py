"""Visitors of the page at once: whether each gets its own pictures, how long it takes, whether memory stays flat.

    python benchmarks/page_visitors.py [--visitors 20] [--seconds 120] [--most 3] [--heavy 12] [--seed 0]

A server of its own, with `mini`. Every visitor uploads a pair and from 1 to `--most` sources of a size and a colour
that nobody else has, presses Edit, downloads what comes of it, checks it, and begins again; the first one brings
`--heavy` sources every time. JSON lines, then the table.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from page_client import PageClient
from PIL import Image

PAIR = [Path(__file__).parents[1] / "examples" / "pairs" / "negative" / f"{side}.jpg" for side in ("before", "after")]
FAR = 45  # of 255, from the negative of the source: mini is not exact, and a neighbour's picture is farther
SETTLE_SECONDS = 20  # from the start, before memory is compared


@dataclass(frozen=True)
class Edit:
    """One edit of one visitor."""

    visitor: int
    sources: int
    seconds: float
    outcome: str  # right, crossed, lost, refused


def main() -> None:
    options = _options()
    port = _free_port()
    command = [sys.executable, "-m", "relation_adapter", "ui", "--port", str(port), "--queue", str(options.queue)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}/"
        _wait_for(url)
        edits, memory = visit(url, server.pid, options)
    finally:
        server.terminate()
        server.wait(30)
    for edit in edits:
        print(json.dumps(asdict(edit)))
    print(json.dumps({"memory_mib": memory} | vars(options)))
    print(table(edits, memory, options))


def visit(url: str, process: int, options: argparse.Namespace) -> tuple[list[Edit], list[int]]:
    """All edits of all visitors, and the server's memory in MiB every second."""
    end, edits, memory = time.monotonic() + options.seconds, [], []  # type: ignore[var-annotated]
    threads = [
        threading.Thread(target=one_visitor, args=(url, number, end, options, edits))
        for number in range(options.visitors)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        memory.append(psutil.Process(process).memory_info().rss >> 20)
        time.sleep(1)
    return edits, memory


def one_visitor(url: str, number: int, end: float, options: argparse.Namespace, edits: list[Edit]) -> None:
    drawn, client = random.Random(f"{options.seed} {number}"), PageClient(url)
    while time.monotonic() < end:
        count = drawn.randint(1, options.most) if number else options.heavy
        sources = [_source(number, index) for index in range(count)]
        start = time.monotonic()
        outcome = one_edit(client, sources)
        edits.append(Edit(number, count, round(time.monotonic() - start, 3), outcome))
        if outcome == "refused":
            time.sleep(1)


def one_edit(client: PageClient, sources: list[Image.Image]) -> str:
    """Upload, edit, download, check."""
    files = [(f"{index}.png", _png(source)) for index, source in enumerate(sources)]
    before, after, *dropped = client.upload(*((path.name, path.read_bytes()) for path in PAIR), *files)
    told = client.edit(before, after, dropped)
    if "wait already" in told or "queue is full" in told.lower():
        return "refused"
    archives = client.files(told, ".zip")
    if not archives:
        return "lost"
    with zipfile.ZipFile(io.BytesIO(client.http.get(archives[-1]).content)) as archive:
        found = [archive.read(f"{index}.png") for index in range(len(sources)) if f"{index}.png" in archive.namelist()]
    if len(found) < len(sources):
        return "lost"
    right = [_is_of(Image.open(io.BytesIO(data)), source) for data, source in zip(found, sources, strict=True)]
    return "right" if all(right) else "crossed"


def _source(visitor: int, index: int) -> Image.Image:
    """A picture that no other visitor has: its size tells the visitor, its colour the source."""
    colour = [40 + 37 * visitor % 170, 40 + 61 * (visitor + index) % 170, 40 + 97 * (visitor + 2 * index) % 170]
    return Image.new("RGB", (120 + visitor, 90 + index), tuple(colour))


def _is_of(result: Image.Image, source: Image.Image) -> bool:
    """Whether a result is about the negative of a source."""
    if result.size != source.size:
        return False
    mean, wanted = (np.asarray(one, float).mean(axis=(0, 1)) for one in (result, source))
    return bool(np.abs(mean - (255 - wanted)).max() < FAR)


def table(edits: list[Edit], memory: list[int], options: argparse.Namespace) -> str:
    """What a person wants to know of it."""
    done = [edit for edit in edits if edit.outcome != "refused"]
    outcomes = Counter(edit.outcome for edit in edits)
    pictures = sum(edit.sources for edit in done if edit.outcome == "right")
    lines = ["", "| sources | edits | p50, s | p90, s | p99, s | longest, s |", "|---|---|---|---|---|---|"]
    for count in (*range(1, options.most + 1), options.heavy, "all"):
        seconds = [edit.seconds for edit in done if count in (edit.sources, "all")]
        if seconds:
            parts = " | ".join(f"{value:.1f}" for value in (*np.percentile(seconds, [50, 90, 99]), max(seconds)))
            lines.append(f"| {count} | {len(seconds)} | {parts} |")
    each = [sum(edit.sources for edit in done if edit.visitor == number) for number in range(options.visitors)]
    settled = memory[min(SETTLE_SECONDS, len(memory) - 1) :]
    wrong = ", ".join(f"{outcomes[name]} {name}" for name in ("crossed", "lost", "refused"))
    lines += [
        "",
        f"{options.visitors} visitors, {options.seconds} s: {len(edits)} edits, {pictures} pictures right; {wrong}; "
        f"{min(each)} to {max(each)} pictures a visitor",
        f"memory of the server, MiB: {memory[0]} at first, {settled[0]} after {SETTLE_SECONDS} s, {max(memory)} at "
        f"most, {memory[-1]} at the end",
    ]
    return "\n".join(lines)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait_for(url: str) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            answer: Any = httpx.get(f"{url}health").json()
            if answer["ready"]:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise SystemExit("the server did not come up")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--most", type=int, default=3, help="sources of one edit")
    parser.add_argument("--heavy", type=int, default=12, help="sources of every edit of the first visitor")
    parser.add_argument("--queue", type=int, default=32, help="edits that the server takes at once")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
