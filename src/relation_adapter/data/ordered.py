"""Work on many items with several threads, results in the order of the items."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    stop: Callable[[], object] = lambda: None,
    ahead: int = 4,
) -> Iterator[Result]:
    """work(item) of every item, in their order, at most `ahead` items a worker before who reads them.

    What `work` raises first is raised here, and nothing more is begun; what is under way is waited for, as `work` may
    keep its result itself. stop: called then, so that whoever waits in `work` gives up. The threads do not keep the
    process alive.
    """
    if workers == 1:
        yield from map(work, items)
        return
    tasks: queue.SimpleQueue[tuple[Item, Future[Result]] | None] = queue.SimpleQueue()
    failures: list[BaseException] = []
    arguments = (work, tasks, failures, stop)
    threads = [threading.Thread(target=_serve, args=arguments, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(Future())
            tasks.put((item, waiting[-1]))
            if len(waiting) >= ahead * workers:
                yield _result(waiting.popleft(), failures)
        while waiting:
            yield _result(waiting.popleft(), failures)
    except BaseException:
        failures.append(GeneratorExit())
        stop()
        raise
    finally:
        for _ in threads:
            tasks.put(None)
        for thread in threads:
            thread.join()


def _serve(
    work: Callable[[Item], Result],
    tasks: queue.SimpleQueue[tuple[Item, Future[Result]] | None],
    failures: list[BaseException],
    stop: Callable[[], object],
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
