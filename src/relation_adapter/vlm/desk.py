"""What all who ask a model share, in whatever thread or process: the journal, the budget, the pace."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from relation_adapter.vlm.journal import Journal
from relation_adapter.vlm.spending import Budget, Pace, Purse, Spent


class Desk:
    """May be shared by threads. What waits here gives up, by Stopped, once the work is being stopped."""

    def __init__(self, journal: Journal, budget: Budget, per_minute: float | None) -> None:
        self.journal = journal
        self._purse, self._pace = Purse(budget, lambda: journal.spent), Pace(per_minute)
        self._failed, self._open, self._change = 0, set[str](), threading.Condition()

    def final(self, key: str) -> dict[str, Any] | None:
        """What a question came to; None while it has come to nothing."""
        return self.journal.final(key)

    def add(self, event: str, key: str, **values: Any) -> None:
        """Note an event of a question."""
        self.journal.add(event, key, **values)

    def alone(self, key: str) -> AbstractContextManager[None]:
        """Hold a question: whoever asks the same waits for its answer."""
        return self._alone(key)

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        with self._change:
            self._change.wait_for(lambda: key not in self._open)
            self._open.add(key)
        try:
            yield
        finally:
            with self._change:
                self._open.remove(key)
                self._change.notify_all()

    def request(self, most: Spent) -> AbstractContextManager[None]:
        """Hold back what a request may cost while it is under way. Raises VlmError where the budget cannot bear it."""
        return self._purse.request(most)

    def turn(self) -> None:
        """Wait for the next turn to send."""
        self._pace.turn()

    def hold(self, seconds: float) -> None:
        """Nobody sends for so long."""
        self._pace.hold(seconds)

    def pause(self, seconds: float) -> None:
        """Wait alone."""
        self._pace.pause(seconds)

    def came(self, to_nothing: bool) -> int:
        """Say whether a question stayed without an answer; how many in a row now have."""
        with self._change:
            self._failed = self._failed + 1 if to_nothing else 0
            return self._failed

    def stop(self) -> None:
        """Whoever waits for a turn gives up; replies under way are still taken."""
        self._pace.stop()

    def settle(self, seconds: float) -> None:
        """Wait, so long at most, until no question is under way."""
        with self._change:
            self._change.wait_for(lambda: not self._open, seconds)
