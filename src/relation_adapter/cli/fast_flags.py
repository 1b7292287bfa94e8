"""The flag of edits that may be faster than exact."""

from __future__ import annotations

import argparse


def add(how: argparse._ActionsContainer) -> None:
    """--fast."""
    how.add_argument(
        "--fast",
        action="store_true",
        help="half of the time, and not quite exact: a run of many steps computes half of them and foresees the "
        "others; docs/speed.md has the price",
    )
