"""Set before torch is imported, and inherited by every process that a test starts."""

from __future__ import annotations

import os

# Tiny tensors gain nothing from threads, and on a busy machine threads wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
