"""Who is next: one piece of work at a time, visitors in turn, a bounded number of edits, and how many are before you.

The model is one, so one thread works for all. A piece of work is one picture: a visitor with fifty pictures is
passed by everybody else after each of them.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from relation_adapter.errors import BusyError


class Turn:
    """A piece of work that waits, is at work, or is done; `future` holds what comes of it."""

    def __init__(self, visitor: str, work: Callable[[], Any]) -> None:
        self.visitor, self.work = visitor, work
        self.future: Future[Any] = Future()

    def run(self) -> None:
        """Do it, unless it was cancelled while it waited."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.work())
        except BaseException as error:  # whoever waits for it is told
            self.future.set_exception(error)


class Turns:
    """The queue before the model.

    max_edits: edits of all visitors at once; per_visitor: of one.
    """

    def __init__(self, max_edits: int, per_visitor: int) -> None:
        self.max_edits, self.per_visitor = max_edits, per_visitor
        self._edits: Counter[str] = Counter()
        # The visitors that wait, in the order of their turns, each with its pieces of work.
        self._waiting: OrderedDict[str, deque[Turn]] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        threading.Thread(target=self._work, name="turns", daemon=True).start()

    @contextmanager
    def edit(self, visitor: str) -> Iterator[None]:
        """Hold one of the places for edits. Raises BusyError where all, or all of this visitor, are taken."""
        with self._changed:
            if self._edits[visitor] >= self.per_visitor:
                raise BusyError(f"{self._edits[visitor]} of your edits wait already; try again when one is done")
            if self._edits.total() >= self.max_edits:
                raise BusyError(f"{self.max_edits} edits wait already, which is all that fit; try again in a minute")
            self._edits[visitor] += 1
        try:
            yield
        finally:
            with self._changed:
                self._edits[visitor] -= 1
                self._edits += Counter()  # who has none left is forgotten

    @property
    def edits(self) -> int:
        """Edits of all visitors, waiting and at work."""
        with self._changed:
            return self._edits.total()

    def ask(self, visitor: str, work: Callable[[], Any]) -> Turn:
        """Have `work` done when it is this visitor's turn."""
        turn = Turn(visitor, work)
        with self._changed:
            if self._closed:
                turn.future.cancel()
                return turn
            self._waiting.setdefault(visitor, deque()).append(turn)
            self._changed.notify_all()
        return turn

    def ahead(self, turn: Turn) -> int:
        """How many pieces of work come before this one, the one at work not counted."""
        with self._changed:
            if turn not in self._waiting.get(turn.visitor, ()):
                return 0
            rounds, before, passed = self._waiting[turn.visitor].index(turn), 0, False
            for visitor, turns in self._waiting.items():
                passed = passed or visitor == turn.visitor
                # Who stands behind has one turn fewer before it.
                before += rounds if visitor == turn.visitor else min(len(turns), rounds + (not passed))
            return before

    def close(self) -> None:
        """End the thread after the piece of work at hand; what waits is cancelled."""
        with self._changed:
            self._closed = True
            for turns in self._waiting.values():
                for turn in turns:
                    turn.future.cancel()
            self._changed.notify_all()

    def _work(self) -> None:
        while (turn := self._next()) is not None:
            turn.run()

    def _next(self) -> Turn | None:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            visitor, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[visitor] = turns  # behind all others
            return turn
