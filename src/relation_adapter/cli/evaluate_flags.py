"""The flags of `relation-adapter evaluate`, but for those that an edit has too."""

from __future__ import annotations

from typing import Any

from relation_adapter.cli import flags, judge_flags

EVALUATE = """\
Compare editors on the same quads: make every edit, score it, let a model judge it, write the tables.

  relation-adapter evaluate generate quads.jsonl --model mini -o runs/mini/
  relation-adapter evaluate score runs/mini/ runs/identity/
  relation-adapter evaluate report runs/mini/ runs/identity/ -o report/"""

GENERATE = """\
Edit every quad of a file with one editor, as `edit --quads` does.

The same command again goes on where it was stopped."""

SCORE = """\
Add scores to every row of one or more batches: how near each output comes to its target.

  relation-adapter evaluate score runs/mini/ --metrics mse,psnr,ssim

What is scored already stays. The columns go into rows.jsonl; metrics.json says how each was made."""


def add(commands: Any, command: flags.Command) -> None:
    """All evaluate commands but `generate`; command looks up the function that runs one."""
    score = commands.add_parser("score", help="scores of what was made", description=SCORE)
    score.add_argument("folders", nargs="+", type=flags.path, metavar="FOLDER", help="a folder of `evaluate generate`")
    score.add_argument(
        "--metrics", type=_names, metavar="NAME,...", help="default: mse,psnr,ssim; `--metrics list` names all"
    )
    score.set_defaults(run=command("evaluate", "score"), stopped=flags.GO_ON)
    judge_flags.add(commands, command)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
