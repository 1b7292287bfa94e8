"""The published model at its real size: names, shapes and counts, without the memory for its weights."""

from __future__ import annotations

import os
from pathlib import Path

import full_size_files as full_size
import pytest
import torch

from relation_adapter.config import MODELS
from relation_adapter.errors import WeightsError
from relation_adapter.header import read_header
from relation_adapter.hub import Places, check_folder
from relation_adapter.model.lora import TRANSFORMER, check_lora
from relation_adapter.model.published import load_adapter, published_design
from relation_adapter.model.twins import lora_shapes
from relation_adapter.pipeline.flux_dev import _check_shards, load_flux_dev

BASE, ADAPTER, LORA = 11_901_408_320, 2_645_600_512, 358_612_992


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    with pytest.MonkeyPatch.context() as patch:
        return full_size.write_all(tmp_path_factory.mktemp("full"), patch)


def test_the_counts_of_the_paper() -> None:
    model = full_size.model()
    assert full_size.count(model.transformer) == BASE
    assert full_size.count(model.adapter) == ADAPTER
    assert full_size.count(model.adapter.projector) == 1_211_148_544
    shapes = lora_shapes(model.transformer, rank=128)
    assert sum(first * second for first, second in shapes.values()) == LORA
    # Beside them, from the published configs: VAE, CLIP, T5's encoder, SigLIP's vision half.
    others = (model.vae, model.text_encoder, model.text_encoder_2, model.image_encoder)
    assert [full_size.count(part) for part in others] == [83_819_683, 123_060_480, 4_762_310_656, 428_225_600]


def test_the_adapter_file_fills_every_parameter_and_no_key_is_left(files: dict[str, Path]) -> None:
    path, shape = files["adapter"], MODELS["published"].transformer
    assert path.stat().st_size > 2 * ADAPTER
    design = published_design(path, shape, exemplar_size=384)
    assert design == MODELS["published"]
    adapter = load_adapter(path, design)
    assert full_size.count(adapter) == ADAPTER
    assert {parameter.dtype for parameter in adapter.parameters()} == {torch.bfloat16}
    assert not any(parameter.is_meta for parameter in adapter.parameters())


def test_the_lora_file_names_every_layer_that_the_paper_counts(files: dict[str, Path]) -> None:
    tensors = read_header(files["lora"]).tensors
    transformer = full_size.model().transformer
    assert {key: shape for key, (_, shape) in tensors.items()} == lora_shapes(transformer, rank=128)
    assert read_header(files["lora"]).parameters() == {"transformer": LORA}
    assert 2 * LORA < files["lora"].stat().st_size < 2 * LORA + 200_000
    rank_1 = {key: torch.zeros(shape) for key, shape in lora_shapes(transformer, rank=1).items()}
    check_lora("the published names", rank_1, {TRANSFORMER: transformer})


def test_the_folder_of_the_base_is_whole_and_of_the_real_size(files: dict[str, Path]) -> None:
    check_folder(files["base"])
    _check_shards(files["base"] / "transformer")
    shards = sorted((files["base"] / "transformer").glob("*.safetensors"))
    assert sum(read_header(shard).parameters().total() for shard in shards) == BASE
    assert 2 * BASE < sum(shard.stat().st_size for shard in shards) < 2 * BASE + 1_000_000
    assert sum(path.stat().st_blocks * 512 for path in files["base"].rglob("*")) < 5_000_000


def test_a_shard_cut_short_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        base = full_size.write_all(tmp_path, patch)["base"]
    shard = base / "transformer/diffusion_pytorch_model-00003-of-00003.safetensors"
    os.truncate(shard, shard.stat().st_size - 1_000_000)
    with pytest.raises(WeightsError, match=r"00003-of-00003\.safetensors: cut short, 1,000,000 of [\d,]+ bytes"):
        load_flux_dev(Places(folder=tmp_path, offline=True))


@pytest.mark.skipif(
    "RELATION_ADAPTER_FULL_SIZE" not in os.environ, reason="half a minute; RELATION_ADAPTER_FULL_SIZE=1"
)
def test_everything_loads_by_the_way_of_the_real_files(files: dict[str, Path]) -> None:
    model = load_flux_dev(Places(folder=files["base"].parent, offline=True))
    assert model.design == MODELS["published"]
    names = dict(model.transformer.named_parameters())
    assert sum(one.numel() for name, one in names.items() if ".lora_" in name) == LORA
    assert sum(one.numel() for name, one in names.items() if ".lora_" not in name) == BASE
    parts = (model.transformer, model.adapter, model.vae, model.text_encoder, model.text_encoder_2, model.image_encoder)
    assert {one.dtype for part in parts for one in part.parameters()} == {torch.bfloat16}
    assert not any(one.is_meta for part in parts for one in part.parameters())
