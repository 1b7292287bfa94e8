"""What all tests share. The environment is set before torch is imported, and inherited by every process of a test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import order
import pytest
import told_once

from relation_adapter.importing import large_imports

# Tiny tensors gain nothing from threads, and on a busy machine threads wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ray's workers are as nice as can be: beside other tests, on a busy machine, they would wait for minutes.
os.environ.setdefault("RAY_worker_niceness", "0")

RAY = ExitStack()

if TYPE_CHECKING:
    from relation_adapter import RelationPipeline
    from relation_adapter.scale import Cluster


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """All tests together import a million objects that stay."""
    with large_imports(freeze=True):
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: order.place(item.path.name))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """As `--dist loadfile`, in our order, and some files as one."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return order.group(super()._split_scope(nodeid))

    config.option.loadscopereorder = False  # by the number of their tests
    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    told_once.remember()


@pytest.fixture(scope="module")
def pipe() -> RelationPipeline:
    """`mini`, as it ships."""
    from relation_adapter import RelationPipeline

    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Four workers of a Ray cluster on this machine, for all tests of a process that need one."""
    from relation_adapter.scale import Slots, connect

    with RAY:
        yield RAY.enter_context(connect(slots=Slots(4)))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Ray's own processes never rest: they end with the last test that needs them."""
    if nextitem is None or nextitem.path.name not in order.RAY:
        RAY.close()
