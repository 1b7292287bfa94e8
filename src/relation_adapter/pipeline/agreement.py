"""Does a result show the change that the pairs show? A number to compare results by, without a target."""

from __future__ import annotations


class Agreement:
    """Scores results by the relation that made them."""
