"""Reading ahead and writing behind: order, bounds, and what becomes of errors and interrupts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from batches import COUNT, NOISE, add_noise, make_quads, pictures, without_seconds
from PIL import Image, ImageOps

from relation_adapter import RelationEditor, RelationPipeline
from relation_adapter.data.spread import serially
from relation_adapter.editor import EditRequest, EditResult, FunctionEditor
from relation_adapter.evaluate import generate as module
from relation_adapter.evaluate.generate import generate, generate_with, item_seed
from relation_adapter.evaluate.rows import read_rows
from relation_adapter.images import open_picture, save_picture
from relation_adapter.overlap import READERS, WRITERS, overlapped

PATIENCE = 20  # seconds until a test that hangs fails


def call(item: int, given: Callable[[], int]) -> int:
    return given() + 1


def test_results_come_in_order_whatever_writing_takes() -> None:
    gates = [threading.Event() for _ in range(WRITERS)]

    def write(made: int) -> int:
        if made == 1 and WRITERS > 1:
            assert gates[1].wait(PATIENCE)  # the first is written after the second
        if made <= WRITERS:
            gates[made - 1].set()
        return made

    done: list[int] = []
    overlapped(range(20), lambda item: item, call, write, done.append)
    assert done == list(range(1, 21))


def test_the_next_is_read_and_the_last_written_while_work_goes_on() -> None:
    read, written = [threading.Event() for _ in range(5)], threading.Event()

    def work(item: int, given: Callable[[], int]) -> int:
        if item < 4:
            assert read[item + 1].wait(PATIENCE)
        if item == 1:
            assert written.wait(PATIENCE)
        return given()

    def note(item: int) -> int:
        read[item].set()
        return item

    overlapped(range(5), note, work, lambda made: made, lambda _: written.set())


def test_no_more_is_held_than_is_said() -> None:
    held, most, lock = 0, 0, threading.Lock()

    def read(item: int) -> int:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        return item

    def done(_: int) -> None:
        nonlocal held
        with lock:
            held -= 1

    overlapped(range(200), read, lambda _, given: given(), lambda made: made, done)
    assert held == 0
    assert most <= READERS + 1 + WRITERS + 1


@pytest.mark.parametrize("stage", ["read", "work", "write", "done"])
def test_what_any_stage_raises_is_raised_here(stage: str) -> None:
    def fails(name: str, item: int) -> int:
        if name == stage and item == 3:
            raise OSError("no space")
        return item

    done: list[int] = []

    def keep(item: int) -> None:
        done.append(fails("done", item))

    with pytest.raises(OSError, match="no space"):
        overlapped(
            range(1000),
            lambda item: fails("read", item),
            lambda item, given: fails("work", given()),
            lambda item: fails("write", item),
            keep,
        )
    assert done[:3] == [0, 1, 2]
    assert len(done) < 1000


def test_after_an_interrupt_what_was_made_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the fourth edit, while the third is still being saved."""
    quads, out, edits, interrupted = make_quads(tmp_path / "set"), tmp_path / "out", 0, threading.Event()

    def edit(request: EditRequest) -> Image.Image:
        nonlocal edits
        edits += 1
        if edits == 4:
            interrupted.set()
            raise KeyboardInterrupt
        return add_noise(request)

    def late(image: Image.Image, path: Path) -> None:
        if path.name.startswith("000002"):
            assert interrupted.wait(PATIENCE)
        save_picture(image, path)

    monkeypatch.setattr(module, "save_picture", late)
    with pytest.raises(KeyboardInterrupt):
        generate(quads, FunctionEditor(edit, "noise"), out)
    assert [row["error"] for row in read_rows(out)] == [None] * 3
    assert len(pictures(out)) == 3


def test_a_row_is_written_once_its_picture_is_while_the_next_edit_goes_on(tmp_path: Path) -> None:
    """A kill then costs the edit at work alone."""
    quads, out = make_quads(tmp_path / "set"), tmp_path / "out"
    kept = [threading.Event() for _ in range(COUNT)]
    count = 0

    def edit(request: EditRequest) -> Image.Image:
        nonlocal count
        if count:
            assert kept[count - 1].wait(PATIENCE)
            row = read_rows(out)[-1]
            assert open_picture(out / row["output"]).size == request.source.size
        count += 1
        return add_noise(request)

    editor = FunctionEditor(edit, "noise")
    generate(quads, editor, out, progress=lambda number, total, row: kept[number - 1].set())
    assert count == COUNT


def test_a_batch_is_the_same_as_one_edit_after_the_other(tmp_path: Path) -> None:
    quads = make_quads(tmp_path / "set")
    (tmp_path / "set" / "source 3.png").write_bytes(b"no picture")
    generate(quads, NOISE, tmp_path / "overlapped")
    generate_with(serially, quads, NOISE.name, lambda: NOISE, tmp_path / "serial")
    assert pictures(tmp_path / "overlapped") == pictures(tmp_path / "serial")
    assert without_seconds(tmp_path / "overlapped") == without_seconds(tmp_path / "serial")
    assert [row["error"] is None for row in read_rows(tmp_path / "serial")].count(False) == 1


class Beginning:
    """An editor that leaves the picture to whoever completes it; `completed` has the threads that did."""

    name = "noise"

    def __init__(self) -> None:
        self.completed: set[str] = set()

    def begin(self, request: EditRequest) -> Callable[[], EditResult]:
        def complete() -> EditResult:
            self.completed.add(threading.current_thread().name)
            if request.seed == item_seed(0, 4):
                raise ValueError("no picture came of it")
            return EditResult(add_noise(request), seconds=1.5)

        return complete

    def edit(self, request: EditRequest) -> EditResult:
        return self.begin(request)()


def test_pictures_are_completed_beside_the_editor_and_failures_are_of_the_item(tmp_path: Path) -> None:
    editor = Beginning()
    assert generate(make_quads(tmp_path / "set"), editor, tmp_path / "out").failed == 1
    assert threading.current_thread().name not in editor.completed
    rows = read_rows(tmp_path / "out")
    assert [row["error"] for row in rows] == [
        "ValueError: no picture came of it" if index == 4 else None for index in range(COUNT)
    ]
    assert {row["seconds"] for row in rows if row["error"] is None} == {1.5}
    generate_with(serially, tmp_path / "set" / "quads.jsonl", editor.name, lambda: editor, tmp_path / "serial")
    assert pictures(tmp_path / "out") == pictures(tmp_path / "serial")


def test_the_model_s_editor_begins_what_it_would_edit(tmp_path: Path) -> None:
    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    source = Image.effect_noise((300, 200), 90).convert("RGB")
    request = EditRequest([(source, ImageOps.invert(source))], source)
    complete = RelationEditor(pipe).begin(request)
    image = complete().image
    assert image.size == source.size
    assert image.tobytes() == RelationEditor(pipe).edit(request).image.tobytes()
    assert image.tobytes() == pipe(source, pairs=request.pairs).images[0].tobytes()
