"""Faster edits that are not quite the exact ones; docs/speed.md has what they save and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import TaylorSeerCacheConfig

from relation_adapter.errors import UsageError

# Of 24 steps 12 are computed: the first six, then every third; between them the last two tell where the flow goes.
FULL_STEPS, INTERVAL = 6, 3


def cache_config(dtype: torch.dtype) -> TaylorSeerCacheConfig:
    """Of the transformer's output alone: the blocks do not run at all where it is foreseen."""
    return TaylorSeerCacheConfig(INTERVAL, FULL_STEPS, max_order=1, taylor_factors_dtype=dtype, use_lite_mode=True)


class Fast:
    """The part of a `RelationPipeline` that trades exactness for time."""

    transformer: Any
    _fast: bool = False

    def enable_fast(self) -> None:
        """Edit faster, and not quite exactly, until `disable_fast`.

        After FULL_STEPS a run computes every INTERVAL-th velocity and tells the others from the two before (TaylorSeer,
        Liu et al. 2025, arXiv 2503.06923). One of fewer steps is as exact as ever. Raises UsageError where the
        transformer has a cache of the caller's.
        """
        self._refuse_a_cache()
        self._fast = True

    def disable_fast(self) -> None:
        """Edit exactly again."""
        self._fast = False

    @contextmanager
    def _foreseeing(self, steps: int) -> Iterator[None]:
        """The transformer as a run of so many steps wants it, for the run alone: others may use it, too."""
        if not self._fast or steps <= FULL_STEPS:
            yield
            return
        self._refuse_a_cache()
        self.transformer.enable_cache(cache_config(self.transformer.dtype))
        try:
            yield
        finally:
            self.transformer.disable_cache()

    def _refuse_a_cache(self) -> None:
        if self.transformer.is_cache_enabled:
            raise UsageError("the transformer has a cache already; call its disable_cache first, or leave fast out")
