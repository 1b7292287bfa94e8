"""The components of the page, and where they stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr


def picture(**options: Any) -> Any:
    """A picture that is dropped, as the path of its file: nothing but our own code opens it."""
    return _from_disk(gr.Image(**options), lambda payload: payload and payload.path)


def pictures(**options: Any) -> Any:
    """Pictures as the paths of their files; what is no picture says so when it is opened."""
    return _from_disk(
        gr.Gallery(**options), lambda payload: [_media(one).path for one in payload.root] if payload else []
    )


def files(**options: Any) -> Any:
    """Files as their paths."""
    return _from_disk(gr.File(**options), lambda payload: [one.path for one in payload.root] if payload else [])


def _media(one: Any) -> Any:
    return one.image if hasattr(one, "image") else one.video


def _from_disk(component: Any, read: Callable[[Any], Any]) -> Any:
    """The component, taking files that were uploaded here and fetching none from elsewhere.

    Set on the object: the library writes a file beside the module of every class that is made of its own. So no
    handler may change anything but the value of such a component; a change of its looks would make it anew.
    """
    move = component.async_move_resource_to_block_cache

    async def move_from_disk(path: Any) -> str | None:
        if "://" in str(path):
            raise gr.Error("give the file itself, not an address of the web", print_exception=False)
        moved: str | None = await move(path)
        return moved

    component.preprocess = read
    component.async_move_resource_to_block_cache = move_from_disk
    return component


@dataclass(frozen=True)
class Parts:
    """The components that something happens to. pairs: (row, before, after)."""

    pairs: list[tuple[Any, Any, Any]]
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
    def settings(self) -> list[Any]:
        """In the order of `actions.SETTINGS`."""
        return [self.strength, self.steps, self.size, self.seed, self.random, self.instruction]

    @property
    def form(self) -> list[Any]:
        """All that an edit is made of."""
        return [*self.pictures, self.sources, *self.settings, self.relations, *self.weights]
