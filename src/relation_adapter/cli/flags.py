"""What the values of flags may be; argparse turns each refusal into its message and exit code 2."""

from __future__ import annotations

import math
import os
import re
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from relation_adapter.errors import UsageError

MAX_SEED = 2**63 - 1  # the largest that torch takes
GO_ON = "what is written stays; run the same command again to go on"

Command = Callable[..., Callable[[Namespace], int]]  # by its module's name, the function that runs a command


@dataclass(frozen=True)
class RelationFile:
    """A relation file and its weight among all relations of an edit."""

    path: Path
    strength: float = 1.0


@dataclass(frozen=True)
class Lora:
    """A LoRA and its weight: a file, a place on the hub, or `editor`, the one that the model comes with."""

    name: str
    weight: float = 1.0


def path_text(text: str) -> str:
    """A path as written, a slash at its end kept. Empty text, as from an unset variable, is not the current folder."""
    if not text.strip() or "\0" in text:
        raise ArgumentTypeError(f"{text!r} is not a path")
    return text


def path(text: str) -> Path:
    """A path."""
    return Path(path_text(text))


def size(text: str) -> tuple[int, int] | str:
    """(width, height) in pixels from `64x64`, or the words `own` and `native`."""
    from relation_adapter.images import parse_size  # --help must not wait for Pillow

    try:
        return parse_size(text)
    except UsageError as error:
        raise ArgumentTypeError(str(error)) from error


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number from low to high."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,19}", text):
            raise ArgumentTypeError(f"{text!r} is not a whole number")
        if not low <= int(text) <= high:
            raise ArgumentTypeError(f"{text} is not from {low} to {high}")
        return int(text)

    return parse


def finite(low: float = -math.inf) -> Callable[[str], float]:
    """A number, not nan and not infinite, from low up."""

    def parse(text: str) -> float:
        number = _number(text)
        if number is None or not math.isfinite(number):
            raise ArgumentTypeError(f"{text!r} is not a finite number")
        if number < low:
            raise ArgumentTypeError(f"{text} is below {low:g}")
        return number

    return parse


def relation_file(text: str) -> RelationFile:
    """`FILE` or `FILE:STRENGTH`."""
    head, strength = _weighted(text, "FILE:STRENGTH", "look.safetensors:0.5")
    return RelationFile(Path(head), strength)


def lora(text: str) -> Lora:
    """`FILE`, a place on the hub or `editor`, each alone or with `:WEIGHT`; or `none`."""
    return Lora(*_weighted(text, "FILE:WEIGHT", "mine.safetensors:0.5"))


def _weighted(text: str, form: str, example: str) -> tuple[str, float]:
    r"""A file and its weight. A colon inside a path (`C:\look.safetensors`) is part of the path."""
    head, colon, tail = path_text(text).rpartition(":")
    if not colon or os.path.lexists(text):
        return text, 1.0
    number = _number(tail)
    if number is None and tail and re.search(r"[/\\.]", tail):
        return text, 1.0
    if not head or number is None or not math.isfinite(number):
        raise ArgumentTypeError(f"{text!r}: write FILE or {form} with a finite number, as {example}")
    return head, number


def strengths(text: str) -> float | tuple[float, ...]:
    """One number, or one per block with commas between them."""
    numbers = tuple(finite()(part) for part in text.split(","))
    return numbers if len(numbers) > 1 else numbers[0]


def part_of_steps(text: str) -> tuple[float, float]:
    """`FROM:TO`, both in [0, 1]."""
    first, last = (_number(part) for part in ([*text.split(":"), "", ""])[:2])
    if text.count(":") != 1 or first is None or last is None or not 0 <= first < last <= 1:
        raise ArgumentTypeError(f"{text!r}: write FROM:TO with 0 <= FROM < TO <= 1, as 0:0.5")
    return first, last


def assignment(text: str) -> str:
    """`key=value`, unchanged."""
    if not text.partition("=")[0].strip() or "=" not in text:
        raise ArgumentTypeError(f"{text!r}: write it as key=value")
    return text


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
