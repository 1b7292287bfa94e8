"""`relation-adapter evaluate report`."""

from __future__ import annotations

from argparse import Namespace

from relation_adapter.cli.say import result
from relation_adapter.evaluate.report import report


def run(options: Namespace) -> int:
    """Write the page; its path on stdout."""
    result(report(options.folders, options.judged, options.out))
    return 0
