"""A visit: what one visitor dropped and got, in a folder of its own that dies with the visit.

The folder's name cannot be guessed, and only its visitor is told it. What is in it is served by that name.
"""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relation_adapter.web.limits import MIB, Limits
from relation_adapter.web.settings import Settings

if TYPE_CHECKING:
    from relation_adapter.relation import Relation

KEPT_SECONDS = 15 * 60  # a visit after its page was closed: a phone that sleeps finds its results again
IDLE_SECONDS = 6 * 60 * 60  # a visit whose page says nothing at all
UNCLAIMED_SECONDS = 10 * 60  # a file that was uploaded and never used


@dataclass(frozen=True)
class Kept:
    """A picture of a visit: its file, a smaller view of it for the page, and the name it came by, without suffix."""

    name: str
    path: Path
    view: Path
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Saved:
    """A relation file of a visit, checked."""

    name: str
    path: Path
    relation: Relation


@dataclass(frozen=True)
class Order:
    """All that makes an edit; what history puts back."""

    pairs: tuple[tuple[Kept, Kept], ...]
    relations: tuple[tuple[Saved, float], ...]
    sources: tuple[Kept, ...]
    settings: Settings


@dataclass
class Entry:
    """An edit of the visit: what was ordered, and what came of it, by the source's number."""

    number: int
    order: Order
    results: dict[int, Kept] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    relation: Path | None = None


class Visit:
    """What one visitor has here."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, mode=0o700)
        self.folder, self.token = folder, folder.name
        self.pictures: dict[str, Kept] = {}  # by the paths that the page may hand back
        self.saved: dict[str, Saved] = {}
        self.loaded: list[Saved] = []  # on the form, in its order
        self.encoded: dict[Any, Relation] = {}
        self.history: list[Entry] = []
        self.current: Entry | None = None  # the edit at work, which is no history yet
        self.shown = 0  # the number of the edit whose results the page shows
        self.chosen = False  # whether the visitor chose what is shown: news must not take it away
        self.stop = threading.Event()
        self.at_work = False
        self.used, self.closed = time.monotonic(), False
        self._numbers = 0

    def begin(self, order: Order) -> Entry:
        """The next edit of this visit."""
        self._numbers += 1
        self.current = Entry(self._numbers, order)
        return self.current

    def finish(self, entry: Entry) -> bool:
        """An edit is over: it becomes history, unless nothing came of it; whether it did.

        Its pictures stay either way, since they are on the page still.
        """
        self.current = None
        kept = bool(entry.results) or (not entry.order.sources and entry.relation is not None)
        if kept:
            self.history.append(entry)
        elif entry.relation is not None:
            entry.relation.unlink(missing_ok=True)
        return kept

    def entry(self, number: int) -> Entry | None:
        """The edit of this number, if it is still kept."""
        known = [*self.history, *([self.current] if self.current else [])]
        return next((entry for entry in known if entry.number == number), None)

    def make_room(self, mib: int) -> None:
        """Drop the oldest edits until the folder holds at most `mib`; the latest one stays."""
        while len(self.history) > 1 and folder_bytes(self.folder) > mib * MIB:
            self._drop(self.history.pop(0))

    def _drop(self, entry: Entry) -> None:
        needed = {kept for one in self.history for kept in _pictures(one.order)}
        for kept in {*entry.results.values(), *_pictures(entry.order)} - needed:
            kept.path.unlink(missing_ok=True)
            kept.view.unlink(missing_ok=True)
            self.pictures = {path: other for path, other in self.pictures.items() if other != kept}
        if entry.relation is not None:
            entry.relation.unlink(missing_ok=True)


def _pictures(order: Order) -> set[Kept]:
    return {*order.sources, *(picture for pair in order.pairs for picture in pair)}


def folder_bytes(folder: Path) -> int:
    """What the files under a folder hold together; files that vanish meanwhile hold nothing."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size
        except OSError:
            continue
    return total


class Visits:
    """All visits of a server, under one folder. sweep() is to be called now and then."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self._visits: dict[str, Visit] = {}
        self._lock = threading.Lock()
        self.own: set[str] = set()

    def of(self, session: str) -> Visit:
        """The visit of a session of the page, begun if need be."""
        with self._lock:
            if session not in self._visits:
                self._visits[session] = self.new()
            visit = self._visits[session]
            visit.used, visit.closed = time.monotonic(), False
            return visit

    def new(self) -> Visit:
        """A visit of no session; whoever asked for it ends it."""
        return Visit(self.folder / "visits" / secrets.token_urlsafe(24))

    def by_token(self, token: str) -> Visit | None:
        """The visit of a folder's name."""
        with self._lock:
            return next((one for one in self._visits.values() if one.token == token), None)

    def close(self, session: str) -> None:
        """The page of a session was closed: its work stops, its files stay a little while."""
        with self._lock:
            if (visit := self._visits.get(session)) is not None:
                visit.closed, visit.used = True, time.monotonic()
                visit.stop.set()

    def sweep(self, now: float | None = None) -> None:
        """End the visits that are over, and remove uploads that nobody used. now: as `time.monotonic`."""
        now = time.monotonic() if now is None else now
        with self._lock:
            over = [session for session, visit in self._visits.items() if _is_over(visit, now)]
            ended = [self._visits.pop(session) for session in over]
        for visit in ended:
            end(visit)
        old = time.time() - UNCLAIMED_SECONDS
        for folder in self.folder.iterdir():
            if folder.name not in self.own and folder.name != "visits" and not folder.name.startswith("."):
                _remove_old(folder, old)

    def keep_own(self) -> None:
        """What lies there now is the page's own, as its icons, and stays."""
        self.own = {folder.name for folder in self.folder.iterdir()}

    def is_full(self) -> bool:
        """Whether the files of all visits are more than the server is to hold."""
        return folder_bytes(self.folder) > self.limits.disk_mib * MIB


def end(visit: Visit) -> None:
    """Stop what a visit has at work, and remove all of it."""
    visit.stop.set()
    shutil.rmtree(visit.folder, ignore_errors=True)


def _is_over(visit: Visit, now: float) -> bool:
    return not visit.at_work and now - visit.used > (KEPT_SECONDS if visit.closed else IDLE_SECONDS)


def _remove_old(folder: Path, before: float) -> None:
    """Remove the files of an upload folder that were written before a time, and the folder where that empties it."""
    for file in [*folder.iterdir()] if folder.is_dir() else [folder]:
        if file.is_file() and file.stat().st_mtime < before:
            file.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
