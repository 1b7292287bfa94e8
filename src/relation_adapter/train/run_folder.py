"""A run folder that explains itself: what each file is, and of every start the command, the versions, the machine."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from relation_adapter.errors import InputError
from relation_adapter.files import reason, write_whole

STARTS_NAME, README_NAME = "starts.json", "README.txt"
PACKAGES = ("relation-adapter", "torch", "diffusers", "accelerate", "peft", "transformers", "safetensors", "numpy")

README = """\
A training run of relation-adapter. The same command again goes on where it stopped; starts.json has it.

config.json         every setting of the run, those of the model included
starts.json         of every start: when, from which step, the command, versions, git revision, the machine
log.jsonl           a line every few steps, and one for each validation; of a resumed run every step once
tensorboard/        the same numbers as curves: tensorboard --logdir . (where the tracker is tensorboard)
first_batch.png     what the run learns from: the quads of its first batch
validation/         STEP.png: held-out quads edited at that step, and the error of each (1 is doing nothing)
checkpoints/        what the run goes on from; the newest is used, older ones are removed
model.safetensors   the trained weights, once the run is done; edit takes them with --model. Beside a base that stayed
                    as it is they are adapter.safetensors (--adapter) and lora.safetensors (--lora)

In log.jsonl, ratio is the mean error over that of leaving the source as it is; loss is the mean error alone, for
models that start from noise. Both are told by time as well (1 is the start of an edit, 0 the picture) and by category.
waiting is the share of the time that went by without a batch, memory_gib the most that the process took (of its GPU,
where it has one).
"""


def explain(folder: Path, step: int, processes: int = 1) -> None:
    """Write README.txt, and add this start to starts.json. Raises InputError where the disk refuses."""
    path = folder / STARTS_NAME
    try:
        starts = json.loads(path.read_bytes())["starts"]
    except (OSError, ValueError, KeyError, TypeError):
        starts = []  # none yet; or it was damaged, which must not stop a run
    starts.append(this_start(step, processes))
    try:
        write_whole(folder / README_NAME, README.encode())
        write_whole(path, json.dumps({"starts": starts}, indent=1).encode())
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({reason(error)}); free some space") from error


def this_start(step: int, processes: int) -> dict[str, Any]:
    """What is to be known of a start, as plain values."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "from_step": step,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "git": git_revision(),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "processes": processes,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
        "cpus": os.cpu_count(),
    }


def git_revision() -> str | None:
    """Of the checkout that this package runs from, with `+` where files were changed since; None elsewhere."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        command = ["git", "-C", str(here), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # installed below another project's checkout
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--", "..") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
