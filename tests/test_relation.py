"""Relations as files: whole or not at all, with their origin inside, refused in a line where they cannot be used."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pipelines import pair, pipeline, relation, shared
from safetensors.torch import save_file

from relation_adapter import Relation
from relation_adapter.errors import WeightsError
from relation_adapter.model.components import tiny, tiny_design
from relation_adapter.model.weights import save_model
from relation_adapter.relation import fingerprint

METADATA = {"format": "relation-adapter-relation", "version": "1", "design": "0", "provenance": "{}"}
TOKENS = {"tokens": torch.ones(1, 4, 16)}


def test_a_file_holds_the_relation_and_where_it_comes_from(tmp_path: Path) -> None:
    made = shared("mini").encode_relation([pair(1), pair(2)], name="warm evening")
    made.save(tmp_path / "new" / "look.safetensors")
    loaded = Relation.load(str(tmp_path / "new" / "look.safetensors"))
    assert torch.equal(loaded.tokens, made.tokens)
    assert loaded.vector is not None and made.vector is not None and torch.equal(loaded.vector, made.vector)
    assert loaded.change is not None and made.change is not None and torch.equal(loaded.change, made.change)
    assert loaded.name == "warm evening"
    assert loaded.provenance == made.provenance
    assert loaded.provenance["model"] == "tiny-mini" and len(loaded.provenance["pairs"]) == 2
    assert {"created", "package", "design"} <= loaded.provenance.keys()


def test_a_relation_without_a_vector_and_in_half_precision(tmp_path: Path) -> None:
    made = Relation(torch.randn(1, 3, 8).bfloat16())
    made.save(tmp_path / "a.safetensors")
    loaded = Relation.load(tmp_path / "a.safetensors")
    assert loaded.vector is None and loaded.change is None and torch.equal(loaded.tokens, made.tokens)


def test_the_hashes_name_the_pictures_not_their_order_in_a_list() -> None:
    (straight,), (swapped,) = (
        shared("mini").encode_relation([shown]).provenance["pairs"] for shown in (pair(1), pair(1)[::-1])
    )
    assert straight["before"] == swapped["after"] != straight["after"]


def write(path: Path, tensors: dict[str, torch.Tensor], **changes: str | None) -> None:
    metadata = {key: value for key, value in (METADATA | changes).items() if value is not None}
    save_file(tensors, path, metadata)


def cut(path: Path) -> None:
    relation("mini").save(path)
    path.write_bytes(path.read_bytes()[:-8])


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no such file"),
    "a folder": (lambda path: path.mkdir(), "not a relation"),
    "empty": (lambda path: path.write_bytes(b""), "not a relation, or cut short"),
    "text": (lambda path: path.write_text("a relation, honestly\n" * 9), "not a relation, or cut short"),
    "cut short": (cut, "not a relation, or cut short"),
    "a header of 2^60 bytes": (lambda path: path.write_bytes(b"\0\0\0\0\0\0\0\x10{}"), "not a relation, or cut short"),
    "a model": (lambda path: save_model(path, tiny("mini")), "is a model, not a relation"),
    "no metadata": (lambda path: save_file(TOKENS, path), "not a relation"),
    "another format": (lambda path: write(path, TOKENS, format="pt"), "not a relation"),
    "another version": (lambda path: write(path, TOKENS, version="2"), "format version 2, this program reads 1"),
    "no version": (lambda path: write(path, TOKENS, version=None), "format version None"),
    "no provenance": (lambda path: write(path, TOKENS, provenance=None), "provenance is damaged"),
    "provenance cut": (lambda path: write(path, TOKENS, provenance='{"a": '), "provenance is damaged"),
    "provenance a list": (lambda path: write(path, TOKENS, provenance="[]"), "provenance is damaged"),
    "provenance deep": (lambda path: write(path, TOKENS, provenance="[" * 99999), "provenance is damaged"),
    "detail a word": (lambda path: write(path, TOKENS, provenance='{"detail": ["all"]}'), "provenance is damaged"),
    "turn a list": (lambda path: write(path, TOKENS, provenance='{"turn": ["left"]}'), "provenance is damaged"),
    "detail nan": (lambda path: write(path, TOKENS, provenance='{"detail": [NaN]}'), "provenance is damaged"),
    "no tokens": (lambda path: write(path, {"vector": torch.ones(1, 4)}), "holds ['vector']"),
    "more than a relation": (lambda path: write(path, TOKENS | {"to_k": torch.ones(1)}), "holds ['to_k', 'tokens']"),
    "a batch": (lambda path: write(path, {"tokens": torch.ones(2, 4, 16)}), "tokens is (2, 4, 16)"),
    "no length": (lambda path: write(path, {"tokens": torch.ones(1, 0, 16)}), "tokens is (1, 0, 16)"),
    "flat": (lambda path: write(path, {"tokens": torch.ones(64)}), "tokens is (64,)"),
    "integers": (lambda path: write(path, {"tokens": torch.ones(1, 4, 16).long()}), "torch.int64"),
    "nan": (lambda path: write(path, {"tokens": torch.full((1, 4, 16), torch.nan)}), "not finite"),
    "a change of a batch": (lambda path: write(path, TOKENS | {"change": torch.ones(2, 4)}), "change is (2, 4)"),
    "a vector of nan": (lambda path: write(path, TOKENS | {"vector": torch.full((1, 4), torch.inf)}), "vector is"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_in_a_line(case: str, tmp_path: Path) -> None:
    make, words = BAD[case]
    path = tmp_path / "look.safetensors"
    make(path)
    with pytest.raises(WeightsError) as caught:
        Relation.load(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and words in message and "\n" not in message


def test_a_refused_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "look.safetensors"
    relation("mini").save(path)
    old = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WeightsError, match="No space left"):
        relation("mini", 2).save(path)
    assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]


def test_the_fingerprint_is_of_what_a_relation_depends_on() -> None:
    design, projector = tiny_design("mini"), tiny("mini").adapter.projector
    mark = fingerprint(design, projector)
    assert fingerprint(replace(design, steps=9, guidance=2.0, name="other", keep_size=True), projector) == mark
    assert fingerprint(design, tiny("mini").adapter.bfloat16().projector) == mark
    assert fingerprint(design, tiny("mini").adapter.bfloat16().float().projector) == mark
    assert fingerprint(replace(design, exemplar_size=32), projector) != mark
    assert fingerprint(design, tiny("mini", seed=1).adapter.projector) != mark


def test_a_relation_survives_a_model_in_half_precision() -> None:
    pipe = pipeline("mini").to(torch.bfloat16)
    pipe.check_relation(relation("mini"))


def test_the_module_loads_no_torch() -> None:
    code = "import sys, relation_adapter.relation as r; "
    code += "assert 'torch' not in sys.modules and 'safetensors' not in sys.modules; r.Relation"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_metadata_can_be_read_without_this_program(tmp_path: Path) -> None:
    made = relation("mini")
    made.save(tmp_path / "a.safetensors")
    data = (tmp_path / "a.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert header["__metadata__"]["format"] == METADATA["format"] and header["__metadata__"]["version"] == "1"
    assert json.loads(header["__metadata__"]["provenance"]) == made.provenance
