"""The example pairs that the page offers; example_files/LICENSES.md says where they come from."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "example_files"
EXAMPLES = ("sepia", "negative", "brighten")
SOURCE = FOLDER / "astronaut.jpg"


def pair_files(name: str) -> tuple[Path, Path]:
    """Before and after of an example."""
    return FOLDER / f"{name}-before.jpg", FOLDER / f"{name}-after.jpg"
