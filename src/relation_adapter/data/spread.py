"""The seam behind which work on many items is done: one after the other here, or by `scale` on many machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from relation_adapter.data import ordered

Item = TypeVar("Item")
Result = TypeVar("Result")


class Spread(Protocol):
    """Does the same to many items.

    make: called once by every worker; what it returns is called with one item after another. lost: the result of an
    item whose worker was lost as often as is borne. in_order: results come in the order of the items, otherwise each
    once it is there. What `make` or its work raises is raised here.
    """

    def __call__(
        self,
        make: Callable[[], Callable[[Item], Result]],
        items: Iterable[Item],
        lost: Callable[[Item, str], Result],
        in_order: bool = False,
    ) -> Iterator[Result]:
        """The result of every item."""
        ...


def serially(
    make: Callable[[], Callable[[Item], Result]],
    items: Iterable[Item],
    lost: Callable[[Item, str], Result],
    in_order: bool = False,
) -> Iterator[Result]:
    """A `Spread` over this process alone; nothing is made where there is no item."""
    work: Callable[[Item], Result] | None = None
    for item in items:
        work = work or make()
        yield work(item)


def threaded(threads: int, stop: Callable[[], object], ahead: int) -> Spread:
    """A `Spread` over threads of this process (`ordered.in_order`), always in order."""

    def spread(
        make: Callable[[], Callable[[Item], Result]],
        items: Iterable[Item],
        lost: Callable[[Item, str], Result],
        in_order: bool = False,
    ) -> Iterator[Result]:
        return ordered.in_order(make(), items, threads, stop, ahead)

    return spread
