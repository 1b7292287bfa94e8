"""What `make demo` writes, with a tiny model in place of the built-in weights."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from relation_adapter import RelationPipeline, read_quads
from relation_adapter.images import open_picture
from relation_adapter.model.components import tiny

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_every_example_is_edited_at_its_size_and_laid_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = RelationPipeline.from_components(tiny("mini"))
    monkeypatch.setattr(RelationPipeline, "from_pretrained", lambda name: pipe)
    runpy.run_path(str(EXAMPLES / "demo.py"))["main"](tmp_path)
    quads = read_quads(EXAMPLES / "quads.jsonl")
    results = sorted(path for path in tmp_path.iterdir() if path.name != "contact_sheet.png")
    assert len(results) == len(quads)
    sizes = {f"{quad.source.stem}_{quad.before.parent.name}.png": open_picture(quad.source).size for quad in quads}
    assert {path.name: open_picture(path).size for path in results} == sizes
    assert open_picture(tmp_path / "contact_sheet.png").width > 4 * 256
    told = capsys.readouterr().out
    assert all(str(path) in told for path in [*results, tmp_path / "contact_sheet.png"])


def test_the_demo_shows_at_least_three_photos_and_four_edits_never_on_the_photo_of_the_pair() -> None:
    quads = read_quads(EXAMPLES / "quads.jsonl")
    assert len({quad.source for quad in quads}) >= 3
    assert len({quad.task for quad in quads}) >= 4
    examples = runpy.run_path(str(EXAMPLES / "make_pairs.py"))["EXAMPLES"]
    assert [(example.task, example.source) for example in examples] == [(quad.task, quad.source.stem) for quad in quads]
    assert all(example.source != example.shown_on for example in examples)
