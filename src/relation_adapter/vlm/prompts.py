"""Prompts are text files; an answer is worth nothing without the words it answers, so their hash is kept beside it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from relation_adapter.errors import UsageError
from relation_adapter.files import reason

FOLDER = Path(__file__).parent / "prompts"


@dataclass(frozen=True)
class Prompt:
    """The text of a prompt; `{words}` in braces are filled in by `with_words`. sha256: of the file's bytes."""

    name: str
    text: str
    sha256: str

    def with_words(self, **words: str) -> str:
        """The text with each `{word}` replaced; other braces stay, as a prompt may show JSON."""
        text = self.text
        for word, value in words.items():
            text = text.replace(f"{{{word}}}", value)
        return text


def load_prompt(name: str | os.PathLike[str]) -> Prompt:
    """A prompt of this package by its name, or one of your own by its path. Raises UsageError."""
    path = FOLDER / f"{name}.txt" if isinstance(name, str) else Path(name)
    try:
        data = path.read_bytes()
        text = data.decode("utf-8").strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not a prompt ({reason(error)}); give a text file in UTF-8") from error
    if not text:
        raise UsageError(f"{path}: holds no prompt; write what the model is to do")
    return Prompt(path.stem, text, hashlib.sha256(data).hexdigest())
