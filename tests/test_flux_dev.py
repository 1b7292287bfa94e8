"""The published model from its files: twins on disk in the published layouts, through the way of the real ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pipelines import edit, largest, pair, source
from safetensors.torch import load_file, save_file

from relation_adapter import RelationPipeline
from relation_adapter.config import to_dict
from relation_adapter.errors import RelationAdapterError, UsageError, WeightsError
from relation_adapter.model.adapter import RelationAdapter
from relation_adapter.model.published import convert_adapter, published_design
from relation_adapter.model.twins import PLACES, twin, write_adapter, write_twins

PARTS = ("transformer", "adapter", "vae", "text_encoder", "text_encoder_2", "image_encoder")


@pytest.fixture(scope="module", params=["flat", "nested"])
def layout(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    write_twins(folder, request.param, dtype=torch.float32)
    return folder


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One flat layout in float32, for tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("twins")
    write_twins(folder, dtype=torch.float32)
    return folder


@pytest.fixture
def copied(twins: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(twins, tmp_path / "weights"))


def flux_dev(folder: Path, **options: Any) -> RelationPipeline:
    pipe = RelationPipeline.from_pretrained(
        "flux-dev", weights=folder, **{"torch_dtype": torch.float32, "offline": True} | options
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def base_weights(part: Any) -> dict[str, torch.Tensor]:
    """Weights by the names that they have without a LoRA."""
    state = part.state_dict()
    return {key.replace(".base_layer", ""): value for key, value in state.items() if ".lora_" not in key}


def test_every_weight_on_disk_is_the_weight_in_memory(layout: Path) -> None:
    pipe, written = flux_dev(layout), twin()
    assert pipe.adapter.design == written.design
    for name in PARTS:
        found, expected = base_weights(getattr(pipe, name)), getattr(written, name).state_dict()
        assert found.keys() == expected.keys(), name
        assert all(torch.equal(found[key], value) for key, value in expected.items()), name
        assert not getattr(pipe, name).training


def test_an_edit_with_an_instruction(layout: Path) -> None:
    pipe = flux_dev(layout)
    relation = pipe.encode_relation([pair()])
    told = [pipe(source(), relation, instruction=text, seed=0, num_inference_steps=2).images[0] for text in ("ad", "x")]
    assert told[0].size == source().size
    assert told[0].tobytes() != told[1].tobytes()


@torch.no_grad()
def test_prompts_go_through_the_folders_tokenizers(twins: Path) -> None:
    pipe = flux_dev(twins, lora=False)
    clip, t5 = pipe.tokenizer, pipe.tokenizer_2
    words = clip.convert_ids_to_tokens(clip("Raise the arms").input_ids)
    assert words[:7] == ["<|startoftext|>", "r", "a", "i", "s", "e</w>", "the</w>"] and words[-1] == "<|endoftext|>"
    assert t5.convert_ids_to_tokens(t5("raise the arms").input_ids)[-7:] == ["▁the", "▁", "a", "r", "m", "s", "</s>"]
    assert (clip.model_max_length, t5.model_max_length) == (77, 512)
    tokens, pooled = pipe.encode_prompt("raise the arms")
    assert tokens.shape == (1, 512, pipe.transformer.config.joint_attention_dim)
    ids = t5("raise the arms", padding="max_length", max_length=512, return_tensors="pt").input_ids
    assert largest(tokens, pipe.text_encoder_2(ids)[0]) < 1e-5
    # The published CLIP config names no real end: the pooled place is the largest id's, the end of the text.
    ids = clip("raise the arms", padding="max_length", max_length=77, return_tensors="pt").input_ids
    seen = pipe.text_encoder(ids)
    assert largest(pooled, seen.last_hidden_state[:, len(clip("raise the arms").input_ids) - 1]) < 1e-5


def test_the_scheduler_keeps_the_folders_settings(copied: Path) -> None:
    path = copied / "FLUX.1-dev/scheduler/scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_shift": 1.25}))
    found = flux_dev(copied, lora=False).scheduler.config
    assert (found.max_shift, found.base_shift, found.use_dynamic_shifting) == (1.25, 0.5, True)


def test_the_lora_is_an_adapter_called_editor_and_not_fused(twins: Path) -> None:
    pipe, bare = flux_dev(twins), flux_dev(twins, lora=False)
    relation = pipe.encode_relation([pair()])
    options = {"relation": relation, "instruction": "ad", "num_inference_steps": 1}
    plain = edit(bare, **options)
    assert list(pipe.transformer.peft_config) == ["editor"]
    assert largest(edit(pipe, **options), plain) > 1e-3
    pipe.set_adapters("editor", 0.0)
    assert largest(edit(pipe, **options), plain) < 1e-5
    pipe.unload_lora_weights()
    assert torch.equal(edit(pipe, **options), plain)
    assert not getattr(flux_dev(twins, lora="none").transformer, "peft_config", None)


def test_dtypes_for_all_parts_and_for_each(twins: Path) -> None:
    pipe = RelationPipeline.from_pretrained("flux-dev", weights=twins)
    assert {p.dtype for name in PARTS for p in getattr(pipe, name).parameters()} == {torch.bfloat16}
    assert pipe(source(), pairs=[pair()], instruction="ad", seed=0, num_inference_steps=1).images[0].size == (32, 32)
    mixed = flux_dev(twins, torch_dtype={"vae": torch.float32, "default": torch.float16}, lora=False)
    assert (mixed.vae.dtype, mixed.transformer.dtype, mixed.adapter.dtype) == (torch.float32,) + 2 * (torch.float16,)
    assert flux_dev(twins, torch_dtype=None, dtype=torch.float32, lora=False).transformer.dtype == torch.float32
    with pytest.raises(UsageError, match="torch_dtype='bf16' is no dtype"):
        flux_dev(twins, torch_dtype="bf16")


def test_a_converted_adapter_is_the_same_model(twins: Path, tmp_path: Path) -> None:
    pipe = flux_dev(twins)
    path, shape = twins / "ip_adapter-100000.bin", pipe.adapter.design.transformer
    convert_adapter(path, tmp_path / "a.safetensors", published_design(path, shape, 28))
    again = flux_dev(twins, adapter=str(tmp_path / "a.safetensors"))
    assert again.adapter.design == pipe.adapter.design
    options = {"pairs": [pair()], "instruction": "ad", "num_inference_steps": 1}
    assert torch.equal(edit(pipe, **options), edit(again, **options))


def test_a_saved_pipeline_is_the_same_without_its_sources(twins: Path, tmp_path: Path) -> None:
    pipe = flux_dev(twins, lora=False)
    pipe.save_pretrained(tmp_path / "saved")
    again = RelationPipeline.from_pretrained(tmp_path / "saved")
    again.set_progress_bar_config(disable=True)
    options = {"pairs": [pair()], "instruction": "raise the arms", "num_inference_steps": 1}
    assert largest(edit(pipe, **options), edit(again, **options)) < 1e-5


def test_a_base_that_the_diffusers_of_today_saved(twins: Path, tmp_path: Path) -> None:
    from diffusers import FluxPipeline

    pipe = flux_dev(twins, lora=False)
    names = ("scheduler", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    transformer = flux_dev(twins, lora=False).transformer
    pipe.adapter.detach(transformer)
    FluxPipeline(transformer=transformer, **{name: getattr(pipe, name) for name in names}).save_pretrained(tmp_path)
    again = flux_dev(twins, lora=False, base=str(tmp_path))
    options = {"pairs": [pair()], "instruction": "raise the arms", "num_inference_steps": 1}
    assert largest(edit(pipe, **options), edit(again, **options)) < 1e-5


def test_a_file_of_the_same_geometry_by_another_name(twins: Path, tmp_path: Path) -> None:
    """As InstantX's FLUX.1-dev IP-Adapter; trainers that wrap their modules add `module.` to the names."""
    groups = torch.load(twins / "ip_adapter-100000.bin", weights_only=True)
    wrapped = {name: {f"module.{key}": value for key, value in group.items()} for name, group in groups.items()}
    torch.save(wrapped, tmp_path / "ip-adapter.bin")
    found, expected = (flux_dev(twins, adapter=one, lora=False) for one in (str(tmp_path / "ip-adapter.bin"), None))
    assert all(
        torch.equal(a, b) for a, b in zip(found.adapter.parameters(), expected.adapter.parameters(), strict=True)
    )


def test_memory_decides_where_parts_are_and_in_how_many_bits(twins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"pairs": [pair()], "instruction": "ad", "num_inference_steps": 1}
    placed = flux_dev(twins, memory=40)
    assert placed.text_encoder_2._hf_hook is not None
    assert largest(edit(placed, **options), edit(flux_dev(twins), **options)) < 1e-5
    asked: list[Any] = []
    monkeypatch.setattr("relation_adapter.pipeline.memory.quantization_config", lambda *given: asked.append(given))
    for chosen in ({"memory": 16}, {"memory": 16, "quantization": "none"}, {"quantization": "nf4"}, {}):
        flux_dev(twins, lora=False, **chosen)
    assert asked == [(kind, torch.float32) for kind in ("int8", "none", "nf4", None)]


def test_a_base_in_8_bits_with_adapter_and_lora_as_they_are(twins: Path) -> None:
    pytest.importorskip("torchao")
    pipe, plain = (flux_dev(twins, quantization=kind, torch_dtype=torch.bfloat16) for kind in ("int8", None))
    assert "torchao" in type(pipe.transformer.transformer_blocks[0].attn.to_q).__module__
    assert {p.dtype for p in pipe.adapter.parameters()} == {torch.bfloat16}
    found, expected = (
        edit(one, pairs=[pair()], instruction="ad", num_inference_steps=1).float() for one in (pipe, plain)
    )
    assert 0 < (found - expected).norm() < 0.1 * expected.norm()


def test_parts_may_be_given_or_left_out(twins: Path) -> None:
    mine = twin(seed=5).vae
    pipe = flux_dev(twins, vae=mine, text_encoder_2=None, tokenizer_2=None, lora=False)
    assert pipe.vae is mine and pipe.text_encoder_2 is None and pipe.tokenizer_2 is None


def test_pairs_are_read_without_the_base(copied: Path) -> None:
    """Only the transformer's config is needed, to know which model the relation is for."""
    whole = flux_dev(copied).encode_relation([pair()])
    base = copied / "FLUX.1-dev"
    config = (base / "transformer/config.json").read_text()
    shutil.rmtree(base)
    (base / "transformer").mkdir(parents=True)
    (base / "transformer/config.json").write_text(config)
    (copied / "pytorch_lora_weights.safetensors").unlink()
    names = ("transformer", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
    read = flux_dev(copied, **dict.fromkeys(names)).encode_relation([pair()])
    assert torch.equal(read.tokens, whole.tokens)
    assert read.provenance["model"] == whole.provenance["model"]


def resaved(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        tensors = load_file(path)
        save_file(change(tensors) or tensors, path, {"format": "pt"})

    return spoil


def spoiled_config(**changes: Any) -> Callable[[Path], None]:
    return lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | changes)) and None


def dropped(tensors: dict[str, Any]) -> None:
    tensors.pop(sorted(tensors)[-1])


BASE = PLACES["flat"]["base"]
SEEING = PLACES["flat"]["image_encoder"]
DAMAGE: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "a weight of the VAE is missing": (f"{BASE}/vae/diffusion_pytorch_model.safetensors", resaved(dropped), "vae: "),
    "a weight of CLIP is missing": (f"{BASE}/text_encoder/model.safetensors", resaved(dropped), "text_encoder: lacks "),
    "a weight of T5 is unknown": (
        f"{BASE}/text_encoder_2/model-00001-of-00002.safetensors",
        resaved(lambda tensors: tensors.update(odd=torch.zeros(1))),
        "text_encoder_2: has unknown odd",
    ),
    "a weight of the transformer is missing": (
        f"{BASE}/transformer/diffusion_pytorch_model-00002-of-00003.safetensors",
        resaved(dropped),
        "does not hold ",
    ),
    "a weight of the transformer is unknown": (
        f"{BASE}/transformer/diffusion_pytorch_model-00002-of-00003.safetensors",
        resaved(lambda tensors: tensors.update(odd=torch.zeros(1))),
        "transformer: has unknown odd",
    ),
    "a weight of SigLIP is missing": (
        f"{SEEING}/model.safetensors",
        resaved(lambda tensors: {key: value for key, value in tensors.items() if not key.endswith("probe")}),
        "siglip-so400m-patch14-384: lacks ",
    ),
    "SigLIP is another": (f"{SEEING}/model.safetensors", resaved(lambda _: {"odd": torch.zeros(1)}), "384: lacks "),
    "a config of another size": (f"{BASE}/text_encoder/config.json", spoiled_config(hidden_size=40), "text_encoder: "),
    "a config that is no JSON": (f"{BASE}/vae/config.json", lambda path: path.write_text("{"), "vae: cannot be loaded"),
    "another base": (f"{BASE}/transformer/config.json", spoiled_config(num_single_layers=3), "transformer: "),
    "no words": (f"{BASE}/tokenizer/vocab.json", lambda path: path.write_text("{"), "tokenizer: cannot be loaded"),
    "another adapter": (
        "ip_adapter-100000.bin",
        lambda path: torch.save({"image_proj": {}, "ip_adapter": {}}, path),
        "has no image projector",
    ),
    "another LoRA": (
        "pytorch_lora_weights.safetensors",
        resaved(lambda tensors: {key.replace("blocks.0", "blocks.9"): value for key, value in tensors.items()}),
        "does not have; give a LoRA for this model",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_part_is_refused_in_one_line(kind: str, copied: Path) -> None:
    name, spoil, message = DAMAGE[kind]
    spoil(copied / name)
    with pytest.raises(RelationAdapterError) as caught:
        flux_dev(copied)
    text = str(caught.value)
    assert message in text and "\n" not in text and text.startswith(str(copied)), text


def test_an_image_encoder_of_another_width_is_refused(twins: Path, tmp_path: Path) -> None:
    design = replace(twin().design, feature_dim=48)
    write_adapter(tmp_path / "wide.bin", RelationAdapter(to_dict(design)))
    with pytest.raises(
        WeightsError, match=r"wide\.bin: reads features of width 48, the image encoder \S+ has 24; give"
    ):
        flux_dev(twins, adapter=str(tmp_path / "wide.bin"))


def test_what_is_missing_is_told_before_anything_is_loaded(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copied / "pytorch_lora_weights.safetensors").unlink()
    monkeypatch.setattr("relation_adapter.pipeline.flux_dev._base", lambda *_: pytest.fail("loaded"))
    with pytest.raises(WeightsError):
        flux_dev(copied)


@pytest.mark.parametrize("option", ["adaptor", "whatever", "revision"])
def test_an_option_that_there_is_not(option: str, twins: Path) -> None:
    with pytest.raises(
        UsageError, match=rf"{option} is no option of flux-dev; (did you mean adapter\?|there are: base)"
    ):
        flux_dev(twins, **{option: 1})


def test_a_saved_pipeline_comes_back_in_the_dtypes_it_was_saved_in(twins: Path, tmp_path: Path) -> None:
    pipe = RelationPipeline.from_pretrained("flux-dev", weights=twins, lora=False, offline=True)
    pipe.save_pretrained(tmp_path / "saved")
    again = RelationPipeline.from_pretrained(tmp_path / "saved")
    parts = {name: part.dtype for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    assert {name: getattr(again, name).dtype for name in parts} == parts
    assert torch.bfloat16 in parts.values()


def test_the_folder_of_a_base_is_no_model(twins: Path) -> None:
    with pytest.raises(WeightsError, match=r"is a base without an adapter .*; give flux-dev as the model"):
        RelationPipeline.from_pretrained(twins / "FLUX.1-dev")


@pytest.mark.parametrize("gib", [80, 40, 24, 16])
def test_what_only_reads_pairs_takes_every_memory(twins: Path, gib: int) -> None:
    base = dict.fromkeys(("transformer", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    reader = flux_dev(twins, memory=gib, quantization="none", **base)
    assert torch.equal(reader.encode_relation([pair()]).tokens, flux_dev(twins).encode_relation([pair()]).tokens)
