"""Batches: rows and pictures, bad items, and running again."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from batches import COUNT, NOISE, Counting, add_noise, make_quads, pictures
from PIL import Image

from relation_adapter.data.schema import Quad, read_quads, write_quads
from relation_adapter.editor import EditRequest, FunctionEditor
from relation_adapter.errors import InputError, QuadsError, UsageError
from relation_adapter.evaluate.generate import Summary, generate, item_seed
from relation_adapter.evaluate.rows import read_rows
from relation_adapter.images import open_picture, save_picture


@pytest.fixture
def quads(tmp_path: Path) -> Path:
    return make_quads(tmp_path / "set")


# One call


def test_pictures_and_rows(quads: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int, str]] = []
    out = tmp_path / "deep" / "out"
    summary = generate(
        quads, NOISE, out, progress=lambda number, count, row: calls.append((number, count, row["output"]))
    )
    assert summary == Summary(done=COUNT, failed=0, skipped=0)
    rows = read_rows(out)
    assert calls == [(index + 1, COUNT, row["output"]) for index, row in enumerate(rows)]
    assert rows[3] | {"seconds": 0, "peak_gib": 0} == {
        "before": "../../set/before.png",
        "after": "../../set/after.png",
        "source": "../../set/source 3.png",
        "target": None,
        "instruction": None,
        "task": "Raise Arms/1",
        "category": "editing",
        "split": None,
        "output": "000003_Raise-Arms-1_source-3.png",
        "seed": item_seed(0, 3),
        "model": "noise",
        "seconds": 0,
        "peak_gib": 0,
        "error": None,
    }
    assert rows[3]["seconds"] >= 0
    pair = (open_picture(out / rows[3]["before"]), open_picture(out / rows[3]["after"]))
    again = add_noise(EditRequest([pair], open_picture(out / rows[3]["source"]), seed=rows[3]["seed"]))
    assert np.array_equal(np.asarray(again), np.asarray(open_picture(out / rows[3]["output"])))
    assert {path.name for path in out.iterdir()} == {"rows.jsonl", ".lock", *(row["output"] for row in rows)}


def test_the_editors_own_seconds_are_kept(quads: Path, tmp_path: Path) -> None:
    generate(quads, Counting(), tmp_path / "out")
    assert {row["seconds"] for row in read_rows(tmp_path / "out")} == {1.5}


def test_quads_given_as_values(quads: Path, tmp_path: Path) -> None:
    generate(read_quads(quads), NOISE, tmp_path / "values")
    generate(quads, NOISE, tmp_path / "file")
    assert pictures(tmp_path / "values") == pictures(tmp_path / "file")


def test_seeds_are_of_the_item() -> None:
    seeds = [item_seed(seed, index) for seed in range(30) for index in range(30)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert item_seed(7, 3) == item_seed(7, 3)


def test_names_stay_unique_and_short(tmp_path: Path) -> None:
    path = make_quads(tmp_path / "set", 2)
    quad = read_quads(path)[0]
    tasks = ("../../x", "举" * 300, "\N{GRINNING FACE}", "a/b", "a b")
    odd = [Quad(quad.before, quad.after, quad.source, task=task) for task in tasks]
    assert generate(odd, NOISE, tmp_path / "out").done == 5
    assert len(pictures(tmp_path / "out")) == 5
    assert pictures(tmp_path) == {}


# Bad items


def test_a_bad_item_is_a_row_and_the_batch_goes_on(quads: Path, tmp_path: Path) -> None:
    (quads.parent / "source 2.png").write_text("no picture")
    (quads.parent / "source 4.png").unlink()

    def edit(request: EditRequest) -> Image.Image:
        if request.seed == item_seed(0, 6):
            raise RuntimeError("out of\nmemory")
        return add_noise(request) if request.seed != item_seed(0, 7) else Image.new("RGB", (0, 3))

    out = tmp_path / "out"
    assert generate(quads, FunctionEditor(edit, "noise"), out) == Summary(done=COUNT - 4, failed=4, skipped=0)
    rows = read_rows(out)
    assert len(rows) == COUNT
    errors = {index: row["error"] for index, row in enumerate(rows) if row["error"] is not None}
    assert sorted(errors) == [2, 4, 6, 7]
    assert "source 2.png: not a picture" in errors[2] and "no such file" in errors[4]
    assert errors[6] == "RuntimeError: out of memory"
    assert all(rows[index]["output"] is None for index in errors)
    assert len(pictures(out)) == COUNT - 4

    save_picture(Image.new("RGB", (16, 16)), quads.parent / "source 2.png")
    editor = Counting()
    assert generate(quads, editor, out) == Summary(done=3, failed=1, skipped=COUNT - 4)
    assert editor.seeds == [item_seed(0, index) for index in (2, 6, 7)]
    assert [row["error"] is None for row in read_rows(out)] == [index != 4 for index in range(COUNT)]


def test_what_an_editor_returns_is_looked_at_inside_the_item(quads: Path, tmp_path: Path) -> None:
    cut = (quads.parent / "before.png").read_bytes()[:-100]
    lazy = FunctionEditor(lambda request: Image.open(io.BytesIO(cut)))
    assert generate(quads, lazy, tmp_path / "out") == Summary(done=0, failed=COUNT, skipped=0)


def test_a_message_that_is_no_text_is_still_a_row(quads: Path, tmp_path: Path) -> None:
    def edit(request: EditRequest) -> Image.Image:
        raise ValueError("caf\udce9")

    assert generate(quads, FunctionEditor(edit), tmp_path / "out").failed == COUNT
    assert read_rows(tmp_path / "out")[0]["error"] == "ValueError: caf\udce9"


def test_a_bad_quads_file_is_refused_before_anything(tmp_path: Path) -> None:
    (tmp_path / "quads.jsonl").write_text("{\n")
    with pytest.raises(QuadsError):
        generate(tmp_path / "quads.jsonl", NOISE, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_negative_seed_is_refused(quads: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="-1"):
        generate(quads, NOISE, tmp_path / "out", seed=-1)


# Again


def test_a_second_call_does_nothing(quads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(quads, NOISE, out)
    before = (out / "rows.jsonl").read_bytes()
    editor = Counting()
    assert generate(quads, editor, out) == Summary(done=0, failed=0, skipped=COUNT)
    assert editor.seeds == [] and (out / "rows.jsonl").read_bytes() == before


def test_a_lost_picture_is_made_again(quads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(quads, NOISE, out)
    whole = pictures(out)
    (out / read_rows(out)[5]["output"]).unlink()
    assert generate(quads, NOISE, out) == Summary(done=1, failed=0, skipped=COUNT - 1)
    assert pictures(out) == whole


def test_columns_added_to_rows_survive(quads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(quads, NOISE, out)
    rows = [row | {"mse": 0.5} for row in read_rows(out)]
    (out / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    generate(quads, NOISE, out)
    assert read_rows(out) == rows


def test_a_batch_may_grow_and_both_folders_may_move(quads: Path, tmp_path: Path) -> None:
    everything = read_quads(quads)
    write_quads(quads, everything[:4])
    generate(quads, NOISE, tmp_path / "out")
    write_quads(quads, everything)
    assert generate(quads, NOISE, tmp_path / "out") == Summary(done=COUNT - 4, failed=0, skipped=4)
    (tmp_path / "elsewhere").mkdir()
    for name in ("set", "out"):
        shutil.move(tmp_path / name, tmp_path / "elsewhere" / name)
    again = generate(tmp_path / "elsewhere" / "set" / "quads.jsonl", NOISE, tmp_path / "elsewhere" / "out")
    assert again == Summary(done=0, failed=0, skipped=COUNT)


def test_a_torn_last_line_and_part_files_are_forgiven(quads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(quads, NOISE, out)
    whole = (out / "rows.jsonl").read_bytes()
    for cut in (1, 20, 200):
        (out / "rows.jsonl").write_bytes(whole[:-cut])
        (out / ".0123456789abcdef.part").write_bytes(b"half a picture")
        summary = generate(quads, NOISE, out)
        assert summary.done + summary.skipped == COUNT and summary.done == (0 if cut == 1 else 1)
        assert len(read_rows(out)) == COUNT
        assert not list(out.glob(".*.part"))


def test_a_torn_line_does_not_end_up_inside(quads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(quads, NOISE, out)
    lines = (out / "rows.jsonl").read_bytes().splitlines(keepends=True)
    (out / "rows.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:50])

    def interrupted(request: EditRequest) -> Image.Image:
        if request.seed == item_seed(0, 6):
            raise KeyboardInterrupt
        return add_noise(request)

    with pytest.raises(KeyboardInterrupt):
        generate(quads, FunctionEditor(interrupted, "noise"), out)
    assert [row["seed"] for row in read_rows(out)] == [item_seed(0, index) for index in range(6)]


def test_a_broken_line_inside_is_named(quads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(quads, NOISE, out)
    lines = (out / "rows.jsonl").read_text().splitlines(keepends=True)
    for bad in ("{]\n", "5\n"):
        (out / "rows.jsonl").write_text("".join([lines[0], bad, *lines[1:]]))
        with pytest.raises(InputError, match=r"rows\.jsonl:2: not a row"):
            generate(quads, NOISE, out)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("model", "model 'noise', not 'other'"),
        ("seed", "another seed"),
        ("quads", "other quads"),
        ("order", "another seed, order"),
    ],
)
def test_another_batch_is_not_mixed_in(quads: Path, tmp_path: Path, change: str, says: str) -> None:
    out = tmp_path / "out"
    generate(quads, NOISE, out)
    before = (out / "rows.jsonl").read_bytes()
    editor = FunctionEditor(add_noise, "other") if change == "model" else NOISE
    given: Path | list[Quad] = quads
    if change == "quads":
        given = make_quads(tmp_path / "second")
    if change == "order":
        given = read_quads(quads)[::-1]
    with pytest.raises(UsageError, match=says) as caught:
        generate(given, editor, out, seed=int(change == "seed"))
    assert str(out) in str(caught.value)
    assert (out / "rows.jsonl").read_bytes() == before
