"""Files in object storage: quads and pictures read from there, results and rows put there, and going on there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from batches import COUNT, NOISE, make_quads, pictures, without_seconds
from PIL import Image

from relation_adapter import stores
from relation_adapter.cli import main
from relation_adapter.editor import EditRequest, FunctionEditor
from relation_adapter.errors import MissingExtraError, PictureError
from relation_adapter.evaluate.generate import Summary, generate
from relation_adapter.evaluate.rows import latest_rows, read_rows
from relation_adapter.evaluate.score import score
from relation_adapter.images import open_picture, picture_size


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """A store with a set of quads."""
    make_quads(tmp_path / "set")
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "set"), "/bucket/", recursive=True)
    yield Path("memory://bucket")
    memory.rm("/bucket", recursive=True)


def brought(folder: Path, to: Path) -> Path:
    """A folder of the store, on this disk."""
    to.mkdir()
    for name in stores.names(folder):
        stores.fetch(folder / name, to / name)
    return to


def test_a_path_is_in_a_store_from_its_last_protocol_on() -> None:
    for text, address in {
        "s3://bucket/a.png": "s3://bucket/a.png",
        "out/../s3:/bucket/set/../a.png": "s3://bucket/a.png",
        "/here/gs:/bucket/a b.png": "gs://bucket/a b.png",
        "file:///tmp/a.png": "file:///tmp/a.png",
        "plain/a.png": None,
        "C:/a.png": None,
        "what: this/a.png": None,
    }.items():
        assert stores.address(Path(text)) == address
    assert stores.shown("/here/s3:/bucket/a.png: cannot be read") == "s3://bucket/a.png: cannot be read"
    assert stores.shown("http://host/v1: see a:b, c: /d") == "http://host/v1: see a:b, c: /d"


def test_a_batch_in_a_store_is_that_of_a_disk(store: Path, tmp_path: Path) -> None:
    assert generate(store / "set" / "quads.jsonl", NOISE, store / "out") == Summary(COUNT, 0, 0)
    assert generate(store / "set" / "quads.jsonl", NOISE, store / "out") == Summary(0, 0, COUNT)
    generate(tmp_path / "set" / "quads.jsonl", NOISE, tmp_path / "out")
    far = brought(store / "out", tmp_path / "far")
    assert pictures(far) == pictures(tmp_path / "out")
    assert without_seconds(far) == without_seconds(tmp_path / "out")
    assert {path.suffix for path in far.iterdir()} == {".png", ".jsonl"}
    assert picture_size(store / "out" / read_rows(far)[0]["output"]) == (16, 16)


def test_a_batch_that_was_stopped_goes_on_from_its_parts(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relation_adapter.evaluate.row_parts.PART_BYTES", 500)  # two rows
    monkeypatch.setattr("relation_adapter.evaluate.row_parts.INTERVAL", 0.0)
    begun = []

    def stops(request: EditRequest) -> Image.Image:
        begun.append(request.seed)
        if len(begun) == 7:
            raise KeyboardInterrupt
        return NOISE.function(request)

    with pytest.raises(KeyboardInterrupt):
        generate(store / "set" / "quads.jsonl", FunctionEditor(stops, "noise"), store / "out")
    parts = {name for name in stores.names(store / "out") if ".part" in name}
    assert len(parts) >= 2
    done = len(latest_rows(store / "out"))
    assert 5 <= done <= 6
    assert generate(store / "set" / "quads.jsonl", NOISE, store / "out") == Summary(COUNT - done, 0, done)
    generate(tmp_path / "set" / "quads.jsonl", NOISE, tmp_path / "out")
    far = brought(store / "out", tmp_path / "far")
    assert pictures(far) == pictures(tmp_path / "out")
    assert not [name for name in stores.names(store / "out") if ".part" in name]


def test_what_lies_elsewhere_is_named_whole(store: Path, tmp_path: Path) -> None:
    generate(store / "set" / "quads.jsonl", NOISE, tmp_path / "out")
    row = read_rows(tmp_path / "out")[0]
    assert row["source"] == "memory://bucket/set/source 0.png"
    assert open_picture(tmp_path / "out" / row["source"]).size == (16, 16)
    generate(tmp_path / "set" / "quads.jsonl", NOISE, store / "mixed")
    assert read_rows(store / "mixed")[0]["source"] == str((tmp_path / "set" / "source 0.png").resolve())


def test_rows_in_a_store_are_scored(store: Path) -> None:
    quads = map(json.loads, stores.read(store / "set" / "quads.jsonl").decode().splitlines())
    lines = [json.dumps(quad | {"target": quad["source"]}) for quad in quads]
    stores.put(store / "set" / "with.jsonl", "\n".join(lines).encode())
    generate(store / "set" / "with.jsonl", NOISE, store / "out")
    assert score(store / "out").done == COUNT
    assert read_rows(store / "out")[0]["psnr"] > 10
    assert score(store / "out").skipped == COUNT


def test_what_is_wrong_is_told_in_one_line(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["edit", "--quads", "memory://bucket/nothing.jsonl", "-o", str(tmp_path / "out")]) == 2
    assert "memory://bucket/nothing.jsonl: cannot be read (No such file" in capsys.readouterr().err
    assert main(["edit", "--quads", "abc://bucket/quads.jsonl", "-o", str(tmp_path / "out")]) == 2
    assert "no kind of store is called abc" in capsys.readouterr().err
    with pytest.raises(PictureError, match="no such file"):
        open_picture(store / "set" / "nothing.png")

    def not_installed(place: str) -> None:
        raise ImportError("Please install gcsfs to access Google Storage")

    monkeypatch.setattr("fsspec.core.url_to_fs", not_installed)
    with pytest.raises(MissingExtraError, match="pip install gcsfs"):
        stores.read(Path("gs://bucket/a.png"))
    shutil.rmtree(tmp_path / "set")
