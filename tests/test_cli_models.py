"""`models list` and `models info`: what weights say of themselves, from the header alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from relation_adapter.baselines import EDITORS
from relation_adapter.cli import main, models
from relation_adapter.config import MODELS, to_dict


def weights(path: Path, metadata: dict[str, str], shapes: dict[str, list[int]]) -> Path:
    """A safetensors file of zeros, made without the library."""
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, (rows, columns) in shapes.items():
        start, end = end, end + 4 * rows * columns
        header[name] = {"dtype": "F32", "shape": [rows, columns], "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    metadata = {
        "format": "relation-adapter",
        "version": "1",
        "config": json.dumps(to_dict(MODELS["mini"])),
        "provenance": json.dumps({"quads": 12345, "licence": "CC0-1.0", "odd": "\x1b[2J"}),
    }
    return weights(tmp_path / "m.safetensors", metadata, {"transformer.a": [50, 100], "adapter.b": [10, 20]})


def test_info_in_words(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "info", str(model)]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    for line in (
        "parameters  5.2 thousand",
        "transformer  5000",
        "adapter      200",
        "dtype       F32",
        "quads    12345",
    ):
        assert line in lines
    assert ["source_time", "clean"] in [line.split() for line in lines]
    assert not any("\x1b" in line for line in lines)  # a file cannot play tricks on the terminal


def test_info_as_json(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "info", str(model), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parameters"] == {"transformer": 5000, "adapter": 200}
    assert facts["config"] == to_dict(MODELS["mini"])
    assert facts["size"] == model.stat().st_size


def test_info_on_a_saved_pipeline(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "saved"
    weights(folder / "transformer" / "x-00001-of-00002.safetensors", {}, {"a": [2, 3]})
    weights(folder / "transformer" / "x-00002-of-00002.safetensors", {}, {"b": [2, 5]})
    weights(folder / "adapter" / "x.safetensors", {}, {"a": [1, 7]})
    assert main(["models", "info", str(folder)]) == 2
    assert "not a saved pipeline" in capsys.readouterr().err
    (folder / "model_index.json").write_text('{"_class_name": "RelationPipeline"}')
    assert main(["models", "info", str(folder), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parameters"] == {"adapter": 7, "transformer": 16}
    assert facts["model_index"]["_class_name"] == "RelationPipeline"


def test_list(model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(models, "SHIPPED", {"mini": model})
    assert main(["models", "list"]) == 0
    head, line, full, *others = capsys.readouterr().out.splitlines()
    assert head.split() == list(models.COLUMNS)
    assert line.split()[:2] == ["mini", "mini"] and "5.2 thousand" in line and "CC0-1.0" in line
    assert full.split()[:4] == ["flux-dev", "published", "14.9", "billion"] and "Non-Commercial" in full
    assert [other.split()[0] for other in others] == list(EDITORS)
    assert "black-forest-labs/FLUX.2-klein-4B" in next(other for other in others if other.startswith("klein"))
    assert main(["models", "list", "--json"]) == 0
    row, full_row, *_ = json.loads(capsys.readouterr().out)
    assert row["parameters"] == 5200 and row["file"] == str(model)
    assert full_row["parameters"] == 14_905_621_824


def test_what_is_not_on_the_hub_is_not_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "fetch", "identity"]) == 2
    err = capsys.readouterr().err
    assert "identity: nothing of it is fetched; choose of flux-dev, edit_transfer" in err and err.count("\n") == 1


HOSTILE = {
    "negative": {"a": {"dtype": "F32", "shape": [-1, -8], "data_offsets": [0, 32]}},
    "more than its data": {"a": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 32]}},
    "backwards": {"a": {"dtype": "F32", "shape": [8], "data_offsets": [32, 0]}},
    "no numbers": {"a": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 32]}},
    "missing": {"a": {"dtype": "F32", "shape": [8]}},
    "unknown": {"a": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32], "code": 1}},
    "a list": [],
    "no object": {"a": 3},
    "metadata": {"__metadata__": 3},
}


@pytest.mark.parametrize("header", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_header_that_lies(header: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = json.dumps(header).encode()
    (tmp_path / "x.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(32))
    assert main(["models", "info", str(tmp_path / "x.safetensors")]) == 2
    err = capsys.readouterr().err
    assert "x.safetensors: not a safetensors file" in err and err.count("\n") == 1
