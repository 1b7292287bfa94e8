"""Files that are broken, hostile or odd, by name; written into a folder for tests."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from samples import noise


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def claimed(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims a size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(100))
    chunks = [
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (header, data)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def corrupt() -> bytes:
    data = bytearray(encoded(noise(64, 64)))
    data[200:260] = bytes(60)
    return bytes(data)


def exif_rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(noise(12, 8), "JPEG", exif=exif)


def animated() -> bytes:
    return encoded(noise(12, 8), "GIF", save_all=True, append_images=[noise(12, 8, 1), noise(12, 8, 2)])


PICTURES: dict[str, Callable[[], bytes]] = {
    "good.png": lambda: encoded(noise(12, 8)),
    "wide.png": lambda: encoded(noise(20, 8)),
    "corrupt.png": corrupt,
    "truncated.jpg": lambda: encoded(noise(64, 64), "JPEG")[:900],
    "empty.png": lambda: b"",
    "text.png": lambda: b"This is no picture.",
    "large.png": lambda: claimed(11_000, 10_000),
    "bomb.png": lambda: claimed(50_000, 50_000),
    "animated.gif": animated,
    "cmyk.jpg": lambda: encoded(noise(12, 8).convert("CMYK"), "JPEG"),
    "sixteen.png": lambda: encoded(Image.fromarray(np.full((8, 12), 40_000, np.uint16))),
    "palette.png": lambda: encoded(noise(12, 8).quantize(16)),
    "transparent.png": lambda: encoded(Image.new("RGBA", (12, 8), (255, 0, 0, 0))),
    "rotated.jpg": exif_rotated,
    "dot.png": lambda: encoded(noise(1, 1)),
    "strip.png": lambda: encoded(Image.new("RGB", (20_000, 20), "teal")),
}


def quad(**changes: object) -> bytes:
    values = {"before": "good.png", "after": "good.png", "source": "good.png"} | changes
    return json.dumps({key: value for key, value in values.items() if value is not None}).encode() + b"\n"


QUADS: dict[str, bytes] = {
    "broken.jsonl": quad() + b'{"before": "good.png", "aft\n',
    "unknown.jsonl": quad(sorce="good.png"),
    "lacking.jsonl": quad(after=None),
    "absolute.jsonl": quad(source="/etc/passwd"),
    "outside.jsonl": quad(source="../../secret.png"),
    "category.jsonl": quad(category="editng"),
    "number.jsonl": quad(source=3),
    "latin.jsonl": quad() + '{"before": "für.png"}'.encode("latin-1"),
    "nothing.jsonl": b"\n",
}


def write_all(folder: Path) -> None:
    for name, make in PICTURES.items():
        (folder / name).write_bytes(make())
    for name, data in QUADS.items():
        (folder / name).write_bytes(data)
