"""Weights files: whole, strict, and refused in one line that names the file and the remedy."""

from __future__ import annotations

import json
import pickle
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_edits import DESIGNS, conditions, features, predict, relation, weights
from torch import Tensor

from relation_adapter.config import to_dict
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.model.adapter import RelationAdapter
from relation_adapter.model.components import tiny, tiny_design
from relation_adapter.model.lora import add_lora
from relation_adapter.model.weights import load_model, read_info, save_model


@torch.no_grad()
@pytest.mark.parametrize("name", DESIGNS)
def test_a_saved_model_is_the_same_model(name: str, tmp_path: Path) -> None:
    model, path = tiny(name), tmp_path / "new folder" / "model.safetensors"
    save_model(path, model, {"samples": 7})
    again = load_model(path)
    assert again.design == model.design
    given = conditions(model, [relation(model)])
    assert torch.equal(predict(model, given), predict(again, conditions(again, [relation(again)])))
    assert (again.vae is not None) == bool(model.design.pixel_factor)
    assert again.scheduler.config == model.scheduler.config
    assert read_info(path) == (model.design, {"samples": 7})
    assert not again.adapter.training and all(p.requires_grad for p in again.adapter.parameters())


def test_half_precision_on_disk_is_float32_in_memory(tmp_path: Path) -> None:
    model, path = tiny("mini"), tmp_path / "model.safetensors"
    save_model(path, model, dtype=torch.bfloat16)
    assert {value.dtype for value in load_file(path).values()} == {torch.bfloat16}
    again = load_model(path)
    for part in ("transformer", "adapter"):
        kept, found = weights(getattr(model, part)), weights(getattr(again, part))
        assert all(torch.equal(kept[key].bfloat16().float(), found[key]) for key in kept)
    assert {p.dtype for p in load_model(path, torch.bfloat16).adapter.parameters()} == {torch.bfloat16}


def test_the_file_is_readable_by_others_and_leaves_no_parts(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    plain = tmp_path / "plain"
    plain.touch()
    save_model(path, tiny("mini"))
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.safetensors", "plain"]


def test_a_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, tiny("mini"))
    before = path.read_bytes()

    def full(tensors: Any, part: Path, metadata: Any) -> None:
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("relation_adapter.model.weights.save_file", full)
    with pytest.raises(WeightsError, match=r"model\.safetensors: cannot be written \(No space left on device\); free"):
        save_model(path, tiny("mini", seed=1))
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_model_with_a_lora_is_not_saved_in_parts(tmp_path: Path) -> None:
    model = tiny("directed")
    add_lora(model.transformer, rank=2)
    with pytest.raises(UsageError, match="fuse and unload"):
        save_model(tmp_path / "model.safetensors", model)
    assert not list(tmp_path.iterdir())


# Files that cannot be used


def changed(path: Path, tensors: dict[str, Tensor] | None = None, **metadata: str) -> None:
    """Write the file again with some tensors or metadata changed; a None tensor is left out."""
    with safe_open(path, "pt") as file:
        old = file.metadata()
    new = {**load_file(path), **(tensors or {})}
    save_file({key: value for key, value in new.items() if value is not None}, path, {**old, **metadata})


def config_with(**changes: Any) -> str:
    values = to_dict(tiny_design("mini"))
    values["transformer"].update({key: changes.pop(key) for key in list(changes) if key in values["transformer"]})
    return json.dumps(values | changes)


KEY = "adapter.to_k.0.weight"
BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: path.unlink(), "no such file; check the path"),
    "empty": (lambda path: path.write_bytes(b""), "not a safetensors file, or cut short"),
    "text": (lambda path: path.write_text("<html>404</html>" * 100), "not a safetensors file, or cut short"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "not a safetensors file, or cut short"),
    "cut in the header": (lambda path: path.write_bytes(path.read_bytes()[:99]), "cut short"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "not a safetensors file"),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "not a safetensors file"),
    "a torch file": (lambda path: torch.save({"a": torch.zeros(3)}, path), "not a safetensors file"),
    "another program's": (lambda path: save_file({"a": torch.zeros(3)}, path), "not a model of this program"),
    "a relation": (lambda path: changed(path, format="relation-adapter-relation"), "not a model of this program"),
    "another version": (lambda path: changed(path, version="2"), "of format version 2, this program reads 1"),
    "no config": (lambda path: changed(path, config=""), "its config is damaged"),
    "a list for a config": (lambda path: changed(path, config="[1]"), "its config is damaged"),
    "a deep config": (lambda path: changed(path, config="[" * 100_000), "its config is damaged"),
    "an unknown choice": (lambda path: changed(path, config=config_with(colour=1)), "unknown key 'colour'"),
    "a wrong type": (lambda path: changed(path, config=config_with(steps="two")), "config.steps='two': expected int"),
    "a billion blocks": (lambda path: changed(path, config=config_with(num_layers=10**9)), "more blocks than the file"),
    "a billion layers": (lambda path: changed(path, config=config_with(resampler_layers=10**9)), "more blocks than"),
    "a huge width": (lambda path: changed(path, config=config_with(num_attention_heads=10**17)), "makes no model"),
    "a negative width": (lambda path: changed(path, config=config_with(joint_attention_dim=-4)), "makes no model"),
    "another design": (lambda path: changed(path, config=config_with(num_single_layers=3)), "lacks adapter.to_k.3"),
    "a missing key": (lambda path: changed(path, {KEY: None}), f"lacks {KEY}; it is of another design"),
    "an unknown key": (lambda path: changed(path, {"adapter.odd": torch.zeros(1)}), "has unknown adapter.odd; it is"),
    "a wrong shape": (lambda path: changed(path, {KEY: torch.zeros(32, 17)}), r"to_k.0.weight is \(32, 17\), not \(32"),
    "whole numbers": (lambda path: changed(path, {KEY: torch.zeros(32, 16, dtype=torch.int8)}), "is I8, not floating"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    spoil, message = BAD[kind]
    path = tmp_path / "model.safetensors"
    save_model(path, tiny("mini"))
    spoil(path)
    with pytest.raises(WeightsError, match=message) as caught:
        load_model(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "\n" not in text and len(text) < 400
    assert ";" in text or "give another file" in text


def test_the_adapter_saves_and_loads_as_a_diffusers_model(tmp_path: Path) -> None:
    for name in DESIGNS:
        model = tiny(name)
        model.adapter.save_pretrained(tmp_path / name)
        again = RelationAdapter.from_pretrained(tmp_path / name)
        assert again.design == model.design
        tokens = [adapter.encode(*features(model))[0] for adapter in (model.adapter, again)]
        assert torch.equal(*tokens)
