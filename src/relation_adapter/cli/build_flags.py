"""The flags of `relation-adapter data build` and `data cache`."""

from __future__ import annotations

import argparse
from typing import Any

from relation_adapter.cli import flags, ray_flags

BUILD = """\
Make quads of pairs: within a task, one pair shows the edit and another is source and target.

  relation-adapter data build pairs.jsonl -o quads.jsonl
  relation-adapter data build pairs.jsonl -o quads.jsonl --unseen 'add hat,sepia' --cap 500

Tasks are seen or unseen, pairs of seen tasks trained on or held out, and no picture of a pair held out is trained on.
The same seed makes the same choices; a new pair or task moves no others. The counts are told and explained."""

CACHE = """\
Encode the pictures and instructions of quads once, so that training needs no encoder.

  relation-adapter data cache quads.jsonl -o cache/
  relation-adapter data cache quads.jsonl -o cache/ --model published --weights weights/
  relation-adapter data cache quads.jsonl -o cache/ --dry-run

What it takes on disk is told first. The same command again goes on where it was stopped, and encodes what is new or has
changed; what it needs no more is removed. Pictures are brought to a few sizes of one area, the middle cut out.
`relation-adapter train mini --set cache=cache/ --run run/` trains on it."""


def add(commands: Any, command: flags.Command) -> None:
    """Both commands; command looks up the function that runs one."""
    build = commands.add_parser("build", help="quads from pairs: by rotation, split, counted", description=BUILD)
    build.set_defaults(run=command("data_build", "build"), stopped="nothing is written")
    _add_build(build)
    cache = commands.add_parser("cache", help="encode pictures and instructions once", description=CACHE)
    cache.set_defaults(
        run=command("data_build", "cache"), stopped="what is encoded stays; run the same command again to go on"
    )
    _add_cache(cache)


def _add_build(build: argparse.ArgumentParser) -> None:
    build.add_argument("pairs", type=flags.path, metavar="PAIRS.jsonl", help="pairs with their tasks")
    build.add_argument("-o", "--out", type=flags.path, required=True, metavar="QUADS.jsonl", help="where to write")
    build.add_argument("--force", action="store_true", help="overwrite the file if it exists")
    build.add_argument("--seed", type=flags.whole(0, flags.MAX_SEED), default=0, metavar="N", help="default 0")
    build.add_argument(
        "--cap", type=flags.whole(1, 10**9), default=2000, metavar="N", help="quads to train on a task at most; 2000"
    )
    build.add_argument(
        "--benchmark", type=flags.whole(0, 10**6), default=30, metavar="N", help="quads held out of every task; 30"
    )
    build.add_argument(
        "--unseen",
        type=_unseen,
        metavar="N|TASK,...",
        help="tasks that training never meets: how many, or their names; default: 10, fewer where there are few tasks",
    )
    build.add_argument("--counts", action="store_true", help="also the counts of every task, one a line")


def _add_cache(cache: argparse.ArgumentParser) -> None:
    cache.add_argument("quads", type=flags.path, metavar="QUADS.jsonl", help="the quads")
    cache.add_argument("-o", "--out", type=flags.path, required=True, metavar="FOLDER", help="where the cache is kept")
    cache.add_argument("--dry-run", action="store_true", help="look at every picture and tell the size; encode nothing")
    cache.add_argument("--check", action="store_true", help="compare the checksum of every file that is there")
    cache.add_argument(
        "--model",
        default="mini",
        metavar="MODEL",
        help="whose encoders: mini (the default), published or directed (FLUX.1-dev's and SigLIP), a file or a folder",
    )
    cache.add_argument(
        "--side",
        type=flags.whole(16, 4096),
        metavar="N",
        help="pixels; source and target have the area of a square of this side; default: the model's own",
    )
    cache.add_argument("--dtype", choices=("bf16", "fp16", "fp32"), help="on disk; default: the encoders'")
    cache.add_argument(
        "--shard", type=flags.whole(1, 10**6), default=512, metavar="N", help="entries a file at most; default 512"
    )
    cache.add_argument("--workers", type=flags.whole(1, 256), default=2, metavar="N", help="threads that open pictures")
    ray_flags.add(cache)
    parts = cache.add_argument_group("the parts of FLUX.1-dev: a path, or OWNER/NAME on the hub")
    parts.add_argument("--weights", type=flags.path, metavar="FOLDER", help="where downloaded parts lie")
    parts.add_argument("--base", metavar="PLACE", help="FLUX.1-dev, or a model of its form")
    parts.add_argument("--image-encoder", metavar="PLACE", help="SigLIP so400m-patch14-384")
    parts.add_argument("--offline", action="store_true", help="never ask the hub")


def _unseen(text: str) -> int | list[str]:
    if text.isdecimal():
        return int(text)
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r}: write a number, or task names with commas between them")
    return names
