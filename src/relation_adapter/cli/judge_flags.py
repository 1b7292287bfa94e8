"""The flags of `relation-adapter evaluate judge` and `evaluate agreement`."""

from __future__ import annotations

from typing import Any

from relation_adapter.cli import flags, vlm_flags

JUDGE = """\
Have a vision-language model score results from 1 to 5: consistency with the source (GPT-C), and accuracy (GPT-A).

  relation-adapter evaluate judge runs/mini/ --against runs/identity/ -o judged/ --vlm gpt-4o --price 2.5,10 --dry-run
  relation-adapter evaluate judge runs/mini/ --against runs/identity/ -o judged/ --vlm gpt-4o --budget requests=5000
  relation-adapter evaluate judge runs/mini/ --vlm qwen --base-url http://localhost:8000/v1

With --against two editors' results of a quad are shown in one picture, as in the paper: a score depends on the rival.
Every quad is asked about in both orders; the scores are averaged. Without it every result is scored alone, which is
another number: the two are never in one table. Single scores become the columns gpt_c and gpt_a of the batch's
rows.jsonl; with -o they stay apart, as for a second judge. Every answer goes to a journal at once: the same command
again goes on where it was stopped and asks nothing twice. Any OpenAI-compatible server will do; the key is taken from
OPENAI_API_KEY, and a server of your own may need none."""

AGREEMENT = """\
How far two judges agree, or two runs of one, on the same results: Cohen's kappa, plain and weighted by the square of
the difference. With one folder: a judge with itself, when two results change places.

  relation-adapter evaluate agreement judged/gpt-4o/ judged/qwen/
  relation-adapter evaluate agreement judged/gpt-4o/"""


def add(commands: Any, command: flags.Command) -> None:
    """`evaluate judge` and `evaluate agreement`; command looks up the function that runs one."""
    judge = commands.add_parser("judge", help="scores by a vision-language model", description=JUDGE)
    judge.set_defaults(
        run=command("evaluate_judge"), stopped="all answers are kept; run the same command again to go on"
    )
    judge.add_argument("folder", type=flags.path, metavar="FOLDER", help="a folder of `evaluate generate`")
    judge.add_argument("--against", type=flags.path, metavar="FOLDER", help="another editor's, of the same quads")
    judge.add_argument(
        "-o", "--out", type=flags.path, metavar="OUT", help="a folder for the scores; needed with --against"
    )
    judge.add_argument("--answers", type=flags.path, metavar="FOLDER", help="the journal; default: OUT/answers")
    what = judge.add_argument_group("what to ask")
    what.add_argument("--one-order", action="store_true", help="ask once about two results, as the paper does")
    what.add_argument(
        "--seed", type=flags.whole(0, flags.MAX_SEED), default=0, metavar="N", help="of the order of two; default 0"
    )
    vlm_flags.add_what(what)
    vlm_flags.add(judge)
    agreement = commands.add_parser("agreement", help="how far two judges agree", description=AGREEMENT)
    agreement.set_defaults(run=command("evaluate_judge", "agreement"), stopped="")
    agreement.add_argument("folder", type=flags.path, metavar="JUDGED", help="an OUT of `evaluate judge`")
    agreement.add_argument("other", type=flags.path, nargs="?", metavar="OTHER", help="another, of the same batches")
