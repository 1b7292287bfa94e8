"""What the process has imported, and worked out, that those of `forked` are forked from."""

from __future__ import annotations

import importlib
from contextlib import suppress

from relation_adapter.importing import large_imports

with large_imports(freeze=True):
    for _name in ("relation_adapter.train.loop", "relation_adapter.pipeline", "relation_adapter.cli.app", "openai"):
        with suppress(ImportError):  # of an extra
            importlib.import_module(_name)

from relation_adapter.data.dataset import ProceduralBatches, ProceduralMix

ProceduralBatches(ProceduralMix(), 1, 1, seed=0)  # half a second
