"""The flags of `relation-adapter data annotate`."""

from __future__ import annotations

from typing import Any

from relation_adapter.cli import flags, vlm_flags

ANNOTATE = """\
Have a vision-language model describe pairs: what is before, what is after, and the instruction between them.

  relation-adapter data annotate pairs.jsonl -o annotated.jsonl --vlm gpt-4o --price 2.5,10 --dry-run
  relation-adapter data annotate pairs.jsonl -o annotated.jsonl --vlm gpt-4o --price 2.5,10 --budget money=20
  relation-adapter data annotate pairs.jsonl -o annotated.jsonl --vlm qwen --base-url http://localhost:8000/v1

Any OpenAI-compatible server will do; the key is taken from OPENAI_API_KEY, and a server of your own may need none. What
a row has already is kept; only null fields are asked for. Every answer goes to a journal at once, in a folder beside
OUT: the same command again goes on where it was stopped and asks nothing twice. Pairs that were refused, or got no
reply of the right shape, are listed in OUT's name with .aside.jsonl."""


def add(commands: Any, command: flags.Command) -> None:
    """`data annotate`; command looks up the function that runs it."""
    annotate = commands.add_parser("annotate", help="describe pairs by a model", description=ANNOTATE)
    annotate.set_defaults(
        run=command("data_annotate"), stopped="all answers are kept; run the same command again to go on"
    )
    annotate.add_argument("pairs", type=flags.path, metavar="PAIRS.jsonl", help="the pairs to annotate")
    annotate.add_argument(
        "-o",
        "--out",
        type=flags.path,
        required=True,
        metavar="OUT.jsonl",
        help="to write, in a folder above the pictures",
    )
    annotate.add_argument(
        "--answers", type=flags.path, metavar="FOLDER", help="the journal; default: OUT's name with .answers"
    )
    _add_what(annotate.add_argument_group("what to ask"))
    vlm_flags.add(annotate)


def _add_what(what: Any) -> None:
    what.add_argument(
        "--name-tasks",
        action="store_true",
        help="also name the task and category of rows without, by some of their pairs",
    )
    what.add_argument(
        "--second-look",
        action="store_true",
        help="also ask whether each pair shows its instruction; those that do not are listed in .rejects.jsonl",
    )
    vlm_flags.add_what(what)
