"""What runs in a worker's process, and the form in which items and results travel."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import relation_adapter
from relation_adapter.errors import RelationAdapterError, UsageError

LOOKS = 2.0  # seconds between looks whether the parent is there


@dataclass(frozen=True)
class Raised:
    """What an item's work raised, in place of a result; told: with where it was raised, for whoever mends it."""

    error: BaseException
    told: str


class Far(Exception):  # noqa: N818
    """Where in a worker an error comes from: the cause of the error as it is raised here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def packed(value: Any) -> bytes:
    """A value as bytes, functions of any kind with it."""
    from ray import cloudpickle

    return bytes(cloudpickle.dumps(value))


def unpacked(data: bytes) -> Any:
    """The value, or raise it where it is something raised."""
    value = pickle.loads(data)
    if not isinstance(value, Raised):
        return value
    raise value.error from (None if isinstance(value.error, RelationAdapterError) else Far(value.told))


@dataclass(frozen=True)
class Home:
    """Where a user stands, finds modules, and with which version. threads: that a worker computes with."""

    folder: str
    modules: tuple[str, ...]
    version: str
    threads: int

    def enter(self) -> None:
        """Stand there, where that place is there, and find what is found there."""
        if os.path.isdir(self.folder):
            os.chdir(self.folder)
        sys.path.extend(place for place in self.modules if place not in sys.path)
        os.environ["OMP_NUM_THREADS"] = str(self.threads)

    def check(self) -> None:
        """Raise UsageError where this worker has another version: its results would not be what they seem."""
        if self.version != relation_adapter.__version__:
            raise UsageError(
                f"a worker has relation-adapter {relation_adapter.__version__}, here is {self.version}; install the "
                "same on every machine"
            )


def home(threads: int) -> Home:
    """Of this process."""
    return Home(os.getcwd(), tuple(map(os.path.abspath, sys.path)), relation_adapter.__version__, threads)


def outcome(function: bytes, home: Home) -> bytes:
    """What a packed function returns or raises, packed."""
    home.enter()

    def work() -> Any:
        home.check()
        return unpacked(function)()

    return _packed_outcome(work)


class Tally:
    """How often each item has been begun, held apart from the workers: Ray itself would try again without end."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()
        self._lock = threading.Lock()

    def begin(self, index: int) -> int:
        """Count one more time; how many that makes."""
        with self._lock:
            self._begun[index] += 1
            return self._begun[index]


class Worker:
    """Makes what does the work once, at the first item, and keeps it for all further ones."""

    def __init__(self, make: bytes, home: Home, tally: Any, tries: int) -> None:
        """make: packed. tally: the handle of a `Tally`; an item begun more than `tries` times is given up."""
        home.enter()
        threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
        self._make, self._home, self._tally, self._tries = make, home, tally, tries
        self._lock = threading.Lock()
        self._work: Callable[[Any], Any] | None = None

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """One item's result under its index; b"" where the item is given up."""
        import ray

        if ray.get(self._tally.begin.remote(row["index"])) > self._tries:
            return {"index": row["index"], "result": b""}
        return {"index": row["index"], "result": _packed_outcome(lambda: self._made()(unpacked(row["item"])))}

    def _made(self) -> Callable[[Any], Any]:
        with self._lock:
            if self._work is None:
                self._home.check()
                self._work = unpacked(self._make)()
            return self._work


def _end_with_parent(parent: int) -> None:
    """Ray's own process on this machine may be killed; what is left would hold its memory, and its GPU, for good."""
    while os.getppid() == parent:
        time.sleep(LOOKS)
    os._exit(1)


def _packed_outcome(function: Callable[[], Any]) -> bytes:
    try:
        return packed(function())
    except Exception as error:
        raised, told = error, traceback.format_exc()
    try:
        data = packed(Raised(raised, told))
        pickle.loads(data)
        return data
    except Exception:  # an error may hold what does not travel, or not come back from where it went
        return packed(Raised(RuntimeError(f"{type(raised).__name__}: {raised}"), told))
