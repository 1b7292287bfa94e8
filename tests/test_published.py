"""The published adapter file: by its table, strictly, never run; and what becomes of it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from relation_adapter.config import to_dict
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.model.adapter import RelationAdapter
from relation_adapter.model.components import tiny, tiny_design
from relation_adapter.model.published import convert_adapter, load_adapter, load_published_adapter, published_design
from relation_adapter.model.twins import write_adapter
from relation_adapter.model.weights import load_model, read_info, save_model


def published_file(path: Path, blocks: int, prefix: str = "", dtype: torch.dtype = torch.float32) -> RelationAdapter:
    """A file in the published layout, and the adapter whose weights it holds."""
    adapter = RelationAdapter(to_dict(published_design_of(blocks)))
    state = {key: value.to(dtype) for key, value in adapter.state_dict().items()}
    groups: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for key, value in state.items():
        part, number, *rest = key.split(".")
        if part == "projector":
            groups["image_proj"][f"{prefix}{'.'.join([number, *rest])}"] = value
        else:
            groups["ip_adapter"][f"{prefix}{number}.{part}_ip.weight"] = value
    torch.save(groups, path)
    adapter.load_state_dict(state)
    return adapter


def published_design_of(blocks: int) -> Any:
    design = tiny_design("published")
    return replace(design, transformer=replace(design.transformer, num_single_layers=blocks - 1))


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_published_file_loads_block_by_block(prefix: str, dtype: torch.dtype, tmp_path: Path) -> None:
    """More than ten blocks: sorted as text, block 10 would come before block 2."""
    adapter = published_file(tmp_path / "ip_adapter.bin", 13, prefix, dtype)
    state = load_published_adapter(tmp_path / "ip_adapter.bin", published_design_of(13))
    assert {value.dtype for value in state.values()} == {dtype}
    assert state.keys() == adapter.state_dict().keys()
    assert all(torch.equal(state[key].float(), value) for key, value in adapter.state_dict().items())


def test_the_published_file_as_safetensors(tmp_path: Path) -> None:
    adapter = published_file(tmp_path / "a.bin", 3)
    groups = torch.load(tmp_path / "a.bin", weights_only=True)
    flat = {f"{name}.{key}": value for name, group in groups.items() for key, value in group.items()}
    save_file(flat, tmp_path / "a.safetensors")
    state = load_published_adapter(tmp_path / "a.safetensors", published_design_of(3))
    assert all(torch.equal(state[key], value) for key, value in adapter.state_dict().items())


def test_the_published_file_in_the_old_pickle_layout(tmp_path: Path) -> None:
    adapter = published_file(tmp_path / "a.bin", 3)
    groups = torch.load(tmp_path / "a.bin", weights_only=True)
    torch.save(groups, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    state = load_published_adapter(tmp_path / "old.bin", published_design_of(3))
    assert all(torch.equal(state[key], value) for key, value in adapter.state_dict().items())


def test_what_a_design_has_beyond_the_published_one_starts_at_zero(tmp_path: Path) -> None:
    published_file(tmp_path / "a.bin", 3)
    design = replace(published_design_of(3), roles=True, text="optional")
    state = load_published_adapter(tmp_path / "a.bin", design)
    more = RelationAdapter(to_dict(design))
    more.load_state_dict(state, strict=True)
    assert more.projector.roles.abs().max() == more.null_text.abs().max() == 0


class Hostile:
    """A pickle that would make a folder when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def test_a_hostile_pickle_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    for number, save in enumerate([torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))]):
        path, trace = tmp_path / f"{number}.bin", tmp_path / "ran"
        save({"image_proj": {}, "ip_adapter": {"x": Hostile(trace)}}, path)
        with pytest.raises(WeightsError, match=r"wants to run \w+\.mkdir when it is opened") as caught:
            load_published_adapter(path, published_design_of(3))
        assert not trace.exists()
        text = str(caught.value)
        assert "do not open it" in text and "\n" not in text and "weights_only" not in text and len(text) < 400


def edited(change: Callable[[dict[str, dict[str, Any]]], Any]) -> Callable[[Path], Any]:
    def write(path: Path) -> None:
        groups = torch.load(path, weights_only=True)
        torch.save(change(groups) or groups, path)

    return write


def dropped(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "2.to_v_ip.weight"}


PUBLISHED_BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: path.unlink(), "no such file"),
    "cut short": (
        lambda path: path.write_bytes(path.read_bytes()[:-2000]),
        "not a file of plain weights, or cut short",
    ),
    "empty": (lambda path: path.write_bytes(b""), "not a file of plain weights, or cut short"),
    "a tensor": (lambda path: torch.save(torch.zeros(2), path), "not image_proj and ip_adapter"),
    "one group": (edited(lambda groups: {"ip_adapter": groups["ip_adapter"]}), "not image_proj and ip_adapter"),
    "too few blocks": (edited(lambda groups: {**groups, "ip_adapter": dropped(groups["ip_adapter"])}), "lacks ip_ad"),
    "too many blocks": (
        edited(lambda groups: groups["ip_adapter"].update({"3.to_k_ip.weight": torch.zeros(1)})),
        "has unknown ip_adapter.3.to_k_ip.weight",
    ),
    "another width": (
        edited(lambda groups: groups["image_proj"].update({"proj.0.weight": torch.zeros(2, 2)})),
        r"proj.0.weight is \(2, 2\), not",
    ),
    "a number": (edited(lambda groups: groups["image_proj"].update({"norm.bias": 3})), "norm.bias is not one plain"),
    "a tensor without data": (
        edited(lambda groups: groups["image_proj"].update({"norm.bias": torch.zeros(24, device="meta")})),
        "norm.bias is not one plain",
    ),
    "whole numbers": (
        edited(lambda groups: groups["image_proj"].update({"norm.bias": torch.zeros(24, dtype=torch.int8)})),
        "norm.bias is not one plain",
    ),
    "a name twice": (
        edited(lambda groups: groups["image_proj"].update({"module.norm.bias": torch.zeros(24)})),
        "is not one plain tensor",
    ),
}


@pytest.mark.parametrize("kind", PUBLISHED_BAD)
def test_a_bad_published_file_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    spoil, message = PUBLISHED_BAD[kind]
    path = tmp_path / "ip_adapter.bin"
    published_file(path, 3)
    spoil(path)
    with pytest.raises(WeightsError, match=message) as caught:
        load_published_adapter(path, published_design_of(3))
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_the_published_file_is_not_for_another_projector(tmp_path: Path) -> None:
    published_file(tmp_path / "a.bin", 3)
    with pytest.raises(UsageError, match="projector=pooled_mlp"):
        load_published_adapter(tmp_path / "a.bin", tiny_design("directed"))


# A file of ours


def test_a_converted_file_is_the_same_adapter_and_knows_its_design(tmp_path: Path) -> None:
    adapter, out = published_file(tmp_path / "a.bin", 13), tmp_path / "new" / "a.safetensors"
    convert_adapter(tmp_path / "a.bin", out, published_design_of(13), provenance={"licence": "X"})
    again = load_adapter(out)
    assert again.design == published_design_of(13)
    assert read_info(out) == (again.design, {"converted_from": "a.bin", "licence": "X"})
    for key, value in adapter.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    assert load_file(out).keys() == {f"adapter.{key}" for key in adapter.state_dict()}


def test_the_dtype_of_a_file_is_kept_or_chosen(tmp_path: Path) -> None:
    published_file(tmp_path / "a.bin", 3, dtype=torch.bfloat16)
    for dtype, expected in ((None, torch.bfloat16), (torch.float32, torch.float32)):
        convert_adapter(tmp_path / "a.bin", tmp_path / "a.safetensors", published_design_of(3), dtype)
        assert {value.dtype for value in load_file(tmp_path / "a.safetensors").values()} == {expected}
        assert load_adapter(tmp_path / "a.safetensors").dtype == expected
        assert load_adapter(tmp_path / "a.safetensors", dtype=torch.float16).dtype == torch.float16
    assert load_adapter(tmp_path / "a.bin", published_design_of(3)).dtype == torch.bfloat16


def test_a_file_of_another_design_is_not_converted(tmp_path: Path) -> None:
    published_file(tmp_path / "a.bin", 3)
    with pytest.raises(WeightsError, match=r"a\.bin: lacks ip_adapter.3.to_k_ip.weight"):
        convert_adapter(tmp_path / "a.bin", tmp_path / "a.safetensors", published_design_of(4))
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_published_file_needs_a_design_and_ours_brings_its_own(tmp_path: Path) -> None:
    published_file(tmp_path / "a.bin", 3)
    with pytest.raises(UsageError, match="says nothing of its design"):
        load_adapter(tmp_path / "a.bin")
    save_model(tmp_path / "whole.safetensors", tiny("directed"))
    adapter = load_adapter(tmp_path / "whole.safetensors", published_design_of(3))
    assert adapter.design == tiny_design("directed")


def test_an_adapter_alone_is_no_model(tmp_path: Path) -> None:
    published_file(tmp_path / "a.bin", 3)
    convert_adapter(tmp_path / "a.bin", tmp_path / "a.safetensors", published_design_of(3))
    with pytest.raises(WeightsError, match="holds an adapter alone; give it as adapter="):
        load_model(tmp_path / "a.safetensors")


@pytest.mark.parametrize("spoil", ["cut", "key", "shape"])
def test_a_damaged_file_of_ours_is_refused(spoil: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    published_file(tmp_path / "a.bin", 3)
    convert_adapter(tmp_path / "a.bin", path, published_design_of(3))
    if spoil == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        tensors = load_file(path)
        changed = {"key": {"adapter.odd": torch.zeros(1)}, "shape": {"adapter.to_k.0.weight": torch.zeros(2, 2)}}
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        save_file(tensors | changed[spoil], path, metadata)
    with pytest.raises(WeightsError, match=rf"^{path}: [^\n]+$"):
        load_adapter(path)


def test_the_sizes_of_the_published_method_are_read_from_the_file(tmp_path: Path) -> None:
    expected = published_design_of(5)
    published_file(tmp_path / "a.bin", 5)
    found = published_design(tmp_path / "a.bin", expected.transformer, expected.exemplar_size)
    names = ("num_tokens", "token_dim", "feature_dim", "transformer", "exemplar_size")
    assert {name: getattr(found, name) for name in names} == {name: getattr(expected, name) for name in names}
    assert load_adapter(tmp_path / "a.bin", found).design == found


def test_the_writer_of_twins_writes_what_is_read(tmp_path: Path) -> None:
    adapter = RelationAdapter(to_dict(published_design_of(13)))
    write_adapter(tmp_path / "a.bin", adapter)
    state = load_published_adapter(tmp_path / "a.bin", published_design_of(13))
    assert all(torch.equal(state[key], value) for key, value in adapter.state_dict().items())
    groups = torch.load(tmp_path / "a.bin", weights_only=True)
    assert {"0.to_k_ip.weight", "12.to_v_ip.weight"} < set(groups["ip_adapter"])
    assert "proj.2.weight" in groups["image_proj"]
