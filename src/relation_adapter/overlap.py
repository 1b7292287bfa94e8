"""Reading what comes next and writing what is done, in threads, while this one works."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Generic, TypeVar

Item = TypeVar("Item")
Given = TypeVar("Given")
Made = TypeVar("Made")
Result = TypeVar("Result")

READERS = 2
WRITERS = min(4, os.cpu_count() or 1)  # packing a picture of 3 megapixels takes longer than a small model's edit


def overlapped(
    items: Iterable[Item],
    read: Callable[[Item], Given],
    work: Callable[[Item, Callable[[], Given]], Made],
    write: Callable[[Made], Result],
    done: Callable[[Result], None],
) -> None:
    """`done(write(work(item, given)))` for all items in order, where given() is what `read` made of the item.

    Only `work` runs in this thread; given() raises what `read` raised. `write` runs in several others, one item beside
    the other; `done` in one at a time, in the order of the items, as soon as a result is there. At most READERS items
    are read ahead and WRITERS wait to be written, so memory does not grow with the items. What `work`, `write` or
    `done` raise is raised here, and so is KeyboardInterrupt, once what was worked on is written.
    """
    in_order = _InOrder(done)

    def finish(number: int, made: Made) -> None:
        in_order(number, write(made))

    # The outer block is left last: after an interrupt what was made is still written.
    # Pillow's warnings are caught while pictures open; threads that take turns at that leave the filters changed.
    with warnings.catch_warnings(), ThreadPoolExecutor(WRITERS) as writers, ThreadPoolExecutor(READERS) as readers:
        writing: deque[Future[None]] = deque()
        for number, (item, given) in enumerate(_read_ahead(items, read, readers)):
            writing.append(writers.submit(finish, number, work(item, given)))
            while writing and (writing[0].done() or len(writing) > WRITERS):
                writing.popleft().result()
        for future in writing:
            future.result()


def _read_ahead(
    items: Iterable[Item], read: Callable[[Item], Given], readers: ThreadPoolExecutor
) -> Iterator[tuple[Item, Callable[[], Given]]]:
    reading: deque[tuple[Item, Future[Given]]] = deque()
    for item in items:
        reading.append((item, readers.submit(read, item)))
        if len(reading) > READERS:
            first, future = reading.popleft()
            yield first, future.result
    for item, future in reading:
        yield item, future.result


class _InOrder(Generic[Result]):
    """Hands results on in the order of their numbers, in the thread that brings the next one."""

    def __init__(self, done: Callable[[Result], None]) -> None:
        self.done, self.lock = done, Lock()
        self.next, self.early = 0, dict[int, Result]()

    def __call__(self, number: int, result: Result) -> None:
        with self.lock:
            self.early[number] = result
            while self.next in self.early:
                result = self.early.pop(self.next)
                self.next += 1
                self.done(result)
