"""`relation-adapter data import`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from tqdm import tqdm

from relation_adapter.cli.say import result, say
from relation_adapter.data.importing import PAIRS_NAME, Imported, import_pairs
from relation_adapter.data.sources.forms import HUB, form_of, read_form
from relation_adapter.data.sources.found import Reader
from relation_adapter.data.sources.hub_datasets import read_hub
from relation_adapter.errors import UsageError

GIVEN = ("task", "category", "split")


def run(options: Namespace) -> int:
    """Import; 1 where something was left out."""
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"-o {options.out} is a file; give a folder")
    source, settings = _source(options)
    given = {name: getattr(options, name) for name in GIVEN if getattr(options, name) is not None}
    with tqdm(unit="pair", dynamic_ncols=True, disable=None) as bar:
        done = import_pairs(source, options.out, settings, say, options.workers, bar.update, given)
    result(options.out / PAIRS_NAME)
    _report(done)
    return 1 if done.unusable else 0


def _source(options: Namespace) -> tuple[Reader, dict[str, object]]:
    path = Path(options.source)
    if options.form == HUB:
        columns = options.columns or {}
        settings = {"source": options.source, "form": HUB, "split": options.hub_split, "columns": columns}
        return read_hub(options.source, options.hub_split, columns), settings
    if options.columns:
        raise UsageError(f"--columns goes with --form {HUB} alone")
    if options.form is None and not path.exists():
        raise UsageError(f"{path}: no such file or folder; check the path, or use --form {HUB} for one on the hub")
    form = options.form or form_of(path)
    return read_form(path, form), {"source": str(path.resolve()), "form": form}


def _report(done: Imported) -> None:
    say(
        f"{done.rows:,} pairs of {len(done.tasks):,} tasks; {done.made:,} pictures written, {done.kept:,} there "
        f"already; {done.unusable:,} left out"
    )
