"""The flags of `relation-adapter data`."""

from __future__ import annotations

import argparse
from typing import Any, get_args

from relation_adapter.cli import annotate_flags, build_flags, flags, pair_flags
from relation_adapter.data.schema import Category, Split

PROCEDURAL = """\
Make quads whose target is computed: PNG and a quads.jsonl, from a seed alone.

  relation-adapter data procedural -o quads/ --count 100
  relation-adapter data procedural -o edits/ --tasks 'add hat,close eyes' --size 256
  relation-adapter data procedural -o mine/ --photos photos/ --category style --workers 4
  relation-adapter data procedural -o benchmark/ --benchmark

A quad depends on the seed, the task's name and its number alone: not on the other tasks, the order or the workers. The
same command again goes on where it was stopped. The checksum is of all pixels; --checksum computes it and writes
nothing."""


def add(data: argparse.ArgumentParser, command: flags.Command) -> None:
    """All data commands; command looks up the function that runs one."""
    commands = data.add_subparsers(title="commands", metavar="COMMAND", required=True)
    procedural = commands.add_parser("procedural", help="quads with a computed target", description=PROCEDURAL)
    procedural.set_defaults(run=command("data", "procedural"), stopped=flags.GO_ON)
    _add_where(procedural)
    _add_which(procedural.add_argument_group("which quads"))
    pair_flags.add(commands, command)
    build_flags.add(commands, command)
    annotate_flags.add(commands, command)


def _add_where(procedural: argparse.ArgumentParser) -> None:
    procedural.add_argument("-o", "--out", type=flags.path, metavar="FOLDER", help="where to write")
    procedural.add_argument("--checksum", action="store_true", help="print the checksum, write nothing")
    procedural.add_argument("--workers", type=flags.whole(1, 1024), default=1, metavar="N", help="processes; default 1")


def _add_which(which: Any) -> None:
    which.add_argument(
        "--benchmark",
        action="store_true",
        help="the frozen benchmark: 30 of every task, seen and unseen, at 128 pixels; says whether its checksum "
        "agrees; with --count the first few of every task",
    )
    which.add_argument("--tasks", type=_names, metavar="NAME,...", help="these tasks; default: all of the split")
    which.add_argument("--category", choices=get_args(Category), help="the tasks of one category")
    which.add_argument(
        "--split",
        choices=get_args(Split),
        help="train (the default); seen: held out, of the same tasks; unseen: of tasks kept out of training",
    )
    which.add_argument("--count", type=flags.whole(1, 10**9), metavar="N", help="quads of every task; default 30")
    which.add_argument("--size", type=flags.whole(8, 4096), metavar="N", help="pixels a side; default 128")
    which.add_argument("--seed", type=flags.whole(0, flags.MAX_SEED), metavar="N", help="default 0")
    which.add_argument(
        "--photos", type=flags.path, metavar="FOLDER", help="make the pairs of these photos; tasks of drawn scenes rest"
    )


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r}: write task names with commas between them, as 'add hat,sepia'")
    return names
