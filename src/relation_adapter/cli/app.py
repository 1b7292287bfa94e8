"""The commands and their flags, and what becomes of errors.

Exit codes: 0 all done; 1 some items failed, the rest is written; 2 wrong usage or unusable input, in one line;
130 stopped by Ctrl-C. An exception that nobody foresaw keeps its traceback.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import relation_adapter
from relation_adapter.cli import data_flags, evaluate_flags, fast_flags, flags, ray_flags, train_flags, ui_flags
from relation_adapter.cli.say import PROGRAM, quiet_libraries, say
from relation_adapter.errors import RelationAdapterError

MEMORY_GIB = (12, 16, 24, 40, 80)
HELP = argparse.RawDescriptionHelpFormatter

EDIT = """\
Make the edit that a pair of pictures shows on other pictures.

  relation-adapter edit --pair before.jpg after.jpg photo.jpg -o edited.png
  relation-adapter edit --pair before.jpg after.jpg photos/ -o edited/
  relation-adapter edit --relation look.safetensors:0.8 photos/*.jpg -o edited/
  relation-adapter edit --quads quads.jsonl -o batch/

In a folder each result is a PNG named after its source. A result depends on its own source and the seed alone, not on
the other sources. Nothing is overwritten without --force, and no input ever. A bad source among several is named and
the others are edited (exit code 1). With --quads the same command again goes on where it was stopped."""

CONVERT = """\
Turn the published adapter, a pickle, into safetensors with its configuration inside. Nothing in the pickle is run, and
every name and shape is checked. The result is an --adapter, and opens faster.

  relation-adapter models convert ip_adapter-100000.bin -o relation_adapter.safetensors"""

RELATION = """\
Read what one or more pairs show and save it, to be used with `edit --relation`.

  relation-adapter relation --pair before.jpg after.jpg -o look.safetensors

A look, where a pixel's colour alone counts, can be written as a table that other programs read:

  relation-adapter relation --pair before.jpg after.jpg -o look.cube"""


class Parser(argparse.ArgumentParser):
    """A parser whose flags and files may come in any order, and whose flags are never guessed from a part."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=HELP, **options)
        self._inside = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse, but files between flags are files; the intermixed parsing calls back here."""
        if self._inside or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._inside = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._inside = False

    def error(self, message: str) -> NoReturn:
        """One line, not the whole usage before it."""
        self.exit(2, f"{PROGRAM}: error: {message}; see '{self.prog} --help'\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Raises SystemExit on wrong flags (2) and on --help and --version (0)."""
    options = parser().parse_args(argv)
    try:
        with quiet_libraries():
            return int(options.run(options))
    except RelationAdapterError as error:
        say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        say(f"stopped; {options.stopped}")
        return 130


def parser() -> Parser:
    """The whole command line."""
    top = Parser(prog=PROGRAM, description=(relation_adapter.__doc__ or "").partition("\n")[0])
    top.add_argument("--version", action=_Version)
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_edit(commands.add_parser("edit", help="edit pictures by example", description=EDIT))
    _add_relation(commands.add_parser("relation", help="save what a pair shows", description=RELATION))
    _add_train(commands.add_parser("train", help="train a model", description=train_flags.TRAIN))
    _add_evaluate(commands.add_parser("evaluate", help="score editors on quads", description=evaluate_flags.EVALUATE))
    data_flags.add(commands.add_parser("data", help="make data sets", description="Data sets of quads."), _command)
    _add_models(commands.add_parser("models", help="list models, look into weights", description="Models at hand."))
    _add_ui(commands.add_parser("ui", help="a page in the browser", description=ui_flags.UI))
    return top


class _Version(argparse.Action):
    """The version, looked up only when asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest=argparse.SUPPRESS, nargs=0, help="show the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"{PROGRAM} {relation_adapter.__version__}")
        parser.exit()


def _add_edit(edit: argparse.ArgumentParser) -> None:
    files = edit.add_argument_group("what to edit, and by what")
    _add_pair(files)
    files.add_argument(
        "--relation",
        action="append",
        default=[],
        type=flags.relation_file,
        metavar="FILE[:STRENGTH]",
        help="a saved relation and its weight; repeat it to combine relations",
    )
    edit.add_argument(
        "sources", nargs="*", type=flags.path, metavar="SOURCE", help="a picture, or a folder of pictures"
    )
    files.add_argument("--quads", type=flags.path, metavar="FILE.jsonl", help="edit every quad of this file instead")
    _add_output(files, "OUT", "a file for one source, a folder for many")
    files.add_argument("--force", action="store_true", help="overwrite results that exist")
    files.add_argument("--skip-existing", action="store_true", help="keep results that exist, make the others")

    how = edit.add_argument_group("how")
    how.add_argument("--instruction", metavar="TEXT", help="what the edit is, in words; mini reads none")
    _add_how(how)
    _add_parts(edit)
    ray_flags.add(edit)
    edit.set_defaults(run=_command("edit"), stopped="what is written stays; --skip-existing goes on from there")


def _add_how(how: argparse._ActionsContainer) -> None:
    """How any edit is made, of one picture or of many quads."""
    _add_model(how)
    how.add_argument(
        "--strength",
        type=flags.strengths,
        default=1.0,
        metavar="S[,S...]",
        help="1 as shown, 0 not at all; with commas one for each block of the transformer, doubles first",
    )
    how.add_argument(
        "--strength-steps",
        type=flags.part_of_steps,
        metavar="FROM:TO",
        help="the part of the steps in which the relation acts, as 0:0.5 for the first half; default: all",
    )
    how.add_argument("--steps", type=flags.whole(1, 1000), metavar="N", help="steps of the sampler")
    how.add_argument("--guidance", type=flags.finite(0), metavar="G", help="guidance scale, where the model has one")
    how.add_argument("--seed", type=flags.whole(0, flags.MAX_SEED), default=0, metavar="N", help="default 0")
    how.add_argument(
        "--best-of",
        type=flags.whole(1, 100),
        default=1,
        metavar="N",
        help="make N results with N seeds and keep the one whose change is most like the pair's",
    )
    how.add_argument(
        "--size",
        type=flags.size,
        metavar="WxH|own|native",
        help="to work at and to return, in pixels; own: the source's; native: near what the model was trained at, "
        "brought back to the source's; default: the model's choice",
    )
    how.add_argument(
        "--shift-tokens",
        choices=("noisy_and_source", "noisy", "none"),
        help="the tokens that the time shift counts; default: as the model was trained (published: both)",
    )
    _add_preparation(how)
    fast_flags.add(how)


def _add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    commands = evaluate.add_subparsers(title="commands", metavar="COMMAND", required=True)
    generate = commands.add_parser("generate", help="edit every quad of a file", description=evaluate_flags.GENERATE)
    generate.add_argument("quads", type=flags.path, metavar="QUADS.jsonl", help="the quads to edit")
    _add_output(generate, "FOLDER", "where results and rows.jsonl go")
    _add_how(generate.add_argument_group("how"))
    _add_parts(generate)
    ray_flags.add(generate)
    of_one_edit: dict[str, Any] = {"sources": [], "pair": [], "relation": [], "instruction": None, "force": False}
    generate.set_defaults(run=_command("edit"), stopped="", skip_existing=False, **of_one_edit)
    evaluate_flags.add(commands, _command)


def _add_relation(relation: argparse.ArgumentParser) -> None:
    _add_pair(relation, required=True)
    _add_output(
        relation, "FILE", "the relation file to write, ending in .safetensors; or in .cube, a look for other programs"
    )
    relation.add_argument("--name", metavar="NAME", help="a name to keep in the file; default: the file's")
    _add_force(relation)
    _add_model(relation)
    _add_preparation(relation)
    _add_parts(relation, edits=False)
    relation.set_defaults(run=_command("relation"), stopped="nothing is written")


def _add_train(train: argparse.ArgumentParser) -> None:
    train.add_argument("preset", nargs="?", metavar="PRESET", help="what to train, as mini")
    _add_overrides(train, "change one value of the preset; repeatable")
    train.add_argument("--run", type=flags.path, dest="folder", metavar="FOLDER", help="where the run is kept")
    fit = train_flags.add_fit(train)
    _add_force(fit)
    _add_model(fit)
    _add_preparation(fit)
    _add_parts(train)
    train.set_defaults(run=_command("train"), stopped="nothing is written")


def _add_ui(ui: argparse.ArgumentParser) -> None:
    ui_flags.add(ui, _command)
    _add_model(ui)
    _add_parts(ui)


def _add_models(models: argparse.ArgumentParser) -> None:
    commands = models.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listing = commands.add_parser("list", help="the models at hand", description="The models at hand.")
    listing.set_defaults(run=_command("models", "list_models"), stopped="")
    info = commands.add_parser(
        "info",
        help="what is in a model or a relation",
        description="Configuration, origin and size of a model or a saved relation. No tensor is loaded.",
    )
    info.add_argument("model", nargs="?", default="mini", metavar="NAME|FILE|FOLDER", help="default: mini")
    info.set_defaults(run=_command("models", "info"), stopped="")
    _add_fetch(commands)
    _add_convert(commands)
    for command in (listing, info):
        command.add_argument("--json", action="store_true", help="as JSON, for programs")


def _add_fetch(commands: Any) -> None:
    fetch = commands.add_parser(
        "fetch",
        help="download the parts of flux-dev, or of a baseline",
        description="Download what flux-dev consists of, about 43 GB, or the base of a baseline, to the hub's cache; "
        "--offline then finds it.",
    )
    fetch.add_argument("model", nargs="?", default="flux-dev", metavar="NAME", help="as `models list` has it; flux-dev")
    fetch.add_argument("--weights", type=flags.path, metavar="FOLDER", help="parts that lie here are not fetched")
    fetch.set_defaults(run=_command("models", "fetch"), stopped="run the same command again to go on")


def _add_convert(commands: Any) -> None:
    convert = commands.add_parser("convert", help="a published adapter to safetensors", description=CONVERT)
    convert.add_argument("file", type=flags.path, metavar="FILE", help="the published .bin")
    _add_output(convert, "FILE", "the file to write, ending in .safetensors")
    convert.add_argument("--dtype", choices=("bf16", "fp16", "fp32"), help="of the weights; default: as they are")
    _add_overrides(convert, "where the model differs from the published design; repeatable")
    _add_force(convert)
    convert.set_defaults(run=_command("models", "convert"), stopped="nothing is written")


def _add_pair(group: argparse._ActionsContainer, required: bool = False) -> None:
    group.add_argument(
        "--pair",
        action="append",
        default=[],
        nargs=2,
        type=flags.path,
        required=required,
        metavar=("BEFORE", "AFTER"),
        help="a picture before and after the edit; repeat it for more examples of the same edit",
    )


def _add_output(group: argparse._ActionsContainer, name: str, text: str) -> None:
    group.add_argument("-o", "--out", type=flags.path_text, required=True, metavar=name, help=text)


def _add_force(group: argparse._ActionsContainer) -> None:
    group.add_argument("--force", action="store_true", help="overwrite the file if it exists")


def _add_overrides(group: argparse._ActionsContainer, text: str) -> None:
    group.add_argument(
        "--set", action="append", default=[], type=flags.assignment, dest="overrides", metavar="KEY=VALUE", help=text
    )


def _add_model(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--model",
        default="mini",
        metavar="MODEL",
        help="mini (the default), flux-dev, a weights file or a folder; for edits also a baseline: docs/baselines.md",
    )


def _add_preparation(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--exemplar-preparation",
        choices=("published", "square"),
        help="how the pair's pictures are fitted to the image encoder: white borders to one of five ratios, long side "
        "512, or stretched to its square; default: as the model was trained",
    )


def _add_parts(command: argparse.ArgumentParser, edits: bool = True) -> None:
    """Where the parts of flux-dev are, and how they are held. edits: with what only an edit needs."""
    parts = command.add_argument_group("the parts of flux-dev: a path, or OWNER/NAME on the hub")
    parts.add_argument(
        "--weights", type=flags.path, metavar="FOLDER", help="where downloaded parts lie; see docs/flux-dev.md"
    )
    parts.add_argument("--base", metavar="PLACE", help="FLUX.1-dev, or a model of its form")
    parts.add_argument("--image-encoder", metavar="PLACE", help="SigLIP so400m-patch14-384")
    parts.add_argument("--adapter", metavar="PLACE", help="the published .bin, or what `models convert` made of it")
    parts.add_argument("--offline", action="store_true", help="never ask the hub")
    if edits:
        parts.add_argument(
            "--lora",
            action="append",
            default=[],
            type=flags.lora,
            metavar="PLACE[:WEIGHT]",
            help="a LoRA of your own beside the published editor's; editor:WEIGHT weighs that one, none leaves it out",
        )
        parts.add_argument("--fuse-lora", action="store_true", help="add the LoRAs to the weights: a little faster")
    else:
        command.set_defaults(lora=[], fuse_lora=False)
    command.set_defaults(edits=edits)
    parts.add_argument(
        "--memory", type=int, choices=MEMORY_GIB, help="GPU memory in GiB to stay within; default: what the GPU has"
    )
    parts.add_argument(
        "--quantize", choices=("none", "int8", "nf4"), help="hold the base in 8 or 4 bits; default: by the memory"
    )


def _command(module: str, function: str = "run") -> Callable[[argparse.Namespace], int]:
    """A function of a module beside this one, imported when it is called: --help must not wait for Pillow or torch."""

    def call(options: argparse.Namespace) -> int:
        command = getattr(importlib.import_module(f"relation_adapter.cli.{module}"), function)
        return int(command(options))

    return call
