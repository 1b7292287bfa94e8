"""`python -m relation_adapter` is the command `relation-adapter`."""

from __future__ import annotations

import sys

from relation_adapter.cli import main

if __name__ == "__main__":
    sys.exit(main())
