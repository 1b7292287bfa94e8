"""The flags of `relation-adapter data import`, `export` and `verify`."""

from __future__ import annotations

import argparse
from typing import Any, get_args

from relation_adapter.cli import flags
from relation_adapter.data.schema import Category, Split

# As sources/forms.py and export.py have them; they would load Pillow for --help.
IMPORTED = ("labels", "run-ready", "folders", "webdataset", "datasets")
EXPORTED = ("labels", "run-ready", "datasets")

IMPORT = """\
Make a pairs.jsonl of pairs in another form.

  relation-adapter data import Relation252K/ -o pairs/                 labels.json beside glued pictures
  relation-adapter data import run_ready.jsonl -o pairs/               cond1, cond2, source, target, text
  relation-adapter data import photos/ -o photos/                      cat_before.jpg, cat_after.jpg; before/, after/
  relation-adapter data import shards/ -o pairs/                       WebDataset, *.tar
  relation-adapter data import OWNER/NAME --form datasets -o pairs/    Hugging Face, streamed
      --columns before=source_img,after=target_img,instruction=prompt

Glued pictures are split into two PNG files. Pictures that lie in the output folder stay where they are, others are
copied into it. What cannot be used is named, and left out (exit code 1)."""

EXPORT = """\
Write pairs or quads in a published form.

  relation-adapter data export pairs/pairs.jsonl --form labels -o Relation/        <task>/Group1/labels.json, glued
  relation-adapter data export quads/quads.jsonl --form run-ready -o quads/run.jsonl
  relation-adapter data export pairs/pairs.jsonl --form datasets -o hub/           parquet, and a card

The folder of --form datasets can be uploaded as it is, and opened with datasets.load_dataset."""

VERIFY = """\
Look at every picture of a pairs.jsonl or quads.jsonl, and at what they are together.

  relation-adapter data verify pairs/pairs.jsonl

Each problem is one line with file and line number: a picture that is missing, damaged or too small; before and after
of different shapes, or the same; a glued picture split in the wrong place; a pair that is there twice, or nearly; a
picture of a held-out row in training, or nearly the same. Exit code 1 where there is a problem. The same command again
looks only at what has changed."""


def add(commands: Any, command: flags.Command) -> None:
    """The three commands; command looks up the function that runs one."""
    _add_import(commands.add_parser("import", help="pairs of another form", description=IMPORT), command)
    _add_verify(commands.add_parser("verify", help="look for what is wrong in a set", description=VERIFY), command)
    _add_export(commands.add_parser("export", help="write a published form", description=EXPORT), command)


def _add_import(one: argparse.ArgumentParser, command: flags.Command) -> None:
    one.add_argument("source", type=flags.path_text, metavar="SOURCE", help="a folder, a file, or OWNER/NAME")
    _add_out(one, "FOLDER", "where pairs.jsonl goes")
    one.add_argument("--form", choices=IMPORTED, help="of the source; default: as its files are named")
    one.add_argument("--task", metavar="NAME", help="of all pairs, whatever the source says")
    one.add_argument("--category", choices=get_args(Category), help="of all pairs, whatever the source says")
    one.add_argument("--split", choices=get_args(Split), help="of all pairs, whatever the source says")
    one.add_argument(
        "--columns", type=_columns, metavar="FIELD=COLUMN,...", help="with --form datasets: these columns and no others"
    )
    one.add_argument("--hub-split", default="train", metavar="NAME", help="with --form datasets; default train")
    _add_workers(one)
    one.set_defaults(run=command("data_import"), stopped=flags.GO_ON)


def _add_verify(one: argparse.ArgumentParser, command: flags.Command) -> None:
    one.add_argument("file", type=flags.path, metavar="FILE.jsonl", help="pairs or quads")
    one.add_argument("--published", action="store_true", help="counts other than those of Relation252K are problems")
    one.add_argument("--counts", action="store_true", help="tell task, category and rows of each, with tabs between")
    one.add_argument("--fresh", action="store_true", help="look at every picture again")
    _add_workers(one)
    one.set_defaults(run=command("data_verify"), stopped=flags.GO_ON)


def _add_export(one: argparse.ArgumentParser, command: flags.Command) -> None:
    one.add_argument("file", type=flags.path, metavar="FILE.jsonl", help="pairs; quads for --form run-ready")
    _add_out(one, "OUT", "a folder; for --form run-ready a file, beside or above the pictures")
    one.add_argument("--form", choices=EXPORTED, required=True, help="to write")
    one.add_argument("--title", default="Pairs", metavar="TEXT", help="with --form datasets: heads the card")
    one.add_argument("--licence", default="unknown", metavar="NAME", help="with --form datasets: as the hub names it")
    _add_workers(one)
    one.set_defaults(run=command("data_export"), stopped=flags.GO_ON)


def _add_out(one: argparse.ArgumentParser, name: str, text: str) -> None:
    one.add_argument("-o", "--out", type=flags.path, required=True, metavar=name, help=text)


def _add_workers(one: argparse.ArgumentParser) -> None:
    one.add_argument("--workers", type=flags.whole(1, 256), default=4, metavar="N", help="threads; default 4")


def _columns(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(field.strip() and column.strip() for field, _, column in pairs):
        raise argparse.ArgumentTypeError(f"{text!r}: write field=column with commas between, as before=a,after=b")
    return {field.strip(): column.strip() for field, _, column in pairs}
