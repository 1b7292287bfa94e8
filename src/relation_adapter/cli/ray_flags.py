"""The flags of every command that can do its work on a Ray cluster."""

from __future__ import annotations

import argparse
import re

from relation_adapter.cli import flags

LOCAL = "local"


def add(command: argparse.ArgumentParser) -> None:
    """--ray, and what a worker takes."""
    ray = command.add_argument_group("many machines, or many processes of this one: docs/scale.md")
    ray.add_argument(
        "--ray",
        nargs="?",
        const=LOCAL,
        type=_address,
        metavar="ADDRESS",
        help="do the work on a Ray cluster: auto or HOST:PORT for one that runs; none starts one on this machine",
    )
    ray.add_argument(
        "--ray-workers", type=flags.whole(1, 100_000), metavar="N", help="workers; default: as many as fit"
    )
    ray.add_argument("--ray-cpus", type=flags.finite(0.01), metavar="F", help="cores, and threads, a worker; default 1")
    ray.add_argument(
        "--ray-gpus", type=flags.finite(0), metavar="F", help="GPUs a worker, as 0.5; default: 1 where there are any"
    )


def _address(text: str) -> str:
    if text not in (LOCAL, "auto") and not re.fullmatch(r"[\w.-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no address of a cluster; write auto or HOST:PORT, and --ray alone before another flag"
        )
    return text
