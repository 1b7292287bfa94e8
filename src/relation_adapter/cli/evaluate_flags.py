"""The flags of `relation-adapter evaluate`, but for those that an edit has too."""

from __future__ import annotations

from typing import Any

from relation_adapter.cli import flags, judge_flags, ray_flags

EVALUATE = """\
Compare editors on the same quads: make every edit, score it, let a model judge it, write the tables.

  relation-adapter evaluate generate quads.jsonl --model mini -o runs/mini/
  relation-adapter evaluate score runs/mini/ runs/identity/
  relation-adapter evaluate report runs/mini/ runs/identity/ -o report/"""

GENERATE = """\
Edit every quad of a file with one editor, as `edit --quads` does.

The same command again goes on where it was stopped."""

SCORING = """\
Add scores to every row of one or more batches: how near each output comes to its target.

  relation-adapter evaluate score runs/mini/
  relation-adapter evaluate score runs/mini/ runs/identity/ --metrics pixels,dense
  relation-adapter evaluate score runs/mini/ --metrics lpips,clip_i,delta_cosine,fid --weights WEIGHTS/ --offline
  relation-adapter evaluate score --metrics list

What is scored already stays. The columns go into rows.jsonl, and metrics.json says how each was made; fid and kid,
which are of all outputs together, go into sets.json. See docs/evaluation.md."""

REPORT = """\
One page of what editors made of the same quads: the paper's tables beside its numbers, tests between editors, every
task, the best and the worst edits, strengths, time and memory.

  relation-adapter evaluate report runs/mini/ runs/identity/ runs/image_analogies/ -o report/
  relation-adapter evaluate report runs/mini/ runs/identity/ --judged judged/ -o report/

Score the folders first. index.html is whole in itself; report.md says the same, beside its pictures. Folders of one
editor at several --strength make table 9 and its plot. What does not compare is said on the page."""


def add(commands: Any, command: flags.Command) -> None:
    """All evaluate commands but `generate`; command looks up the function that runs one."""
    score = commands.add_parser("score", help="scores of what was made", description=SCORING)
    score.add_argument("folders", nargs="*", type=flags.path, metavar="FOLDER", help="a folder of `evaluate generate`")
    score.add_argument(
        "--metrics",
        type=_names,
        metavar="NAME,...",
        help="names, or the groups pixels, networks and dense; default: pixels; `--metrics list` says what each is",
    )
    places = score.add_argument_group("the networks of metrics that look through one")
    places.add_argument("--weights", type=flags.path, metavar="FOLDER", help="where downloaded ones lie")
    places.add_argument("--offline", action="store_true", help="fetch nothing")
    places.add_argument(
        "--network",
        action="append",
        default=[],
        type=flags.assignment,
        metavar="NAME=PLACE",
        help="another one than the published, as clip=openai/clip-vit-base-patch32, or a path; repeatable",
    )
    ray_flags.add(score)
    score.set_defaults(run=command("evaluate", "score"), stopped=flags.GO_ON)
    judge_flags.add(commands, command)
    _add_report(commands, command)


def _add_report(commands: Any, command: flags.Command) -> None:
    report = commands.add_parser("report", help="tables and pictures of all of it on one page", description=REPORT)
    report.add_argument("folders", nargs="+", type=flags.path, metavar="FOLDER", help="a scored folder of `generate`")
    report.add_argument(
        "--judged",
        action="append",
        default=[],
        type=flags.path,
        metavar="OUT",
        help="a folder of `evaluate judge`; repeatable; single scores that lie in the batches need none",
    )
    report.add_argument("-o", "--out", type=flags.path, required=True, metavar="REPORT", help="where the page goes")
    report.set_defaults(run=command("evaluate_report"), stopped="run the same command again")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
