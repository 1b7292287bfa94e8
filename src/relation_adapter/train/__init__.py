"""Training: the presets, the loss, the state, the loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def run(preset_name: str, overrides: list[str], folder: Path, tell: Callable[[str], None] | None = None) -> list[Path]:
    """Train a preset into a folder, or go on with the run that is there; returns the files of the trained weights.

    Where `accelerate launch` started several processes, all but the main one return none.

    tell: is given the resolved config, and the step that a run goes on from, as lines of text.

    Raises:
        UsageError: an unknown preset or setting, or the folder holds a run with other settings.
    """
    from relation_adapter.config import override, preset
    from relation_adapter.train.loop import train
    from relation_adapter.train.presets import PRESETS

    return train(override(preset(PRESETS, preset_name), overrides), folder, tell or (lambda _: None))
