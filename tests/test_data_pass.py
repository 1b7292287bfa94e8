"""The whole way, from pairs in the published layout to two training steps, killed three times and not."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from forked import Command
from safetensors.torch import load_file

from relation_adapter.cli import main


@pytest.fixture(scope="module")
def data_pass() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "data_pass.py"
    spec = importlib.util.spec_from_file_location("data_pass", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["data_pass"] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_killed_three_times_it_ends_as_undisturbed(
    data_pass: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    count = data_pass.write_published(tmp_path / "published", tasks=8, pairs=26, size=32)
    assert count == 208

    def start(arguments: list[str]) -> Command:
        return Command(*arguments)

    def finish(stage: object) -> None:
        assert main(stage.arguments) in (0, 1)  # type: ignore[attr-defined]

    for name in ("whole", "killed"):
        data_pass.one_pass(tmp_path / "published", tmp_path / name, count, 1, name == "killed", finish, start)
    assert list(data_pass.differences(tmp_path / "whole", tmp_path / "killed")) == []

    annotated = (tmp_path / "killed" / "set" / "annotated.jsonl").read_text().splitlines()
    aside = (tmp_path / "killed" / "set" / "annotated.aside.jsonl").read_text().splitlines()
    assert len(annotated) + len(aside) == 208 and aside
    assert all(json.loads(line)["instruction"] for line in annotated)
    tasks = {json.loads(line)["task"] for line in annotated}
    assert len(tasks) == 8
    manifest = json.loads((tmp_path / "killed" / "cache" / "manifest.json").read_text())
    assert manifest["entries"]["features"] <= 2 * len(annotated) and manifest["quads"] > 1000
    assert load_file(tmp_path / "killed" / "run" / "model.safetensors")
