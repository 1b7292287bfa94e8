"""From --ray to the workers that do what a command is about."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import TYPE_CHECKING, TypeVar

from relation_adapter.cli.say import PROGRAM, quiet_libraries, say
from relation_adapter.errors import UsageError

if TYPE_CHECKING:
    from relation_adapter.scale import Cluster

Result = TypeVar("Result")


@contextmanager
def cluster(options: Namespace) -> Iterator[Cluster | None]:
    """The cluster of --ray; None without it. Raises UsageError, MissingExtraError."""
    if options.ray is None:
        names = ("ray_workers", "ray_cpus", "ray_gpus")
        given = next((name for name in names if getattr(options, name) is not None), None)
        if given is not None:
            raise UsageError(f"--{given.replace('_', '-')} goes with --ray")
        yield None
        return
    from relation_adapter.scale import Slots, connect

    with connect(options.ray, Slots(options.ray_workers, options.ray_cpus or 1.0, options.ray_gpus)) as found:
        yield found


def plain(options: Namespace) -> Namespace:
    """The options as they travel: values alone."""
    return Namespace(**{name: value for name, value in vars(options).items() if name != "run"})


def heard(far: Cluster, function: Callable[[], Result]) -> Result:
    """What a function returns in a worker; what it says there is said here."""
    found, said = far.once(lambda: _with_words(function))
    for line in said:
        say(line)
    return found


def _with_words(function: Callable[[], Result]) -> tuple[Result, list[str]]:
    words = StringIO()
    with redirect_stderr(words), quiet_libraries():
        found = function()
    lines = [line.removeprefix(f"{PROGRAM}: ") for line in words.getvalue().splitlines() if line.startswith(PROGRAM)]
    return found, lines
