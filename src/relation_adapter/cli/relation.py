"""`relation-adapter relation`: what pairs show, saved."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

from relation_adapter.cli import editors
from relation_adapter.cli.edit import open_pair
from relation_adapter.cli.outputs import make_folders
from relation_adapter.cli.pipelines import check_model
from relation_adapter.cli.say import result
from relation_adapter.errors import UsageError

SUFFIX = ".safetensors"


def run(options: Namespace) -> int:
    """Encode the pairs and save the relation; the file on stdout."""
    out = Path(options.out)
    if out.suffix.lower() != SUFFIX:
        raise UsageError(f"--out {out}: a relation is a {SUFFIX} file; end the name in {SUFFIX}")
    if out.is_dir() or (os.path.lexists(out) and not options.force):
        raise UsageError(f"{out}: there already; --force overwrites a file")
    check_model(options)
    pairs = [open_pair(before, after) for before, after in options.pair]
    make_folders([out])
    relation = editors.encode(options, pairs, options.name or out.stem)
    relation.save(out)
    result(out)
    return 0
