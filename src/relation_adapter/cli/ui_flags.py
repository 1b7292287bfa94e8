"""The flags of `relation-adapter ui`."""

from __future__ import annotations

import argparse

from relation_adapter.cli import flags

UI = """\
A page in the browser: drop a before, an after and your pictures. The same over HTTP: POST /api/edit, GET /health.

  relation-adapter ui
  relation-adapter ui --model flux-dev --memory 24
  relation-adapter ui --host 0.0.0.0 --port 8000 --queue 64

It answers this machine alone unless --host or --share says otherwise, and keeps nothing once it ends. docs/page.md
tells more. Needs the extra: pip install 'relation-adapter[ui]'"""


def add(ui: argparse.ArgumentParser, command: flags.Command) -> None:
    """Where it is found, and what it takes; what is said of the model is added by others."""
    where = ui.add_argument_group("where")
    where.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="default 127.0.0.1: this machine alone")
    where.add_argument("--port", type=flags.whole(1, 65535), default=7860, metavar="N", help="default 7860")
    where.add_argument(
        "--share", action="store_true", help="a public address for a week at most, through gradio's servers"
    )
    where.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="HOST",
        help="a name that it answers to besides 127.0.0.1 and localhost, as that of a proxy before it; repeatable",
    )
    limits = ui.add_argument_group("what it takes")
    for flag, default, most, text in (
        ("--max-upload", 32, 4096, "MiB of one file"),
        ("--max-megapixels", 50, 100, "million pixels of one picture"),
        ("--max-sources", 50, 1000, "sources of one edit"),
        ("--queue", 32, 1000, "edits of all visitors, waiting and at work; more are asked to come later"),
        ("--max-visit", 1024, 1_000_000, "MiB kept for one visit, the oldest results go first"),
        ("--max-disk", 8192, 1_000_000, "MiB of all visits, above which nothing more is taken"),
    ):
        limits.add_argument(
            flag, type=flags.whole(1, most), default=default, metavar="N", help=f"{text}; default {default}"
        )
    ui.set_defaults(run=command("ui"), stopped="the page is closed, its files are gone", fuse_lora=False)
