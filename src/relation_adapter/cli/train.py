"""`relation-adapter train`."""

from __future__ import annotations

from argparse import Namespace

from relation_adapter.cli.say import result, say


def run(options: Namespace) -> int:
    """Train, or go on; the weights file on stdout."""
    import relation_adapter.train

    result(relation_adapter.train.run(options.preset, options.overrides, options.folder, say))
    return 0
