"""What pairs say exactly is told once in a process: the same few pairs are read by hundreds of tests."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from typing import Any

READS = "relation_adapter.pipeline.corrections"  # the one module that asks


def remember() -> None:
    """From now on the same question gets a copy of the same answer; where nothing was imported that asks, nothing."""
    module: Any = sys.modules.get(READS)
    if module is not None and not isinstance(module.told_exactly, partial):
        module.told_exactly = partial(_told, module.told_exactly, {})


def _told(tell: Any, answers: dict[str, Any], known: Sequence[Any], pairs: Sequence[Any], left: float) -> Any:
    question = sha256(repr(left).encode())
    for array in (array for one in known for array in (one.result, one.source, one.target)):
        question.update(repr((array.shape, array.dtype)).encode() + array.tobytes())
    for picture in (picture for pair in pairs for picture in pair):
        if picture.mode != "RGB" or picture.info.get("transparency") or picture.getexif():
            return tell(known, pairs, left)  # there is more to it than its pixels
        question.update(repr(picture.size).encode() + picture.tobytes())
    key = question.hexdigest()
    if key not in answers:
        answers[key] = tell(known, pairs, left)
    return copy.deepcopy(answers[key])  # whoever has it may change it
