"""A procedural set on disk: PNG and quads.jsonl, made by any number of processes, safe to kill and run again."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import secrets
import signal
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy as np
from PIL import Image

import relation_adapter
from relation_adapter.data.photos import Photos
from relation_adapter.data.procedural_set import (
    Item,
    ProceduralSet,
    category_of,
    checksum,
    digest,
    pictures_of,
)
from relation_adapter.data.schema import PICTURES, Quad, write_quads
from relation_adapter.errors import PictureError, RelationAdapterError, UsageError
from relation_adapter.files import PART_SUFFIX, locked_folder, reason, remove_parts, write_whole
from relation_adapter.images import open_picture, quick_png
from relation_adapter.procedural.pixels import Picture

QUADS_NAME = "quads.jsonl"
SETTINGS_NAME = "settings.json"
PICTURES_NAME = "pictures"
Done = tuple[Item, bytes, bool]  # an item, the digest of its pixels, and whether an earlier call had made it


@dataclass(frozen=True)
class Written:
    """What a call did: quads made now, quads found; the checksum is of all of them."""

    quads: Path | None
    made: int
    found: int
    checksum: str


def write_set(
    wanted: ProceduralSet, folder: Path | None, workers: int = 1, progress: Callable[[], None] | None = None
) -> Written:
    """Write a set into a folder, or only sum it up where there is none; the same call again goes on.

    Every picture appears whole or not at all, quads.jsonl once all are there. Pictures found are read, and made again
    where they are damaged. workers: processes; with more than one the caller's script must be importable, as
    multiprocessing asks. progress() is called after every quad.

    Raises UsageError where the folder holds another set, or another process works there; PictureError where the disk
    refuses or a photo has become unreadable: finished pictures are safe.
    """
    if workers < 1:
        raise UsageError(f"workers {workers} is not from 1 up")
    if folder is None:
        return _summed(wanted, None, workers, progress)
    with locked_folder(folder):
        _settle(wanted, folder)
        written = _summed(wanted, folder, workers, progress)
        write_quads(folder / QUADS_NAME, [_quad(item, folder) for item in wanted.items()])
    return written


def _summed(wanted: ProceduralSet, folder: Path | None, workers: int, progress: Callable[[], None] | None) -> Written:
    done: list[Done] = []
    for one in _all(wanted, folder, workers):
        done.append(one)
        if progress is not None:
            progress()
    found = sum(was_there for _, _, was_there in done)
    total = checksum((item, pixels) for item, pixels, _ in done)
    return Written(None if folder is None else folder / QUADS_NAME, len(done) - found, found, total)


def _settle(wanted: ProceduralSet, folder: Path) -> None:
    """Clear what a kill left, and see to it that a folder never mixes two sets."""
    path = folder / SETTINGS_NAME
    settings = json.dumps(_settings(wanted), indent=2, ensure_ascii=False) + "\n"
    try:
        if path.exists() and path.read_bytes() != settings.encode():
            raise UsageError(f"{folder}: holds a set made with other settings (see {SETTINGS_NAME}); choose another")
        if not path.exists() and (folder / QUADS_NAME).exists():
            raise UsageError(f"{folder}: holds other quads; choose another folder")
        remove_parts(folder)
        for name in wanted.tasks:
            place = folder / PICTURES_NAME / slug(name)
            place.mkdir(parents=True, exist_ok=True)
            remove_parts(place)
        write_whole(path, settings.encode())
    except OSError as error:
        raise _refused(path, error) from error


def _settings(wanted: ProceduralSet) -> dict[str, object]:
    """What makes the pixels what they are."""
    photos = wanted.photos
    return {
        "seed": wanted.seed,
        "size": wanted.size,
        "count": wanted.count,
        "held_out": wanted.held_out,
        "photos": photos.fingerprint if isinstance(photos, Photos) else None if photos is None else "given",
        "version": relation_adapter.__version__,
        "tasks": list(wanted.tasks),
    }


def slug(name: str) -> str:
    """A task's name as a folder's."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _files(item: Item, folder: Path) -> list[Path]:
    """Before, after, source and target of an item."""
    place = folder / PICTURES_NAME / slug(item.task)
    return [place / f"{item.split}-{item.number:06d}-{name}.png" for name in PICTURES]


def _quad(item: Item, folder: Path) -> Quad:
    before, after, source, target = _files(item, folder)
    return Quad(before, after, source, target, None, item.task, category_of(item), item.split)


def _one(wanted: ProceduralSet, item: Item, folder: Path | None) -> Done:
    """Make one quad where it is not there yet."""
    if folder is None:
        return item, digest(pictures_of(wanted.draw(item))), False
    paths = _files(item, folder)
    there = _read(paths, wanted.size)
    if there is not None:
        return item, digest(there), True
    pictures = pictures_of(wanted.draw(item))
    for picture, path in zip(pictures, paths, strict=True):
        _save(picture, path)
    return item, digest(pictures), False


def _read(paths: list[Path], size: int) -> list[Picture] | None:
    """The pictures of a quad that is finished and sound."""
    try:
        pictures = [np.asarray(open_picture(path)) for path in paths if path.is_file()]
    except PictureError:
        return None
    complete = len(pictures) == len(paths) and all(picture.shape == (size, size, 3) for picture in pictures)
    return pictures if complete else None


def _save(picture: Picture, path: Path) -> None:
    """As images.save_picture, in a third of its time: grain hardly packs, and what a power cut spoils is made again."""
    part = path.parent / f".{secrets.token_hex(8)}{PART_SUFFIX}"
    try:
        part.write_bytes(quick_png(Image.fromarray(picture)))
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> PictureError:
    return PictureError(f"{path}: cannot be written ({reason(error)}); free some space and run the same again")


# Several processes: worker k makes every item whose place is k modulo their number, and tells of each through a pipe.


def _all(wanted: ProceduralSet, folder: Path | None, workers: int) -> Iterator[Done]:
    items = wanted.items()
    if workers == 1:
        yield from (_one(wanted, item, folder) for item in items)
        return
    context = multiprocessing.get_context("spawn")  # A fork of a process with threads may hang.
    pipes: list[Connection] = []
    processes = []
    try:
        for first in range(min(workers, len(items))):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(wanted, items[first::workers], folder, sender), daemon=True)
            process.start()
            sender.close()
            pipes.append(receiver)
            processes.append(process)
        yield from _told(pipes)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _told(pipes: list[Connection]) -> Iterator[Done]:
    """What the workers tell until all have ended."""
    while pipes:
        ready = wait(pipes)
        for pipe in [pipe for pipe in pipes if pipe in ready]:
            try:
                told = pipe.recv()
            except EOFError as error:
                raise RelationAdapterError(
                    "a worker process ended early (out of memory?); run the same again with fewer --workers"
                ) from error
            if isinstance(told, BaseException):
                raise told
            if told is None:
                pipes.remove(pipe)
            else:
                yield told


def _work(wanted: ProceduralSet, items: list[Item], folder: Path | None, sender: Connection) -> None:
    """A worker process. Ctrl-C is the parent's to handle; once the parent is gone the pipe breaks, and that ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for item in items:
            sender.send(_one(wanted, item, folder))
        sender.send(None)
    except BrokenPipeError:
        pass
    except Exception as error:
        error.add_note(traceback.format_exc())
        sender.send(error)
