"""The flags of `relation-adapter train` that fit a relation to a pair."""

from __future__ import annotations

import argparse

from relation_adapter.cli import flags

TRAIN = """\
Train a model from a preset into a folder. The same command again goes on where it was stopped.

  relation-adapter train mini --run runs/mini

Or fit a relation to pairs of your own, for edits that the model does not quite get from looking:

  relation-adapter train --from-pair before.jpg after.jpg -o look.safetensors
  relation-adapter edit --relation look.safetensors photo.jpg -o edited.png"""


def add_fit(train: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """The group of --from-pair; the flags of models are to be added by whoever has them."""
    fit = train.add_argument_group("a relation fitted to pairs")
    fit.add_argument(
        "--from-pair",
        action="append",
        default=[],
        nargs=2,
        type=flags.path,
        metavar=("BEFORE", "AFTER"),
        help="a picture before and after the edit; repeat it for more examples of the same edit",
    )
    fit.add_argument("-o", "--out", type=flags.path_text, metavar="FILE", help="to write, ending in .safetensors")
    fit.add_argument("--name", metavar="NAME", help="a name to keep in the file; default: the file's")
    fit.add_argument("--instruction", metavar="TEXT", help="as it will be given when editing; mini reads none")
    fit.add_argument(
        "--lora-rank",
        type=flags.whole(1, 1024),
        metavar="N",
        help="fit a LoRA of this rank instead, for `edit --pair BEFORE AFTER --lora FILE`",
    )
    fit.add_argument("--fit-steps", type=flags.whole(1, 100_000), metavar="N", help="at most; default 60")
    fit.add_argument(
        "--fit-rate", type=flags.finite(0), metavar="R", help="learning rate; default 0.015, of a LoRA 0.001"
    )
    return fit
