"""Where local files are found, and whether they are whole: nothing is fetched, nothing loaded."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hub_samples import SHARDS, adapter_files, as_json, base_files, documented, pickled, siglip_files, tensors, write
from safetensors.numpy import save

from relation_adapter.errors import WeightsError
from relation_adapter.hub import FLUX_DEV, Places, check_file, check_folder, check_sums, find
from relation_adapter.hub.parts import OTHERS

FLAT = {
    "base": "FLUX.1-dev",
    "image_encoder": "siglip-so400m-patch14-384",
    "adapter": "ip_adapter-100000.bin",
    "lora": "pytorch_lora_weights.safetensors",
}
NESTED = {
    "base": "black-forest-labs/FLUX.1-dev",
    "image_encoder": "google/siglip-so400m-patch14-384",
    "adapter": "checkpoint-100000-ip-adapter/ip_adapter-100000.bin",
    "lora": "checkpoint-100000-lora/pytorch_lora_weights.safetensors",
}
CLONED = {
    **NESTED,
    "adapter": "handsomeWilliam/RelationAdapter/ip_adapter-100000.bin",
    "lora": "RelationAdapter/pytorch_lora_weights.safetensors",
}


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RELATION_ADAPTER_WEIGHTS", raising=False)
    monkeypatch.setattr("relation_adapter.hub.lookup._on_the_hub", lambda part, *_, **__: Path("hub") / part.repo)


def weights(folder: Path, layout: dict[str, str]) -> Path:
    write(folder / layout["base"], base_files())
    write(folder / layout["image_encoder"], siglip_files())
    files = adapter_files()
    return write(folder, {layout[name]: files[Path(layout[name]).name] for name in ("adapter", "lora")})


def refusal(name: str, places: Places, given: str | Path | None = None) -> str:
    with pytest.raises(WeightsError) as caught:
        find(FLUX_DEV[name], places, given if given is None else str(given))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Where


@pytest.mark.parametrize("layout", [FLAT, NESTED, CLONED], ids=["flat", "nested", "cloned"])
def test_every_layout_of_a_folder_of_weights(
    tmp_path: Path, layout: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = weights(tmp_path, layout)
    expected = {name: folder / place for name, place in layout.items()}
    assert {name: find(part, Places(folder)) for name, part in FLUX_DEV.items()} == expected
    monkeypatch.setenv("RELATION_ADAPTER_WEIGHTS", str(folder))
    assert {name: find(part, Places()) for name, part in FLUX_DEV.items()} == expected


def test_what_a_folder_of_weights_lacks_is_looked_for_on_the_hub(tmp_path: Path) -> None:
    write(tmp_path, adapter_files())
    assert find(FLUX_DEV["adapter"], Places(tmp_path)).parent == tmp_path
    assert find(FLUX_DEV["base"], Places(tmp_path)) == Path("hub/black-forest-labs/FLUX.1-dev")


def test_what_lies_there_but_is_not_whole_is_told_and_not_fetched(tmp_path: Path) -> None:
    folder = weights(tmp_path, FLAT)
    os.truncate(folder / FLAT["lora"], 1000)
    (folder / FLAT["base"] / "transformer" / SHARDS[1]).unlink()
    assert "cut short" in refusal("lora", Places(folder))
    assert documented(refusal("base", Places(folder)), (f"{folder}/", ""))


def test_a_folder_of_weights_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no such folder, given as the folder of weights" in refusal("lora", Places(tmp_path / "none"))
    monkeypatch.setenv("RELATION_ADAPTER_WEIGHTS", str(tmp_path / "none"))
    assert "named by RELATION_ADAPTER_WEIGHTS" in refusal("lora", Places())
    monkeypatch.chdir(tmp_path)
    assert documented(refusal("lora", Places(Path("none"))))
    monkeypatch.setenv("RELATION_ADAPTER_WEIGHTS", "none")
    assert documented(refusal("lora", Places()))


def test_a_given_path_goes_before_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = weights(tmp_path / "weights", FLAT)
    mine = write(tmp_path / "mine", {"hat.safetensors": tensors("hat"), "notes.txt": b"-"})
    places = Places(folder)
    assert find(FLUX_DEV["lora"], places, str(mine / "hat.safetensors")) == mine / "hat.safetensors"
    assert find(FLUX_DEV["lora"], places, str(mine)) == mine / "hat.safetensors"  # the only one in it
    assert find(FLUX_DEV["lora"], places, str(folder)) == folder / FLAT["lora"]  # by its usual name
    monkeypatch.chdir(tmp_path)
    assert find(FLUX_DEV["lora"], places, "mine/hat.safetensors").name == "hat.safetensors"  # not a hub id


def test_a_given_path_that_cannot_be_it(tmp_path: Path) -> None:
    folder = weights(tmp_path, FLAT)
    places = Places()
    assert "no such file or folder; check the path" in refusal("lora", places, tmp_path / "none.safetensors")
    assert "no such file or folder" in refusal("lora", places, "loras/hat.safetensors")
    assert documented(refusal("lora", places, "hat"))
    assert documented(refusal("base", places, folder / FLAT["lora"]), (f"{folder}/", ""))
    assert "base is a folder, not one file" in refusal("base", places, "me/flux:flux1-dev.safetensors")
    assert "no .safetensors or .bin file in it" in refusal("lora", places, folder / FLAT["base"] / "tokenizer")
    for name, given in (
        ("base", FLAT["image_encoder"]),
        ("base", f"{FLAT['base']}/vae"),
        ("image_encoder", FLAT["base"]),
    ):
        assert documented(refusal(name, places, folder / given), (f"{folder}/", ""), (f"{FLAT['base']}/", "")), name


# Whole


def broken_base(folder: Path, change: dict[str, bytes | None]) -> str:
    """What is said of a base whose files are changed, or left out where None."""
    files = {**base_files(), **change}
    write(folder, {name: data for name, data in files.items() if data is not None})
    with pytest.raises(WeightsError) as caught:
        check_folder(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(folder))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"model_index.json": None}, ": config.json is missing"),
        ({"model_index.json": b"{"}, "/model_index.json: not valid JSON"),
        ({"scheduler/scheduler_config.json": None}, "/scheduler: missing, though model_index.json names it"),
        ({"vae/config.json": None}, "/vae: config.json is missing"),
        ({"vae/diffusion_pytorch_model.safetensors": None}, "/vae: needs weights as .safetensors, none in it"),
        (
            {"text_encoder/model.safetensors": None, "text_encoder/pytorch_model.bin": b"x"},
            "/text_encoder: needs weights as .safetensors, only pytorch_model.bin in it",
        ),
        ({"tokenizer/merges.txt": None}, "/tokenizer: no vocabulary in it"),
        ({"tokenizer_2/spiece.model": None}, "/tokenizer_2: no vocabulary in it"),
        ({f"transformer/{SHARDS[0]}": None}, f"/transformer: 1 of 2 shards missing ({SHARDS[0]})"),
        ({"transformer/diffusion_pytorch_model.safetensors.index.json": None}, "/transformer: holds shards, but"),
        ({f"transformer/{SHARDS[0]}": tensors("c")}, f"/transformer/{SHARDS[0]}: does not hold a, though"),
        ({f"transformer/{SHARDS[0]}": tensors("a")[:-9]}, f"/transformer/{SHARDS[0]}: cut short, 9 of"),
        ({"vae/diffusion_pytorch_model.safetensors": b""}, "/vae/diffusion_pytorch_model.safetensors: is empty"),
        (
            {"vae/diffusion_pytorch_model.safetensors": b"version https://git-lfs.github.com/spec/v1\n"},
            "/vae/diffusion_pytorch_model.safetensors: not a safetensors file but a Git LFS pointer (run `git",
        ),
    ],
)
def test_a_folder_that_is_not_whole(tmp_path: Path, change: dict[str, bytes | None], text: str) -> None:
    assert broken_base(tmp_path, change).startswith(text)


def test_a_folder_of_any_saved_pipeline_is_whole(tmp_path: Path) -> None:
    """Parts that are left out, parts of other libraries, and numbers among the entries are no reason to refuse it."""
    index = {"_class_name": "X", "gone": [None, None], "own": ["pipeline", "Own"], "count": 3, "pair": [1, 2]}
    write(tmp_path, {"model_index.json": as_json(index), "own/own.json": b"{}"})
    check_folder(tmp_path)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "is empty"),
        (pickled()[:-100], "cut short"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer, not the weights"),
    ],
)
def test_a_pickle_that_is_not_whole(tmp_path: Path, data: bytes, text: str) -> None:
    file = tmp_path / "ip_adapter-100000.bin"
    file.write_bytes(data)
    with pytest.raises(WeightsError, match=text):
        check_file(file)


def test_checksums_are_of_the_files_as_published(tmp_path: Path) -> None:
    files = siglip_files()
    known = {name: sha256(data).hexdigest() for name, data in files.items()}
    part = replace(FLUX_DEV["image_encoder"], sha256=known)
    folder = write(tmp_path / "siglip", files)
    assert check_sums(folder, part) == 3
    (folder / "config.json").write_bytes(b"[]")
    with pytest.raises(WeightsError, match=r"config\.json: not the published file"):
        check_sums(folder, part)
    one = replace(FLUX_DEV["lora"], sha256={"pytorch_lora_weights.safetensors": known["model.safetensors"]})
    copy = write(tmp_path, {"renamed.safetensors": files["model.safetensors"]}) / "renamed.safetensors"
    assert check_sums(copy, one) == 1
    assert check_sums(copy, FLUX_DEV["lora"]) == 0  # none is known


def test_headers_at_full_size_are_read_without_the_data(tmp_path: Path) -> None:
    """A sparse file of 24 GB takes no room and no time."""
    end = 23_802_816_640
    header = json.dumps({"a": {"dtype": "BF16", "shape": [end // 2], "data_offsets": [0, end]}}).encode()
    write(tmp_path, {"config.json": b"{}", "model.safetensors": len(header).to_bytes(8, "little") + header})
    os.truncate(tmp_path / "model.safetensors", 8 + len(header) + end)
    check_folder(tmp_path)
    os.truncate(tmp_path / "model.safetensors", 8 + len(header) + end - 1)
    with pytest.raises(WeightsError, match="cut short, 1 of"):
        check_folder(tmp_path)


# The table


def test_the_table_of_parts_fits_together() -> None:
    for part in (*FLUX_DEV.values(), *OTHERS):
        assert part.revision == "main" or (len(part.revision) == 40 and int(part.revision, 16))
        assert all(len(checksum) == 64 and int(checksum, 16) for checksum in part.sha256.values())
        assert part.patterns == (part.file,) or part.file is None
        assert part.size > 0 and part.local
    total = sum(part.size for part in FLUX_DEV.values())
    assert 43.2e9 < total < 43.3e9


def test_an_empty_tensor_set_is_a_whole_file(tmp_path: Path) -> None:
    write(tmp_path, {"none.safetensors": save({})})
    check_file(tmp_path / "none.safetensors")
