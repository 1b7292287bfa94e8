"""LoRAs through the pipeline: beside the base, weighed, stacked, swapped, fused only on request, taken away whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pipelines import edit, largest, pipeline, relation
from safetensors.torch import load_file, save_file
from tiny_edits import lora_state
from torch import Tensor

from relation_adapter import RelationPipeline
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.model.lora import active_loras, lora_names

DESIGN = "directed"  # its attention has the source's own pass, where a LoRA must act too


def at_rank(state: dict[str, Tensor], rank: int) -> dict[str, Tensor]:
    """A LoRA of the same layers at another rank."""
    shapes = {key: (rank, v.shape[1]) if "lora_A" in key else (v.shape[0], rank) for key, v in state.items()}
    return {key: torch.ones(shape) for key, shape in shapes.items()}


@pytest.fixture
def pipe() -> RelationPipeline:
    return pipeline(DESIGN)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    plain = pipeline(DESIGN)
    for number in (0, 1):
        save_file(lora_state(plain, rank=2 + number, seed=number), tmp_path / f"{number}.safetensors")
    return tmp_path / "0.safetensors", tmp_path / "1.safetensors"


def result(pipe: RelationPipeline) -> Tensor:
    tokens: Tensor = edit(pipe, relation=relation(DESIGN), num_inference_steps=2)
    return tokens


def with_only(file: Path | dict[str, Tensor], weight: float = 1.0) -> Tensor:
    pipe = pipeline(DESIGN)
    pipe.load_lora_weights(file, adapter_name="only")
    pipe.set_adapters("only", weight)
    return result(pipe)


def test_unloading_gives_the_base_back_bit_for_bit(pipe: RelationPipeline, files: tuple[Path, Path]) -> None:
    before, base = result(pipe), {key: value.clone() for key, value in pipe.transformer.state_dict().items()}
    pipe.load_lora_weights(files[0], adapter_name="editor")
    pipe.load_lora_weights(str(files[1]))
    assert pipe.get_list_adapters() == {"transformer": ["editor", "lora_0"]}
    assert largest(result(pipe), before) > 0.01
    pipe.unload_lora_weights()
    after = pipe.transformer.state_dict()
    assert after.keys() == base.keys() and all(torch.equal(after[key], base[key]) for key in base)
    assert torch.equal(result(pipe), before) and pipe.get_list_adapters() == {}


def test_a_second_lora_joins_the_first(pipe: RelationPipeline, files: tuple[Path, Path]) -> None:
    pipe.load_lora_weights(files[0], adapter_name="editor")
    pipe.set_adapters("editor", 0.5)
    pipe.load_lora_weights(files[1], adapter_name="mine")
    assert pipe.get_active_adapters() == ["editor", "mine"]
    joined = result(pipe)
    pipe.set_adapters(["editor", "mine"], [0.5, 1.0])
    assert largest(result(pipe), joined) == 0
    pipe.set_adapters("mine")
    assert largest(result(pipe), with_only(files[1])) <= 1e-6
    pipe.delete_adapters("mine")
    pipe.set_adapters("editor", -1.0)
    assert largest(result(pipe), with_only(files[0], -1.0)) <= 1e-6


def test_deleting_one_wakes_no_other(pipe: RelationPipeline, files: tuple[Path, Path]) -> None:
    base = result(pipe)
    for name, file in zip(("editor", "mine"), files, strict=True):
        pipe.load_lora_weights(file, adapter_name=name)
    pipe.set_adapters("mine")
    pipe.delete_adapters("mine")
    assert torch.equal(result(pipe), base) and pipe.get_list_adapters() == {"transformer": ["editor"]}
    pipe.set_adapters("editor", 0.5)
    assert largest(result(pipe), with_only(files[0], 0.5)) <= 1e-6
    pipe.delete_adapters(["editor"])
    assert torch.equal(result(pipe), base)
    assert pipe.transformer.state_dict().keys() == pipeline(DESIGN).transformer.state_dict().keys()


def test_a_swapped_lora_is_the_new_one_at_the_old_ones_weight(pipe: RelationPipeline, files: tuple[Path, Path]) -> None:
    pipe.load_lora_weights(files[0], adapter_name="editor")
    pipe.load_lora_weights(files[0], adapter_name="mine")
    pipe.set_adapters(["editor", "mine"], [0.5, 0.0])
    pipe.load_lora_weights(files[1], adapter_name="editor", hotswap=True)  # of another rank
    assert largest(result(pipe), with_only(files[1], 0.5)) <= 1e-6
    pipe.set_adapters("editor", 0.25)
    assert largest(result(pipe), with_only(files[1], 0.25)) <= 1e-6
    fewer = {key: value for key, value in load_file(files[0]).items() if "single" in key}
    pipe.load_lora_weights(fewer, adapter_name="editor", hotswap=True)
    assert largest(result(pipe), with_only(fewer, 0.25)) <= 1e-6
    pipe.set_adapters("mine")
    assert largest(result(pipe), with_only(files[0])) <= 1e-6


def test_swapping_keeps_the_tensors_that_compiled_code_reads(pipe: RelationPipeline, files: tuple[Path, Path]) -> None:
    pipe.load_lora_weights(files[1], adapter_name="editor")
    pipe.enable_lora_hotswap(target_rank=4)
    pipe.load_lora_weights(files[1], adapter_name="mine")

    def places() -> list[Any]:
        layer = pipe.transformer.transformer_blocks[0].attn.to_q
        return [
            value.data_ptr()
            for name in ("editor", "mine")
            for value in (layer.lora_A[name].weight, layer.scaling[name])
        ]

    pipe.set_adapters(["editor", "mine"], [1.0, 0.0])
    before = places()
    pipe.load_lora_weights(files[0], adapter_name="editor", hotswap=True)
    pipe.set_adapters(["editor", "mine"], [0.5, 0.0])
    assert places() == before
    assert largest(result(pipe), with_only(files[0], 0.5)) <= 1e-6


def test_a_swap_that_cannot_be_is_refused_and_the_old_lora_stays(
    pipe: RelationPipeline, files: tuple[Path, Path]
) -> None:
    small = lora_state(pipe, targets=("attn.to_q",))
    pipe.load_lora_weights(small, adapter_name="editor")
    before = result(pipe)
    with pytest.raises(WeightsError, match="which 'editor' does not; load it under another name"):
        pipe.load_lora_weights(files[0], adapter_name="editor", hotswap=True)
    mixed = {key: value for key, value in at_rank(small, 5).items() if "single" in key}
    with pytest.raises(WeightsError, match="ranks differ"):
        pipe.load_lora_weights(small | mixed, adapter_name="editor", hotswap=True)
    with pytest.raises(UsageError, match="'mine' is not in the list of present adapters; there are: editor"):
        pipe.load_lora_weights(small, adapter_name="mine", hotswap=True)
    with pytest.raises(UsageError, match="needs adapter_name"):
        pipe.load_lora_weights(small, hotswap=True)
    pipe.enable_lora_hotswap(target_rank=4)
    with pytest.raises(WeightsError, match="has rank 5, there is room for 4"):
        pipe.load_lora_weights(at_rank(small, 5), "editor", True)
    with pytest.raises(UsageError, match="a LoRA of rank 4 is there"):
        pipe.enable_lora_hotswap(target_rank=2)
    assert largest(result(pipe), before) <= 1e-6
    pipe.load_lora_weights(small, adapter_name="editor_2")
    with pytest.raises(UsageError, match=r"'editor' is part of .*editor_2"):
        pipe.load_lora_weights(small, adapter_name="editor", hotswap=True)


def test_fused_only_on_request_and_taken_out_again(pipe: RelationPipeline, files: tuple[Path, Path]) -> None:
    base = result(pipe)
    pipe.load_lora_weights(files[0], adapter_name="editor")
    pipe.set_adapters("editor", 0.5)
    beside = result(pipe)
    pipe.fuse_lora()
    assert largest(result(pipe), beside) <= 1e-5
    for act in (
        lambda: pipe.load_lora_weights(files[1]),
        lambda: pipe.set_adapters("editor", 1.0),
        lambda: pipe.delete_adapters("editor"),
    ):
        with pytest.raises(UsageError, match=r"editor is fused into the weights; .* unfuse_lora first"):
            act()
    pipe.unfuse_lora()
    assert largest(result(pipe), beside) <= 1e-5
    pipe.fuse_lora()
    pipe.unload_lora_weights()  # now it is part of the model, and others can come
    pipe.load_lora_weights(files[1], adapter_name="mine")
    pipe.set_adapters("mine", 0.0)
    assert largest(result(pipe), beside) <= 1e-5
    assert largest(result(pipe), base) > 0.01


def test_what_has_no_sense_is_told(pipe: RelationPipeline, files: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match="no LoRA to fuse"):
        pipe.fuse_lora()
    pipe.load_lora_weights(files[0], adapter_name="editor")
    with pytest.raises(UsageError, match="called 'editor' already"):
        pipe.load_lora_weights(files[1], adapter_name="editor")
    with pytest.raises(UsageError, match="has a dot"):
        pipe.load_lora_weights(files[1], adapter_name="v1.5")
    with pytest.raises(UsageError, match="'hat' is not in the list of present adapters; there are: editor"):
        pipe.set_adapters(["editor", "hat"], [1.0, 0.5])
    with pytest.raises(UsageError, match="2 values for 1 LoRAs"):
        pipe.set_adapters("editor", [1.0, 0.5])
    with pytest.raises(UsageError, match="knows no weights_name; there are: cache_dir"):
        pipe.load_lora_weights(files[1], weights_name="a")
    pipe.transformer.is_quantized = True
    with pytest.raises(UsageError, match="The base is quantised"):
        pipe.fuse_lora()
    assert lora_names(pipe.transformer) == active_loras(pipe.transformer) == ["editor"]


def test_a_lora_of_clip_saved_by_this_version_of_its_library_comes_back(pipe: RelationPipeline, tmp_path: Path) -> None:
    """transformers dropped a part of CLIP's names that files of before have."""
    from peft import LoraConfig, get_peft_model_state_dict

    config = LoraConfig(r=2, lora_alpha=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    pipe.text_encoder.add_adapter(config)
    given = {"relation": relation(DESIGN), "instruction": "red"}
    wanted = edit(pipe, **given)
    layers = get_peft_model_state_dict(pipe.text_encoder)
    RelationPipeline.save_lora_weights(tmp_path, text_encoder_lora_layers=layers)
    pipe.unload_lora_weights()
    assert largest(edit(pipe, **given), wanted) > 1e-4
    pipe.load_lora_weights(tmp_path, low_cpu_mem_usage=True)
    assert largest(edit(pipe, **given), wanted) <= 1e-5


def test_no_name_is_no_choice() -> None:
    with pytest.raises(UsageError, match="disable_lora turns all of them off"):
        pipeline("published").set_adapters([])
