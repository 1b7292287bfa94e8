"""`relation-adapter edit`: pictures by a pair or a saved relation, or every quad of a file."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from tqdm import tqdm

from relation_adapter.cli import editors, far, outputs
from relation_adapter.cli.pipelines import check_model
from relation_adapter.cli.say import result, say
from relation_adapter.data.schema import read_quads
from relation_adapter.data.spread import Spread
from relation_adapter.editor import Editor, EditRequest, EditResult, Pair, begin
from relation_adapter.errors import RelationAdapterError, UsageError
from relation_adapter.evaluate.generate import generate_with
from relation_adapter.evaluate.rows import ROWS_NAME, Row
from relation_adapter.images import MAX_ASPECT, open_picture, save_picture
from relation_adapter.overlap import overlapped

if TYPE_CHECKING:
    from relation_adapter.scale import Cluster

_Edited = tuple[Path, Callable[[], EditResult] | None]  # where the picture goes, and what completes it


def run(options: Namespace) -> int:
    """Edit; 0, or 1 when some pictures could not be edited."""
    check_model(options)
    return _edit_quads(options) if options.quads is not None else _edit_pictures(options)


def _edit_pictures(options: Namespace) -> int:
    if not options.pair and not options.relation:
        raise UsageError("nothing shows the edit; give --pair BEFORE AFTER or --relation FILE")
    if not options.sources:
        raise UsageError("no SOURCE; give the picture to edit, several, or a folder of them")
    sources, targets = _plan(options)
    pairs = [open_pair(before, after) for before, after in options.pair]
    if len(sources) == 1:
        _note_shape(sources[0], open_picture(sources[0]))  # One bad picture among many is told in its turn.
    todo = [(source, target) for source, target in zip(sources, targets, strict=True) if not _kept(target, options)]
    if len(todo) < len(sources):
        say(f"{len(sources) - len(todo)} of {len(sources)} are there already; they are kept")
    if not todo:
        return 0
    outputs.make_folders(targets)
    editor = editors.open_editor(options, pairs)
    if len(sources) == 1:  # what is wrong with it is told as the error of the command
        result(_save((targets[0], begin(editor, _request(pairs, open_picture(sources[0]), options)))))
        return 0
    failed = _edit_many(editor, pairs, todo, options)
    if failed:
        say(f"{failed} of {len(todo)} could not be edited, the others are written")
    return 1 if failed else 0


def _plan(options: Namespace) -> tuple[list[Path], list[Path]]:
    """The sources and the file of each one's result."""
    sources = outputs.all_sources(options.sources)
    is_folder = options.out.endswith(("/", os.sep))
    targets = outputs.plan_outputs(sources, options.sources, Path(options.out), is_folder)
    read = [*sources, *(picture for pair in options.pair for picture in pair)]
    outputs.check_outputs(targets, read, options.force, options.skip_existing)
    return sources, targets


def _kept(target: Path, options: Namespace) -> bool:
    return options.skip_existing and not options.force and os.path.lexists(target)


def _edit_many(editor: Editor, pairs: Sequence[Pair], todo: Sequence[tuple[Path, Path]], options: Namespace) -> int:
    """Edit every source and save it; the number of those that are bad, with a line that names each."""
    written: list[bool] = []
    # Off where stderr is no terminal, and for one picture: the pipeline's own bar shows its steps.
    with tqdm(total=len(todo), unit="picture", dynamic_ncols=True, disable=None if len(todo) > 1 else True) as bar:

        def edit(item: tuple[Path, Path], opened: Callable[[], Image.Image]) -> _Edited:
            source, target = item
            try:
                picture = opened()
                _note_shape(source, picture)
                return target, begin(editor, _request(pairs, picture, options))
            except RelationAdapterError as error:
                text = str(error)
                say(text if str(source) in text else f"{source}: {text}")
                return target, None

        def done(target: Path | None) -> None:
            written.append(target is not None)
            if target is not None:
                result(target)
            bar.update()

        overlapped(todo, lambda item: open_picture(item[0]), edit, _save, done)
    return written.count(False)


def _request(pairs: Sequence[Pair], picture: Image.Image, options: Namespace) -> EditRequest:
    return EditRequest(pairs, picture, options.instruction, options.seed)


def _save(edited: _Edited) -> Path | None:
    """Save the picture where there is one. A disk that refuses is no fault of its source, and would fail all others."""
    target, complete = edited
    if complete is None:
        return None
    save_picture(complete().image, target)
    return target


def open_pair(before: Path, after: Path) -> Pair:
    """Both pictures, with a note where their sizes differ. Raises PictureError."""
    pair = open_picture(before), open_picture(after)
    if pair[0].size != pair[1].size:
        sizes = [f"{picture.width}x{picture.height}" for picture in pair]
        say(f"note: {before} is {sizes[0]}, {after} is {sizes[1]}; each is fitted to what the model reads")
    return pair


def _note_shape(source: Path, picture: Image.Image) -> None:
    width, height = picture.size
    if not 1 / MAX_ASPECT <= width / height <= MAX_ASPECT:
        say(f"note: {source} is {width}x{height}; for the model its border is repeated until it is {MAX_ASPECT:g}:1")


def _edit_quads(options: Namespace) -> int:
    given = {
        "SOURCE": options.sources,
        "--pair": options.pair,
        "--relation": options.relation,
        "--instruction": options.instruction,
        "--force": options.force,
        "--skip-existing": options.skip_existing,
    }
    for flag, value in given.items():
        if value:
            raise UsageError(f"{flag} does not go with --quads: {_QUADS_INSTEAD.get(flag, 'the quads hold that')}")
    quads = read_quads(options.quads)
    options.stopped = f"finished rows are safe in {options.out}; run the same command again to go on"
    with far.cluster(options) as workers, ExitStack() as stack:
        spread, name, make = _editors(options, workers)
        bar = stack.enter_context(tqdm(total=len(quads), unit="quad", dynamic_ncols=True, disable=None))

        def progress(number: int, count: int, row: Row) -> None:
            bar.update()
            if row["error"] is not None:
                # A path in the message may be the whole name already; the row's source says which item it is.
                say(f"quad {number} of {count}, {row['source']}: {row['error']}")

        summary = generate_with(spread, quads, name, make, options.out, options.seed, progress)
    result(Path(options.out) / ROWS_NAME)
    say(f"{summary.done} edited, {summary.failed} failed, {summary.skipped} done before")
    return 1 if summary.failed else 0


def _editors(options: Namespace, workers: Cluster | None) -> tuple[Spread | None, str, Callable[[], Editor]]:
    """Who makes the edits of quads: what spreads them, the editor's name, and what makes one."""
    if workers is None:
        editor = editors.open_editor(options, None)
        return None, editor.name, lambda: editor
    make = partial(editors.open_editor, far.plain(options), None)
    return workers.spread, far.heard(workers, lambda: make().name), make


_RESUMES = "a batch keeps what is finished; choose another folder to begin anew"
_QUADS_INSTEAD = {"--force": _RESUMES, "--skip-existing": _RESUMES}
