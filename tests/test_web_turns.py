"""The queue before the model: one at a time, visitors in turn, bounded, with the place in it told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from relation_adapter.errors import BusyError
from relation_adapter.web.turns import Turn, Turns


@pytest.fixture
def turns() -> Iterator[Turns]:
    made = Turns(max_edits=4, per_visitor=2)
    yield made
    made.close()


def held(turns: Turns) -> Callable[[], None]:
    """Keep the worker busy, so that what is asked for waits; the answer lets it go on."""
    begun, go = threading.Event(), threading.Event()
    turns.ask("holder", lambda: (begun.set(), go.wait(10)))
    assert begun.wait(10)
    return go.set


def ask(turns: Turns, done: list[str], visitor: str, count: int) -> list[Turn]:
    return [turns.ask(visitor, lambda index=index: done.append(f"{visitor}{index}")) for index in range(count)]


def test_a_visitor_with_many_pictures_does_not_keep_the_others_waiting(turns: Turns) -> None:
    done: list[str] = []
    go = held(turns)
    waiting = ask(turns, done, "a", 4) + ask(turns, done, "b", 2) + ask(turns, done, "c", 1)
    go()
    for turn in waiting:
        turn.future.result(10)
    assert done == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]


def test_how_many_are_ahead_is_what_then_happens(turns: Turns) -> None:
    done: list[str] = []
    go = held(turns)
    waiting = ask(turns, done, "a", 3) + ask(turns, done, "b", 1) + ask(turns, done, "c", 4) + ask(turns, done, "b", 1)
    told = [turns.ahead(turn) for turn in waiting]
    go()
    for turn in waiting:
        turn.future.result(10)
    names = ["a0", "a1", "a2", "b0", "c0", "c1", "c2", "c3", "b0"]
    order = {name: [index for index, one in enumerate(done) if one == name] for name in set(names)}
    assert told == [order[name].pop(0) for name in names]
    assert [turns.ahead(turn) for turn in waiting] == [0] * len(waiting)


def test_the_queue_is_bounded_for_all_and_for_each(turns: Turns) -> None:
    with turns.edit("a"), turns.edit("a"):
        with pytest.raises(BusyError, match="2 of your edits wait already"), turns.edit("a"):
            pass
        with turns.edit("b"), turns.edit("c"):
            assert turns.edits == 4
            with pytest.raises(BusyError, match="4 edits wait already"), turns.edit("d"):
                pass
        with turns.edit("d"):
            pass
    assert turns.edits == 0


def test_what_is_cancelled_while_it_waits_never_begins_and_what_fails_is_told(turns: Turns) -> None:
    done: list[str] = []
    go = held(turns)
    (first, second) = ask(turns, done, "a", 2)
    failing = turns.ask("b", lambda: 1 / 0)
    assert first.future.cancel()
    go()
    second.future.result(10)
    with pytest.raises(ZeroDivisionError):
        failing.future.result(10)
    assert done == ["a1"]
    assert turns.ask("a", lambda: "still at work").future.result(10) == "still at work"


def test_nothing_waits_for_ever_once_it_is_closed(turns: Turns) -> None:
    go = held(turns)
    turn = turns.ask("a", lambda: None)
    turns.close()
    go()
    assert turn.future.cancelled()
    assert turns.ask("a", lambda: None).future.cancelled()
