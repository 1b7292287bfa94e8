"""`relation-adapter relation`: what pairs show, saved."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from relation_adapter.cli import editors
from relation_adapter.cli.edit import open_pair
from relation_adapter.cli.outputs import check_file, make_folders
from relation_adapter.cli.pipelines import check_model
from relation_adapter.cli.say import result

CUBE = ".cube"


def run(options: Namespace) -> int:
    """Encode the pairs and save the relation, or the look that it is; the file on stdout."""
    out = Path(options.out)
    check_file(out, "a relation", options.force, also=CUBE)
    check_model(options)
    pairs = [open_pair(before, after) for before, after in options.pair]
    make_folders([out])
    relation = editors.encode(options, pairs, options.name or out.stem)
    if out.suffix.lower() == CUBE:
        from relation_adapter.pipeline.cube import save_cube

        save_cube(relation, out)
    else:
        relation.save(out)
    result(out)
    return 0
