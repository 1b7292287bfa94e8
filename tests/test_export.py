"""`data export`: what is written in a published form is read back as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pair_sources import TASKS, write_labels
from PIL import Image

from relation_adapter.cli.app import main
from relation_adapter.data.build import BuildOptions, build
from relation_adapter.data.pairs import PairRow, read_pairs, write_pairs
from relation_adapter.data.schema import read_quads, write_quads
from relation_adapter.images import open_picture


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    write_labels(tmp_path / "raw", 4)
    assert main(["data", "import", str(tmp_path / "raw"), "-o", str(tmp_path / "pairs")]) == 0
    return tmp_path / "pairs" / "pairs.jsonl"


def texts(row: PairRow) -> tuple[str | None, ...]:
    return (row.task, row.instruction, row.before_description, row.after_description, row.split)


def pixels(rows: list[PairRow]) -> list[bytes]:
    return [open_picture(path).tobytes() for row in rows for path in (row.before, row.after)]


def export(*words: object, code: int = 0) -> None:
    assert main(["data", "export", *map(str, words)]) == code


def test_to_the_published_layout_and_back(tmp_path: Path, pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "published"
    export(pairs, "--form", "labels", "-o", out)
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == sorted(TASKS)
    labels = json.loads((out / "sepia" / "Group1" / "labels.json").read_text())
    assert labels[0] == {
        "img_name": "000001.png",
        "left_image_description": "left 0",
        "right_image_description": "right 0",
        "edit_instruction": "do 0",
    }
    assert main(["data", "import", str(out), "-o", str(tmp_path / "again")]) == 0
    first, second = list(read_pairs(pairs)), list(read_pairs(tmp_path / "again" / "pairs.jsonl"))
    assert list(map(texts, first)) == list(map(texts, second)) and pixels(first) == pixels(second)
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    (out / "sepia" / "Group1" / "labels.json").unlink()
    (out / "sepia" / "Group1" / "000001.png").unlink()
    (out / "sepia" / "Group1" / ".labels.lines").write_text("left by a kill")
    capsys.readouterr()
    export(pairs, "--form", "labels", "-o", out)
    assert before == {path: path.read_bytes() for path in out.rglob("*.*")}
    assert "12 rows, 11 of them there already" in capsys.readouterr().err


def test_rows_that_do_not_fit_the_layout_are_told(
    tmp_path: Path, pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = list(read_pairs(pairs))
    rows[0] = replace(rows[0], task=None)
    Image.open(rows[1].after).resize((48, 24)).save(rows[1].after)
    Image.open(rows[2].after).resize((96, 96)).save(rows[2].after)
    rows[3] = replace(rows[3], task="../../up", after=tmp_path / "pairs" / "none.png")
    rows[4] = replace(rows[4], task="../../up")
    write_pairs(pairs, rows)
    export(pairs, "--form", "labels", "-o", tmp_path / "out", code=1)
    told = capsys.readouterr().err
    for line, what in ((1, "has no task"), (2, "differ in shape: 48x48 and 48x24"), (4, "no such file")):
        assert f"pairs.jsonl:{line}: " in told and what in told
    assert np.asarray(open_picture(tmp_path / "out" / "blur" / "Group1" / "000002.png")).shape == (48, 96, 3)
    assert (tmp_path / "out" / "_.._up" / "Group1" / "labels.json").exists()


def test_tasks_of_one_folder_are_not_mixed(tmp_path: Path, pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`a/b` and `a_b` are both the folder a_b: their pairs came back as one task."""
    rows = list(read_pairs(pairs))[:3]
    write_pairs(pairs, [replace(row, task=task) for row, task in zip(rows, ("a/b", "a_b", "a/b"), strict=True)])
    export(pairs, "--form", "labels", "-o", tmp_path / "out", code=1)
    assert "pairs.jsonl:2: task 'a_b' would go into the folder of 'a/b'; rename" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "out" / "a_b" / "Group1" / "labels.json").read_text())) == 2


def test_a_card_counts_what_is_there_and_takes_any_title(
    tmp_path: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pairs left out were counted, not told again on a second call; a colon in the title made the set unreadable."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    rows = list(read_pairs(pairs))
    rows[2].after.unlink()
    for _ in range(2):
        export(pairs, "--form", "datasets", "-o", tmp_path / "hub", "--title", 'Mine: "all" #1', code=1)
        assert "11 rows" in (told := capsys.readouterr().err) and "1 left out" in told
    assert "| `train` | 11 | 3 |" in (tmp_path / "hub" / "README.md").read_text()
    assert len(list(datasets.load_dataset(str(tmp_path / "hub"), split="train", streaming=True))) == 11


def test_quads_to_the_run_ready_form(tmp_path: Path, pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plans = build(read_pairs(pairs), pairs.parent, BuildOptions(unseen=0, benchmark=0))
    quads = [quad for plan in plans for quad in plan.quads()]
    write_quads(pairs.parent / "quads.jsonl", quads)
    out = pairs.parent / "run.jsonl"
    export(pairs.parent / "quads.jsonl", "--form", "run-ready", "-o", out)
    assert set(json.loads(out.read_text().splitlines()[0])) == {"cond1", "cond2", "source", "target", "text"}
    for one, other in zip(read_quads(out), quads, strict=True):
        assert one == replace(other, task=None, category=None, split=None)
    export(pairs.parent / "quads.jsonl", "--form", "run-ready", "-o", tmp_path / "elsewhere" / "run.jsonl", code=2)
    assert "outside of the file's folder" in capsys.readouterr().err
    export(pairs.parent / "quads.jsonl", "--form", "labels", "-o", tmp_path / "no", code=2)
    assert "holds quads" in capsys.readouterr().err


def test_a_hugging_face_data_set_with_its_card_and_back(
    tmp_path: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr("relation_adapter.data.export_hub.SHARD_ROWS", 5)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    rows = [replace(row, split="unseen" if row.task == "sepia" else None) for row in read_pairs(pairs)]
    write_pairs(pairs, rows)
    out = tmp_path / "hub"
    export(pairs, "--form", "datasets", "-o", out, "--title", "Small pairs", "--licence", "mit")
    files = sorted(path.name for path in (out / "data").iterdir())
    assert files == ["test_unseen-00000.parquet", "train-00000.parquet", "train-00001.parquet"]
    card = (out / "README.md").read_text()
    assert 'license: "mit"' in card and "| `train` | 8 | 2 |" in card and "| `test_unseen` | 4 | 1 |" in card
    loaded = datasets.load_dataset(str(out), split="train", streaming=True)
    first = next(iter(loaded))
    assert first["before"].size == (48, 48) and first["instruction"] == "do 0" and first["split"] is None
    (out / "data" / "train-00001.parquet").unlink()
    capsys.readouterr()
    export(pairs, "--form", "datasets", "-o", out, "--title", "Small pairs", "--licence", "mit")
    assert "12 rows, 9 of them there already" in capsys.readouterr().err
    for split, name in (("train", "train"), ("test_unseen", "test")):
        words = ["data", "import", str(out), "--form", "datasets", "--hub-split", split, "-o", str(tmp_path / name)]
        assert main(words) == 0
        want = [row for row in rows if (row.split == "unseen") == (name == "test")]
        have = list(read_pairs(tmp_path / name / "pairs.jsonl"))
        assert list(map(texts, have)) == list(map(texts, want)) and pixels(have) == pixels(want)


def test_columns_of_a_data_set_are_mapped(
    tmp_path: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    rows = list(read_pairs(pairs))[:3]
    data = {
        "old": [{"bytes": row.before.read_bytes(), "path": None} for row in rows],
        "new": [{"bytes": row.after.read_bytes(), "path": None} for row in rows],
        "what": [row.instruction for row in rows],
    }
    features = datasets.Features({"old": datasets.Image(), "new": datasets.Image(), "what": datasets.Value("string")})
    (tmp_path / "hub").mkdir()
    datasets.Dataset.from_dict(data, features=features).to_parquet(tmp_path / "hub" / "train.parquet")
    words = ["data", "import", str(tmp_path / "hub"), "--form", "datasets", "-o", str(tmp_path / "out")]
    assert main(words) == 2 and "has the columns old, new, what; say which" in capsys.readouterr().err
    assert main([*words, "--columns", "before=old,after=none"]) == 2 and "no column 'none'" in capsys.readouterr().err
    assert main([*words, "--columns", "before=old,after=new,instruction=what", "--task", "sepia"]) == 0
    have = list(read_pairs(tmp_path / "out" / "pairs.jsonl"))
    assert [row.instruction for row in have] == ["do 0", "do 1", "do 2"] and {row.task for row in have} == {"sepia"}
    assert pixels(have) == pixels(rows)
    assert main([*words[:2], str(tmp_path / "none"), *words[3:5], "-o", str(tmp_path / "new")]) == 2
    assert "cannot be opened as a data set" in capsys.readouterr().err


def test_pictures_that_a_data_set_names_are_read_from_within_it_alone(
    tmp_path: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    row = next(read_pairs(pairs))
    folder = tmp_path / "hub"
    folder.mkdir()
    inside, outside = folder / "a.png", tmp_path / "outside.png"
    for path in (inside, outside):
        path.write_bytes(row.before.read_bytes())
    names = {"before": [str(inside), str(inside)], "after": [str(inside), str(outside)]}
    paths = {key: [{"bytes": None, "path": path} for path in some] for key, some in names.items()}
    features = datasets.Features({"before": datasets.Image(), "after": datasets.Image()})
    datasets.Dataset.from_dict(paths, features=features).to_parquet(folder / "train.parquet")
    words = ["data", "import", str(folder), "--form", "datasets", "-o", str(tmp_path / "out")]
    assert main(words) == 1
    assert len(list(read_pairs(tmp_path / "out" / "pairs.jsonl"))) == 1
    told = capsys.readouterr().err
    assert "row 1: after: holds no picture" in told and "not in the data set" in told


def test_an_export_never_mixes_with_another(tmp_path: Path, pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(pairs, "--form", "labels", "-o", tmp_path / "out")
    write_pairs(pairs, list(read_pairs(pairs))[:5])
    export(pairs, "--form", "labels", "-o", tmp_path / "out", code=2)
    assert "holds an export of other pairs" in capsys.readouterr().err
    export(pairs, "--form", "labels", "-o", tmp_path / "raw", code=2)
    assert "is not empty" in capsys.readouterr().err
    export(tmp_path / "none.jsonl", "--form", "labels", "-o", tmp_path / "new", code=2)
    assert not (tmp_path / "new").exists()
