"""Checkpoints on disk: a folder for each step, whole or not there; the newest good one is gone on from.

`RUN/checkpoints/STEP/state.safetensors` is all that a run needs to go on. Where it is larger than `SHARD_BYTES`, more
files lie beside it. Earlier versions of this program kept one `RUN/state.safetensors`, which is still read.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from relation_adapter.errors import InputError, RelationAdapterError, WeightsError
from relation_adapter.files import PART_SUFFIX, reason, writing_whole_folder

CHECKPOINTS_NAME, STATE_NAME = "checkpoints", "state.safetensors"
SHARD_BYTES = 4 * 2**30  # as much as is held in memory at once while a checkpoint is written


def write_checkpoint(
    folder: Path, step: int, tensors: Iterable[tuple[str, Tensor]], metadata: Mapping[str, str], keep: int
) -> None:
    """Write the state of a run folder at a step, then remove all but the newest `keep`.

    Raises InputError when the disk refuses; the older ones are then still there.
    """
    path = checkpoint_path(folder, step)
    try:
        with writing_whole_folder(path) as part:
            for number, shard in enumerate(_shards(tensors)):
                save_file(shard, part / (STATE_NAME if number == 0 else f"state-{number}.safetensors"), dict(metadata))
        _prune(folder, keep)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path}: cannot be written ({reason(error)}); the last saved state is safe: free some space and run the "
            "same again"
        ) from error


def checkpoint_path(folder: Path, step: int) -> Path:
    """Of a step of the run in a folder."""
    return folder / CHECKPOINTS_NAME / f"{step:07d}"


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run folder, newest first: folders, or the one file of earlier versions."""
    found = [path for path in (folder / CHECKPOINTS_NAME).glob("*") if path.name.isdecimal()]
    old = folder / STATE_NAME
    return sorted(found, key=lambda path: int(path.name), reverse=True) + ([old] if old.is_file() else [])


def set_aside(damaged: Iterable[Path]) -> None:
    """Let these checkpoints count no more, under another name beside the others."""
    for path in damaged:
        aside = path.with_name(f"{path.name}.damaged")
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)


@contextmanager
def reading(path: Path) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """The metadata of a checkpoint, and for each tensor the open file that it lies in.

    Raises WeightsError where a file is missing, damaged or cut short.
    """
    files = sorted(path.glob("state*.safetensors")) if path.is_dir() else [path]
    with ExitStack() as stack:
        try:
            opened = [stack.enter_context(safe_open(file, "pt")) for file in files]
            metadata = dict(opened[0].metadata() or {})
            yield metadata, {name: file for file in opened for name in file.keys()}  # noqa: SIM118
        except RelationAdapterError:
            raise
        except (OSError, SafetensorError, KeyError, IndexError, ValueError, RuntimeError) as error:
            raise WeightsError(f"{path}: not a training state ({reason(error)})") from error


def _shards(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors:
        if shard and size + tensor.nbytes > SHARD_BYTES:
            yield shard
            shard, size = {}, 0
        shard[name] = tensor
        size += tensor.nbytes
    yield shard


def _prune(folder: Path, keep: int) -> None:
    for path in checkpoints(folder)[max(1, keep) :]:
        if path.is_dir():
            # Out of sight first: a kill in between must not leave half of it under a name that counts.
            path = path.rename(path.with_name(f".{path.name}{PART_SUFFIX}"))
            shutil.rmtree(path)
        else:
            path.unlink()
