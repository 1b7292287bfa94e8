"""`relation-adapter data`: data sets of quads."""

from __future__ import annotations

import os
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from relation_adapter.cli.say import result, say
from relation_adapter.data.photos import Photos, find_photos
from relation_adapter.data.procedural_files import Written, write_set
from relation_adapter.data.procedural_set import BENCHMARK_CHECKSUM, BENCHMARK_COUNT, ProceduralSet, benchmark, choose
from relation_adapter.errors import UsageError

CHOICES = ("tasks", "category", "split", "count", "size", "seed", "photos")


def procedural(options: Namespace) -> int:
    """Write a procedural set, or sum it up; 1 where a photo was left out or the benchmark's checksum differs."""
    if (options.out is None) != options.checksum:
        raise UsageError("give either -o FOLDER to write the quads, or --checksum to write nothing")
    if options.out is not None and options.out.exists() and not options.out.is_dir():
        raise UsageError(f"-o {options.out} is a file; give a folder")
    bad: list[str] = []
    wanted = _benchmark(options) if options.benchmark else _chosen(options, bad)
    with tqdm(total=len(wanted), unit="quad", dynamic_ncols=True, disable=None) as bar:
        written = write_set(wanted, options.out, options.workers, bar.update)
    _report(written)
    disagrees = options.benchmark and options.count is None and not _agrees(written.checksum)
    return 1 if bad or disagrees else 0


def _benchmark(options: Namespace) -> ProceduralSet:
    for name in CHOICES:
        if name != "count" and getattr(options, name) is not None:
            raise UsageError(f"--{name} does not go with --benchmark, which is always the same")
    if options.count is None:
        return benchmark()
    if options.count >= BENCHMARK_COUNT:
        raise UsageError(f"--count {options.count}: the benchmark has {BENCHMARK_COUNT} of every task; leave it out")
    say(f"the first {options.count} quads of every task of the frozen benchmark, which has {BENCHMARK_COUNT}")
    return benchmark(options.count)


def _chosen(options: Namespace, bad: list[str]) -> ProceduralSet:
    given = {name: getattr(options, name) for name in ("category", "split", "count", "size", "seed")}
    known = {name: value for name, value in given.items() if value is not None}
    # What is wrong shows before many photos are read.
    chosen = choose(names=options.tasks, photos=None if options.photos is None else (), **known)
    return chosen if options.photos is None else replace(chosen, photos=_photos(options, chosen.size, bad))


def _photos(options: Namespace, size: int, bad: list[str]) -> Photos:
    if options.out is not None and _within(options.out, options.photos):
        raise UsageError(f"-o {options.out} lies in --photos {options.photos}; results would become photos")

    def tell(message: str) -> None:
        bad.append(message)
        say(f"{message}; left out")

    photos = find_photos(options.photos, size, tell)
    say(f"{len(photos):,} photos")
    return photos


def _within(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _report(written: Written) -> None:
    if written.quads is None:
        result(written.checksum)
        return
    result(written.quads)
    say(f"{written.made:,} quads made, {written.found:,} made before; checksum of all pixels {written.checksum}")


def _agrees(checksum: str) -> bool:
    if checksum == BENCHMARK_CHECKSUM:
        say("this is the frozen benchmark, pixel for pixel")
        return True
    say(f"this is not the frozen benchmark, whose checksum is {BENCHMARK_CHECKSUM}; see docs/procedural.md")
    return False
