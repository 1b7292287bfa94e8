"""A Ray cluster, one that runs or one of this machine alone, and how many workers of which size it is to hold."""

from __future__ import annotations

import logging
import math
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from relation_adapter.errors import MissingExtraError, UsageError
from relation_adapter.files import reason

Item = TypeVar("Item")
Result = TypeVar("Result")

LOCAL = "local"
STORE_BYTES = 512_000_000  # of a local cluster's object store: a window of items, and results on their way
# Its own words are for whoever looks after a cluster; what a user can act on is raised.
LOGGERS = ("ray", "ray.data", "ray._private", "ray.dashboard", "ray.train", "ray.tune")
SILENCE = {
    "RAY_USAGE_STATS_ENABLED": "0",  # sends nothing anywhere
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # its warning of what later releases do
    "RAY_DEDUP_LOGS": "0",
}


@dataclass(frozen=True)
class Slots:
    """What a worker takes of its machine, and how many there are to be.

    workers: None for as many as fit. cpus: cores, which are also the threads that it computes with. gpus: a part of a
    GPU, or several; None for one where the cluster has any, else none.
    """

    workers: int | None = None
    cpus: float = 1.0
    gpus: float | None = None


@dataclass(frozen=True)
class Cluster:
    """Workers to be had: `workers` of them, each with so many cores and GPUs."""

    workers: int
    cpus: float
    gpus: float
    _open: ExitStack = field(default_factory=ExitStack, repr=False, compare=False)

    def spread(
        self,
        make: Callable[[], Callable[[Item], Result]],
        items: Iterable[Item],
        lost: Callable[[Item, str], Result],
        in_order: bool = False,
        at_once: int = 1,
        ending: Callable[[], object] = lambda: None,
    ) -> Iterator[Result]:
        """A `Spread` over the workers. at_once: items under way in a worker, in threads of its own. ending: called
        where the work ends early, before workers are stopped.

        Items are drawn, and results kept, no further ahead than the workers need. An item whose worker is lost goes to
        another one.
        """
        from relation_adapter.scale.stream import stream

        # Whoever reads may stop anywhere; a stream is to end before the cluster does.
        yield from self._open.enter_context(closing(stream(self, make, items, lost, in_order, at_once, ending)))

    def once(self, function: Callable[[], Result]) -> Result:
        """What a function returns in a worker, where all is that workers need. Raises what it raises."""
        import ray

        from relation_adapter.scale.worker import home, outcome, packed, unpacked

        far = ray.remote(max_retries=2, max_calls=1, num_cpus=self.cpus, num_gpus=self.gpus)(outcome)
        try:
            return unpacked(ray.get(far.remote(packed(function), home(self.threads))))
        except ray.exceptions.RayError as error:
            raise UsageError(f"a worker of the Ray cluster cannot begin: {lost_why(error)}") from error

    @property
    def host(self) -> str:
        """The address of this machine, as workers see it."""
        import ray

        return str(ray.util.get_node_ip_address())

    @property
    def threads(self) -> int:
        """How many a worker computes with."""
        return max(1, int(self.cpus))


@contextmanager
def connect(address: str = LOCAL, slots: Slots | None = None) -> Iterator[Cluster]:
    """A cluster for the time of the block: `auto`, or HOST:PORT of one that runs; LOCAL starts one on this machine.

    Raises MissingExtraError without Ray; UsageError where no cluster answers there, or no worker of this size fits.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in SILENCE.items()})
    ray = _import()
    slots = slots or Slots()
    _begin(ray, address, slots)
    try:
        cluster = _sized(ray.cluster_resources(), slots, address)
        with cluster._open:
            yield cluster
    finally:
        ray.shutdown()


def _import() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("--ray needs Ray; pip install 'relation-adapter[ray]'") from error
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # Of every worker that dies it prints a page, on stdout, where results go. Nothing public turns that off.
    ray._private.worker._worker_logs_enabled = False
    return ray


def _begin(ray: Any, address: str, slots: Slots) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address == LOCAL:
        # There may be more workers than cores: they are slower then, and the results the same.
        cores = max(os.cpu_count() or 1, math.ceil(slots.cpus * (slots.workers or 1)))
        quiet |= {"include_dashboard": False, "num_cpus": cores, "object_store_memory": STORE_BYTES}
    try:
        host, colon, port = _place(ray, address).rpartition(":")
        if colon:  # Ray itself would try for minutes
            socket.create_connection((host.strip("[]"), int(port)), 10).close()
        with _without_stderr():
            ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError, OverflowError) as error:
        if "AuthenticationError" in str(error.__cause__):
            raise UsageError(
                f"--ray {address}: the cluster wants its token; set RAY_AUTH_MODE=token, with the token in "
                "~/.ray/auth_token or RAY_AUTH_TOKEN, as on its head"
            ) from error
        told = f"--ray {address}: no Ray cluster answers there ({reason(error)[:200]})"
        raise UsageError(f"{told}; `ray status` says whether one runs, --ray alone starts one here") from error


def _place(ray: Any, address: str) -> str:
    """Where an address leads to; `auto` to what the last head here left, which may be there no more."""
    if address != "auto" or ray._private.services.find_gcs_addresses():
        return address
    return os.environ.get("RAY_ADDRESS") or ray._private.utils.read_ray_address() or address


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Ray's own processes say there at which level they log."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _sized(there: Mapping[str, float], slots: Slots, address: str) -> Cluster:
    """The workers that fit, or that are asked for: a cluster that grows on demand may hold more later."""
    cores, cards = there.get("CPU", 0.0), there.get("GPU", 0.0)
    gpus = (1.0 if cards else 0.0) if slots.gpus is None else slots.gpus
    fit = [cores / slots.cpus] if slots.cpus else []
    fit += [cards / gpus] if gpus else []
    most = int(min(fit, default=1.0))
    if most < 1 and slots.workers is None:
        raise UsageError(
            f"--ray {address}: no worker of {slots.cpus:g} cores and {gpus:g} GPUs fits on {cores:g} cores and "
            f"{cards:g} GPUs; give smaller --ray-cpus or --ray-gpus"
        )
    return Cluster(slots.workers or most, slots.cpus, gpus)


def lost_why(error: BaseException) -> str:
    """Why Ray gave something up, in one line."""
    return " ".join(str(error).split())[:300]
