"""Importing what is large: torch and diffusers make a million objects that stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def large_imports(freeze: bool = False) -> Iterator[None]:
    """Import in this block without being looked through for garbage again and again, a third of the time.

    freeze: leave all that is there by its end out of later searches too; for a process that is ours alone.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if freeze:
            gc.freeze()
        if was_on:
            gc.enable()
