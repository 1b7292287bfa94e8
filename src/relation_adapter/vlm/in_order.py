"""Work by several threads, its results in the order of the items, never far ahead of who reads them."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 16  # items a thread: one that has to wait for a busy server does not hold up the others


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int, stop: Callable[[], None]
) -> Iterator[Result]:
    """`work(item)` of every item, in order. What `work` raises first is raised here, and nothing more is begun.

    stop: called once the results are no longer wanted, so that whoever waits in `work` gives up; what is under way is
    waited for, as its result may be kept by `work` itself. The threads do not keep the process alive.
    """
    tasks: queue.SimpleQueue[tuple[Item, Future[Result]] | None] = queue.SimpleQueue()
    failures: list[BaseException] = []
    arguments = (work, tasks, failures, stop)
    workers = [threading.Thread(target=_serve, args=arguments, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(Future())
            tasks.put((item, waiting[-1]))
            if len(waiting) >= threads * AHEAD:
                yield _result(waiting.popleft(), failures)
        while waiting:
            yield _result(waiting.popleft(), failures)
    except BaseException:
        failures.append(GeneratorExit())
        stop()
        raise
    finally:
        for _ in workers:
            tasks.put(None)
        for worker in workers:
            worker.join()


def _serve(
    work: Callable[[Item], Result],
    tasks: queue.SimpleQueue[tuple[Item, Future[Result]] | None],
    failures: list[BaseException],
    stop: Callable[[], None],
) -> None:
    while (task := tasks.get()) is not None:
        item, future = task
        if failures:
            future.cancel()
            continue
        try:
            future.set_result(work(item))
        except BaseException as error:
            failures.append(error)
            stop()
            future.set_exception(error)


def _result(future: Future[Result], failures: list[BaseException]) -> Result:
    """Raises what went wrong first: whoever gave up because of it may come earlier in the order."""
    try:
        return future.result()
    except Exception as error:
        raise (failures[0] if failures else error) from None
