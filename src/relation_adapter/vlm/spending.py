"""What questions cost: a budget that is never passed, a pace that is kept, all threads together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from relation_adapter.errors import VlmError


class Stopped(Exception):  # noqa: N818  (no error)
    """The work is being stopped; a question that waits gives up."""


@dataclass(frozen=True)
class Spent:
    """Requests sent, and tokens as the server counted them."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )

    @property
    def tokens(self) -> int:
        """Both kinds."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True)
class Price:
    """Money for a million tokens, in whatever currency the bill has."""

    input: float
    output: float

    def of(self, spent: Spent) -> float:
        """What the tokens cost."""
        return (spent.input_tokens * self.input + spent.output_tokens * self.output) / 1e6


@dataclass(frozen=True)
class Budget:
    """The most that may be spent, on all that a journal holds; None: no limit. money needs a price."""

    requests: int | None = None
    tokens: int | None = None
    money: float | None = None
    price: Price | None = None

    def excess(self, spent: Spent) -> str | None:
        """The limit that this would pass, in words."""
        money = self.price.of(spent) if self.price else 0.0
        for limit, value, text in (
            (self.requests, spent.requests, f"{self.requests:,} requests" if self.requests is not None else ""),
            (self.tokens, spent.tokens, f"{self.tokens:,} tokens" if self.tokens is not None else ""),
            (self.money, money, f"{self.money:g} in money" if self.money is not None else ""),
        ):
            if limit is not None and value > limit:
                return text
        return None


class Purse:
    """A budget shared by threads: what a request may cost is set aside before it is sent.

    spent: asked for anew each time. It has to hold a request's true cost before the request's hold ends.
    """

    def __init__(self, budget: Budget, spent: Callable[[], Spent]) -> None:
        self._budget, self._spent = budget, spent
        self._reserved: list[Spent] = []
        self._change = threading.Condition()

    @contextmanager
    def request(self, most: Spent) -> Iterator[None]:
        """Hold back `most` while one request is under way. Raises VlmError once the budget cannot bear it.

        A request that fits only if others turn out cheaper than feared waits for them.
        """
        with self._change:
            while excess := self._budget.excess(sum(self._reserved, self._spent()) + most):
                if not self._reserved:
                    raise VlmError(_spent_text(excess, self._spent()))
                self._change.wait()
            self._reserved.append(most)
        try:
            yield
        finally:
            with self._change:
                self._reserved.remove(most)
                self._change.notify_all()


def _spent_text(limit: str, spent: Spent) -> str:
    return (
        f"the budget of {limit} is spent ({spent.requests:,} requests, {spent.tokens:,} tokens; the next might pass "
        "it); what was answered is kept: give more and run the same again"
    )


class Pace:
    """When the next request may be sent: at most `per_minute`, and not before a server that said to wait is ready."""

    def __init__(self, per_minute: float | None) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0
        self._next = self._ready = 0.0
        self._lock, self._stop = threading.Lock(), threading.Event()

    def turn(self) -> None:
        """Wait for the next turn. Raises Stopped."""
        with self._lock:
            at = max(time.monotonic(), self._next)
            self._next = at + self._gap
        self._until(at)
        while (ready := self._ready) > time.monotonic():
            self._until(ready)

    def hold(self, seconds: float) -> None:
        """Nobody sends for so long: a 429 is meant for all."""
        with self._lock:
            self._ready = max(self._ready, time.monotonic() + seconds)

    def pause(self, seconds: float) -> None:
        """Wait alone. Raises Stopped."""
        self._until(time.monotonic() + seconds)

    def stop(self) -> None:
        """Everybody who waits gives up."""
        self._stop.set()

    def _until(self, moment: float) -> None:
        if self._stop.wait(max(0.0, moment - time.monotonic())):
            raise Stopped
