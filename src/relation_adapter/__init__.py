"""Edit pictures by example: show one picture before and after an edit, get the same edit on others.

The public names are looked up when they are first used: importing the package alone loads neither torch nor Pillow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from relation_adapter.importing import large_imports

if TYPE_CHECKING:
    from relation_adapter.data.schema import Quad, read_quads, write_quads
    from relation_adapter.editor import Editor, EditRequest, EditResult, FunctionEditor
    from relation_adapter.model.adapter import RelationAdapter
    from relation_adapter.model.codec import PixelCodec
    from relation_adapter.pipeline import RelationEditor, RelationPipeline
    from relation_adapter.relation import Relation

    __version__: str

__all__ = [
    "EditRequest",
    "EditResult",
    "Editor",
    "FunctionEditor",
    "PixelCodec",
    "Quad",
    "Relation",
    "RelationAdapter",
    "RelationEditor",
    "RelationPipeline",
    "__version__",
    "read_quads",
    "write_quads",
]

# diffusers looks the classes of a saved pipeline's parts up on the top package: PixelCodec and RelationAdapter.
_HOMES = {
    "EditRequest": "editor",
    "EditResult": "editor",
    "Editor": "editor",
    "FunctionEditor": "editor",
    "PixelCodec": "model.codec",
    "Quad": "data.schema",
    "Relation": "relation",
    "RelationAdapter": "model.adapter",
    "RelationEditor": "pipeline",
    "RelationPipeline": "pipeline",
    "read_quads": "data.schema",
    "write_quads": "data.schema",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value = _version()
    elif name in _HOMES:
        with large_imports():
            value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    """The version of the installed package; a source folder that is merely on the path has none."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("relation-adapter")
    except PackageNotFoundError:
        return "0+unknown"
