"""What a metric is, and what it sees of a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from re import Pattern
from typing import Any

from PIL import Image

from relation_adapter.errors import UsageError
from relation_adapter.evaluate.networks import Networks
from relation_adapter.images import open_picture, resize
from relation_adapter.units import Unit, to_unit

Scores = Mapping[str, float]
Scorer = Callable[["Seen"], Scores]


class Seen:
    """The pictures of one row, each opened when a metric first asks for it."""

    def __init__(self, paths: Mapping[str, Path | None]) -> None:
        self.paths = paths

    def path(self, name: str) -> Path:
        """Where before, after, source, target or output lies. Raises UsageError without one."""
        path = self.paths.get(name)
        if path is None:
            raise UsageError(f"the quad has no {name}")
        return path

    def picture(self, name: str) -> Image.Image:
        """A picture at its own size. Raises PictureError, and as `path`."""
        return open_picture(self.path(name))

    @cached_property
    def target(self) -> Unit:
        """(H, W, 3) in [0, 1]."""
        return to_unit(self.picture("target"))

    @cached_property
    def output(self) -> Unit:
        """At the target's size."""
        return self._fitted("output")

    @cached_property
    def source(self) -> Unit:
        """At the target's size."""
        return self._fitted("source")

    def _fitted(self, name: str) -> Unit:
        height, width = self.target.shape[:2]
        return to_unit(resize(self.picture(name), (width, height)))


@dataclass(frozen=True)
class Metric:
    """What it adds to a row, how that is made, and which rows can have it.

    load: makes the scorer, once a run and only where there is a row to score. how: what a number depends on beside the
    pictures; another `how` makes a score stale. network: the one that it looks through. tasks: what is found in the
    names of the tasks that it is for; None: all.
    """

    columns: tuple[str, ...]
    load: Callable[[Networks], Scorer]
    how: str
    needs_target: bool = True
    network: str | None = None
    tasks: Pattern[str] | None = None

    def told(self, networks: Networks) -> str:
        """`how`, and which weights the network has."""
        return self.how if self.network is None else f"{self.how}; {networks.told(self.network)}"

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether a row can have it."""
        of_its_tasks = self.tasks is None or self.tasks.search(row.get("task") or "") is not None
        return of_its_tasks and bool(row.get("output")) and (bool(row.get("target")) or not self.needs_target)
