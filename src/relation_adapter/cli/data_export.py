"""`relation-adapter data export`."""

from __future__ import annotations

from argparse import Namespace

from tqdm import tqdm

from relation_adapter.cli.say import result, say
from relation_adapter.data.export import export_labels, export_run_ready
from relation_adapter.data.export_hub import export_datasets
from relation_adapter.errors import UsageError


def run(options: Namespace) -> int:
    """Export; 1 where a row was left out."""
    is_file = options.form == "run-ready"
    if options.out.exists() and options.out.is_dir() == is_file:
        raise UsageError(f"-o {options.out}: form {options.form} goes into a {'file' if is_file else 'folder'}")
    if not options.file.is_file():
        raise UsageError(f"{options.file}: no such file; give a pairs.jsonl or quads.jsonl")
    with tqdm(unit="row", dynamic_ncols=True, disable=None) as bar:
        if is_file:
            done = export_run_ready(options.file, options.out, bar.update)
        elif options.form == "labels":
            done = export_labels(options.file, options.out, say, options.workers, bar.update)
        else:
            done = export_datasets(options.file, options.out, say, options.title, options.licence, bar.update)
    result(options.out)
    say(f"{done.rows:,} rows, {done.kept:,} of them there already; {done.unusable:,} left out")
    return 1 if done.unusable else 0
