"""Numbers of a run to tensorboard, or to any tracker that accelerate knows, by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, get_available_trackers

from relation_adapter.errors import MissingExtraError, RelationAdapterError, UsageError
from relation_adapter.files import reason

NONE, USUAL = "none", "tensorboard"
PROJECT = "relation-adapter"


def check_trackers(names: str) -> list[str]:
    """The trackers that are to be asked. names: with commas between; `none`.

    The usual one is passed over where it is not installed: the log holds the same numbers. Raises UsageError on a name
    that accelerate does not know, MissingExtraError where its package is not installed.
    """
    asked = [name.strip() for name in names.split(",") if name.strip() not in ("", NONE)]
    known = {str(name) for name in LOGGER_TYPE_TO_CLASS}
    if unknown := [name for name in asked if name not in known]:
        raise UsageError(f"tracker={unknown[0]}: choose of {', '.join([NONE, *sorted(known)])}, with commas between")
    installed = {str(name) for name in get_available_trackers()}
    if missing := [name for name in asked if name not in installed and name != USUAL]:
        raise MissingExtraError(f"tracker={missing[0]} is not installed: pip install {missing[0]}, or set tracker=none")
    return [name for name in asked if name in installed]


class Trackers:
    """Started for one run, or for its resumption from step `first`; only the main process is to have one."""

    def __init__(
        self,
        names: str,
        folder: Path,
        config: Mapping[str, Any],
        first: int = 0,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.trackers: list[GeneralTracker] = []
        chosen = check_trackers(names)
        if USUAL in names and USUAL not in chosen:
            tell(
                "note: tensorboard is not installed (pip install 'relation-adapter[train]'); log.jsonl has the numbers"
            )
        for name in chosen:
            self.trackers.append(_started(name, folder, flat(config), first))

    def log(self, values: Mapping[str, Any], step: int) -> None:
        """Numbers of a step; nested ones by names with slashes."""
        numbers = {key: value for key, value in flat(values, "/").items() if isinstance(value, (int, float))}
        for tracker in self.trackers:
            tracker.log(numbers, step=step)

    def close(self) -> None:
        """Let every tracker write what it holds."""
        for tracker in self.trackers:
            tracker.finish()


def _started(name: str, folder: Path, config: Mapping[str, Any], first: int) -> GeneralTracker:
    kind = LOGGER_TYPE_TO_CLASS[name]
    # Steps that were done again after a kill are shown once.
    options = {"purge_step": first} if name == USUAL else {}
    try:
        tracker = kind(PROJECT, folder / name, **options) if kind.requires_logging_directory else kind(PROJECT)
        tracker.start()
        if first == 0 or name != USUAL:  # tensorboard would show the settings of every start as another run
            tracker.store_init_configuration(dict(config))
    except RelationAdapterError:
        raise
    except Exception as error:  # of any of nine packages, each with its own
        raise UsageError(f"tracker={name} cannot start ({reason(error)}); see to it, or set tracker=none") from error
    return tracker


def flat(values: Mapping[str, Any], dot: str = ".") -> dict[str, Any]:
    """Nested values as `a.b`; lists as text, nulls left out: what every tracker can hold."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= {f"{key}{dot}{inner}": item for inner, item in flat(value, dot).items()}
        elif value is not None:
            found[key] = value if isinstance(value, (bool, int, float, str)) else json.dumps(value)
    return found
