"""What a command tells the person at the terminal: stderr for talk, stdout for results."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper

from relation_adapter.stores import shown

PROGRAM = "relation-adapter"
# diffusers loads the packages of quantised weights wherever they are installed, and they report what they do not use.
REPORTING = ("torchao", "bitsandbytes", "diffusers.quantizers", "torch.utils._pytree")
NOISY = r"(torch|diffusers|transformers|huggingface_hub|accelerate|peft|safetensors|timm)(\.|$)"


def say(text: str) -> None:
    """One line on stderr, above a progress bar where one is shown."""
    line = f"{PROGRAM}: {shown(' '.join(text.splitlines()))}"
    if "tqdm" in sys.modules:
        sys.modules["tqdm"].tqdm.write(line, file=sys.stderr)
    else:
        print(line, file=sys.stderr)


def result(text: object) -> None:
    """One line on stdout, at once: a reader of the pipe sees each file as it is written."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A file name may hold bytes that are no text; they go out as they came in.
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        print(shown(str(text)), flush=True)
    except BrokenPipeError:
        # The reader (`head`, `less`) has what it wanted; edits that are still to make go on all the same.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep the warnings of other libraries off the terminal; what a user can act on is raised as an error instead.

    Whoever runs Python with -W sees all of them.
    """
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.filterwarnings("ignore", module=NOISY)
            for name in REPORTING:
                logging.getLogger(name).setLevel(logging.ERROR)
        yield


def quiet_loading() -> None:
    """Keep the progress bars and remarks of loading off the terminal."""
    for library in ("TRANSFORMERS", "DIFFUSERS", "HF_HUB"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")
    import diffusers.utils.logging
    import transformers.utils.logging

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
