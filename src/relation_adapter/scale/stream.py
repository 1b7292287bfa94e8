"""Items through Ray Data to a pool of workers that hold what they work with, and their results back as they come."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import ray
import ray.data
from ray.data.block import BlockMetadata

from relation_adapter.errors import UsageError
from relation_adapter.scale.worker import Tally, Worker, home, packed, unpacked

if TYPE_CHECKING:
    from relation_adapter.scale.cluster import Cluster

Item = TypeVar("Item")
Result = TypeVar("Result")

WAITING = 2  # items that a worker has beside those it is at: from one to the next Ray Data takes a tenth of a second
TRIES = 3  # times that an item goes to a worker, where workers are lost
# Ray Data knows all items of a stream beforehand: after so many, or so much, the next stream begins.
WINDOW, WINDOW_BYTES = 50_000, 64_000_000
LOST = f"the worker was lost {TRIES} times, as by too little memory; the same call again tries it once more"


def stream(
    cluster: Cluster,
    make: Callable[[], Callable[[Item], Result]],
    items: Iterable[Item],
    lost: Callable[[Item, str], Result],
    in_order: bool,
    at_once: int,
    ending: Callable[[], object],
) -> Generator[Result, None, None]:
    """The results of all items, as `Cluster.spread` says."""
    rest, far = iter(items), packed(make)
    while window := list(_window(rest)):
        with closing(_results(cluster, far, window, in_order, at_once, ending)) as results:
            for index, result in results:
                yield unpacked(result) if result else lost(unpacked(window[index]), LOST)


def _window(items: Iterator[Any]) -> Iterator[bytes]:
    """The next items, packed."""
    size = 0
    for item in itertools.islice(items, WINDOW):
        yield (data := packed(item))
        size += len(data)
        if size > WINDOW_BYTES:
            return


def _results(
    cluster: Cluster,
    make: bytes,
    items: Sequence[bytes],
    in_order: bool,
    at_once: int,
    ending: Callable[[], object],
) -> Generator[tuple[int, bytes], None, None]:
    """(index, packed result) of every item; b"" for one whose worker was lost too often."""
    _set_up(in_order)
    workers = min(cluster.workers, len(items))
    size = {"num_cpus": cluster.cpus, "num_gpus": cluster.gpus or None}
    tally = ray.remote(num_cpus=0)(Tally).options(max_concurrency=64).remote()
    pool = ray.data.ActorPoolStrategy(
        size=workers,
        max_tasks_in_flight_per_actor=at_once + WAITING,
        max_concurrent_calls_per_actor=at_once,
        enable_true_multi_threading=at_once > 1,
    )
    # Read with what workers have, reading is a part of their work; apart, it would wait for the cores that they hold.
    given = ray.data.read_datasource(_Items(items), override_num_blocks=len(items), **size)
    found = given.map(Worker, fn_constructor_args=(make, home(cluster.threads), tally, TRIES), compute=pool, **size)
    try:
        for batch in found.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from zip(batch["index"].to_pylist(), batch["result"].to_pylist(), strict=True)
    except BaseException as error:
        ending()
        if not isinstance(error, ray.exceptions.RayError):
            raise
        raise UsageError(f"the Ray cluster gave up: {' '.join(str(error).split())[:300]}") from error


def _set_up(in_order: bool) -> None:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = in_order


class _Items(ray.data.Datasource):
    """Packed items, a read task each: a worker that is lost takes those that it was at with it, and no more."""

    def __init__(self, items: Sequence[bytes]) -> None:
        self._items = items

    def estimate_inmemory_data_size(self) -> int:
        return sum(map(len, self._items))

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[Any]:
        return [
            ray.data.ReadTask(partial(_table, index, item), BlockMetadata(1, len(item), None, None))
            for index, item in enumerate(self._items)
        ]


def _table(index: int, item: bytes) -> list[Any]:
    return [pa.table({"index": [index], "item": pa.array([item], pa.binary())})]
