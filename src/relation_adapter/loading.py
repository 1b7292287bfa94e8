"""Checkpoints of other projects, opened by their own libraries: what goes wrong is one line, and all else is silent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relation_adapter.errors import WeightsError
from relation_adapter.files import reason


@contextmanager
def unusable(path: Path) -> Iterator[None]:
    """Turn whatever libraries raise on damaged or foreign files into a WeightsError; what memory lacks passes."""
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, WeightsError):
        raise
    except Exception as error:  # files that are damaged or of another kind make libraries raise anything
        raise WeightsError(f"{path}: cannot be loaded ({reason(error)}); download it again") from error


@contextmanager
def silent() -> Iterator[None]:
    """Without transformers' report of the halves of a checkpoint that are left out."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
