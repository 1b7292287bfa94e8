"""The components of the page, and where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio import component_meta


@contextmanager
def _no_stubs() -> Iterator[None]:
    """For classes made of the library's components: beside the module of each it would write a file of stubs."""
    write = component_meta.create_or_modify_pyi
    component_meta.create_or_modify_pyi = lambda *_: None
    try:
        yield
    finally:
        component_meta.create_or_modify_pyi = write


class FromDisk:
    """A component that takes files which were uploaded here, and fetches none from elsewhere."""

    async def async_move_resource_to_block_cache(self, path: Any) -> str | None:
        """The path, once it is known to be one. Raises gradio's Error on an address of the web."""
        if "://" in str(path):
            raise gr.Error("give the file itself, not an address of the web", print_exception=False)
        moved: str | None = await super().async_move_resource_to_block_cache(path)  # type: ignore[misc]
        return moved


with _no_stubs():

    class Picture(FromDisk, gr.Image):
        """A picture as the path of its file: nothing but our own code opens it."""

        def get_block_name(self) -> str:
            """What it is to the browser."""
            return "image"

        def preprocess(self, payload: Any) -> Any:
            """The path, as it came."""
            return None if payload is None else payload.path

    class Pictures(FromDisk, gr.Gallery):
        """Pictures as the paths of their files; what is no picture says so when it is opened."""

        def get_block_name(self) -> str:
            """What it is to the browser."""
            return "gallery"

        def preprocess(self, payload: Any) -> Any:
            """The paths, as they came."""
            media = [] if payload is None else payload.root
            return [str((one.image if hasattr(one, "image") else one.video).path) for one in media]

    class Files(FromDisk, gr.File):
        """Files as their paths."""

        def get_block_name(self) -> str:
            """What it is to the browser."""
            return "file"

        def preprocess(self, payload: Any) -> Any:
            """The paths, as they came."""
            return [] if payload is None else [one.path for one in payload.root]


@dataclass(frozen=True)
class Parts:
    """The components that something happens to. pairs: (row, before, after)."""

    pairs: list[tuple[Any, Any, Any]]
    count: Any
    more: Any
    examples: list[Any]
    sources: Any
    edit: Any
    cancel: Any
    strength: Any
    steps: Any
    size: Any
    seed: Any
    random: Any
    instruction: Any
    relations: Any
    weights: list[Any]
    status: Any
    figure: Any
    results: Any
    history: Any

    @property
    def pictures(self) -> list[Any]:
        """Before and after of all pairs in turn."""
        return [picture for _, before, after in self.pairs for picture in (before, after)]

    @property
    def rows(self) -> list[Any]:
        """How many pairs are seen, as `desk.rows_of` gives it."""
        return [self.count, *(row for row, _, _ in self.pairs), self.more]

    @property
    def settings(self) -> list[Any]:
        """In the order of `actions.SETTINGS`."""
        return [self.strength, self.steps, self.size, self.seed, self.random, self.instruction]

    @property
    def form(self) -> list[Any]:
        """All that an edit is made of."""
        return [*self.pictures, self.sources, *self.settings, self.relations, *self.weights]
