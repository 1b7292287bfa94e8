"""The seam every editor stands behind: ours, every baseline, and the fake of the tests.

A request carries pictures, an editor returns a picture. Nothing here knows tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from PIL import Image

Pair = tuple[Image.Image, Image.Image]


@dataclass(frozen=True)
class EditRequest:
    """One edit to make.

    pairs: one or more (before, after) pictures that show the relation.
    source: the picture to edit, any size, RGB.
    instruction: optional text that says what the edit is.
    seed: the only source of randomness.
    """

    pairs: Sequence[Pair]
    source: Image.Image
    instruction: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class EditResult:
    """The edited picture, the size of the source unless the editor was told otherwise."""

    image: Image.Image
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)


@runtime_checkable
class Editor(Protocol):
    """Anything that maps (pairs, source, instruction) to a picture."""

    @property
    def name(self) -> str:
        """What rows and reports call it."""
        ...

    def edit(self, request: EditRequest) -> EditResult:
        """Make the edit that the pairs show on the source."""
        ...


def begin(editor: Editor, request: EditRequest) -> Callable[[], EditResult]:
    """Make an edit as far as it needs the editor's model; what this returns completes it, in any thread.

    An editor that can tell the two apart has a method `begin`; any other is through with the edit by now. Raises what
    the editor does.
    """
    own: Callable[[EditRequest], Callable[[], EditResult]] | None = getattr(editor, "begin", None)
    if own is not None:
        return own(request)
    result = editor.edit(request)
    return lambda: result


@dataclass(frozen=True)
class FunctionEditor:
    """An editor made of one function of the request; the fake of the tests, and the door for simple baselines."""

    function: Callable[[EditRequest], Image.Image]
    name: str = "function"

    def edit(self, request: EditRequest) -> EditResult:
        """Call the function; `seconds` is left at zero."""
        return EditResult(self.function(request), seconds=0.0)
