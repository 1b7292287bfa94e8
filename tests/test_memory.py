"""Placements: the same picture wherever the parts are, and never more on the device than the plan says.

The pretended GPU (benchmarks/pretend_gpu.py) is the meta device: real hooks move real modules, only the numbers are
missing.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from relation_adapter.errors import MissingExtraError, UsageError
from relation_adapter.model.components import tiny
from relation_adapter.model.lora import add_lora
from relation_adapter.pipeline import RelationPipeline, memory
from relation_adapter.pipeline.memory import PLANS, MemoryPlan, place, plan_for, plan_for_device, quantization_config

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PLACEMENTS = ("resident", "freed", "model", "group")
GPU = torch.device("meta")
GIB = 2**30

PAIR = tuple(Image.effect_noise((40, 32), sigma).convert("RGB") for sigma in (30, 90))
SOURCE = Image.effect_noise((64, 48), 60).convert("RGB")


def pipeline(lora: bool = False) -> RelationPipeline:
    components = tiny("published")
    if lora:
        for parameter in add_lora(components.transformer, 2, seed=0):
            parameter.data += 0.1
    pipe = RelationPipeline.from_components(components)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def edit(pipe: RelationPipeline, **options: Any) -> Any:
    return pipe(SOURCE, pairs=[PAIR], instruction="turn it blue", seed=3, output_type="np", **options).images


def plan(placement: Any, gib: int = 24) -> MemoryPlan:
    return MemoryPlan(gib, placement, "none")


# Plans


def test_presets_say_what_they_do() -> None:
    assert {gib: (one.placement, one.quantization) for gib, one in PLANS.items()} == {
        80: ("resident", "none"),
        40: ("freed", "none"),
        24: ("group", "none"),
        16: ("model", "int8"),
        12: ("model", "nf4"),
    }
    assert all(plan_for(gib) == one for gib, one in PLANS.items())


@pytest.mark.parametrize(
    ("gib", "quantization", "placement"),
    [
        (16, "none", "group"),
        (12, "none", "group"),
        (12, "int8", "group"),
        (24, "int8", "freed"),
        (24, "nf4", "freed"),
        (40, "int8", "resident"),
        (80, "none", "resident"),
        (None, "int8", "resident"),
        (None, None, "resident"),
    ],
)
def test_a_base_quantised_otherwise_is_placed_by_what_then_fits(gib: Any, quantization: Any, placement: str) -> None:
    found = plan_for(gib, quantization)
    assert (found.placement, found.quantization) == (placement, quantization or "none")


def test_an_unknown_preset_or_quantisation_is_refused_with_the_choices() -> None:
    with pytest.raises(UsageError, match="memory 20 is no preset; give 80, 40, 24, 16, 12"):
        plan_for(20)
    with pytest.raises(UsageError, match="quantization 'int4' is unknown; give none, int8, nf4"):
        plan_for(16, "int4")
    with pytest.raises(UsageError, match="give none, int8, nf4"):
        quantization_config("fp8")


@pytest.mark.parametrize(
    ("card", "preset"),
    # GiB that the cards report: H200, A100, L40S, A100-40, 5090, 4090, A10G, 4080, T4, 3060, 2080.
    [
        *((139.8, 80), (79.2, 80), (44.4, 80), (39.4, 40), (31.4, 24), (23.6, 24), (22.0, 24)),
        *((15.6, 16), (14.6, 16), (11.6, 12), (7.6, 12)),
    ],
)
def test_a_card_gets_the_fastest_plan_that_fits(card: float, preset: int) -> None:
    assert plan_for_device(int(card * GIB)) == PLANS[preset]


def test_no_quantisation_is_no_config() -> None:
    assert quantization_config(None) is None
    assert quantization_config("none") is None


@pytest.mark.parametrize(("name", "package"), [("int8", "torchao"), ("nf4", "bitsandbytes")])
def test_a_missing_package_is_told_with_the_line_that_installs_it(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None)
    with pytest.raises(
        MissingExtraError, match=rf"{package} is not installed; pip install 'relation-adapter\[quant\]'"
    ):
        quantization_config(name)


# The same picture everywhere


def near(a: Any, b: Any) -> bool:
    """But for rounding: weights that come block by block modulate a step at a time, others all steps in one product."""
    return bool(np.abs(a - b).max() <= 1e-5)  # of 1; a grey level is 4e-3


@pytest.fixture(scope="module")
def expected() -> Any:
    return edit(pipeline(lora=True))


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_every_placement_makes_the_same_picture_again_and_again(placement: str, expected: Any) -> None:
    pipe = pipeline(lora=True)
    place(pipe, plan(placement), "cpu")
    first = edit(pipe)
    assert near(first, expected)
    assert np.array_equal(edit(pipe), first)


def test_a_pipeline_can_be_placed_anew(expected: Any) -> None:
    pipe = pipeline(lora=True)
    for placement in ("group", "freed", "group", "model", "resident"):
        place(pipe, plan(placement), "cpu")
        assert near(edit(pipe), expected), placement


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_lora_that_comes_after_the_placement_acts_and_leaves_it_in_force(placement: str, tmp_path: Path) -> None:
    donor = pipeline(lora=True)
    from peft import get_peft_model_state_dict

    state = {
        f"transformer.{key}": value
        for key, value in get_peft_model_state_dict(donor.transformer, adapter_name="editor").items()
    }
    pipe = pipeline()
    place(pipe, plan(placement), "cpu")
    without = edit(pipe)
    pipe.load_lora_weights(state, adapter_name="mine")
    assert near(edit(pipe), edit(donor))
    assert pipe._placed == (plan(placement), torch.device("cpu"))
    assert hasattr(pipe.text_encoder_2, "_hf_hook") == (placement != "resident")
    pipe.unload_lora_weights()
    assert np.array_equal(edit(pipe), without)


def test_large_pictures_are_decoded_in_tiles_up_to_40_gib() -> None:
    pipe = pipeline()
    place(pipe, PLANS[80], "cpu")
    assert not pipe.vae.use_tiling
    place(pipe, PLANS[40], "cpu")
    assert pipe.vae.use_tiling


def test_mini_has_nothing_to_free_and_takes_every_plan() -> None:
    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    before = edit(pipe, num_inference_steps=1)
    for gib in PLANS:
        place(pipe, plan_for(gib, "none"), "cpu")
        assert np.array_equal(edit(pipe, num_inference_steps=1), before)


# What is on the device, and when


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    with importlib.import_module("pretend_gpu").pretend_gpu() as meter, torch.no_grad():
        yield meter


def on_device(pipe: RelationPipeline) -> set[str]:
    """Parts of which any weight is on the GPU."""
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
    return {name for name, part in parts.items() if any(weight.device == GPU for weight in part.parameters())}


@contextmanager
def watched(pipe: RelationPipeline) -> Iterator[dict[str, set[str]]]:
    """For every part, all that was on the device with it while any layer of it ran."""
    seen: dict[str, set[str]] = {}
    names = {
        id(child): name
        for name, part in pipe.components.items()
        if isinstance(part, nn.Module)
        for child in part.modules()
        if not list(child.children())
    }

    def look(module: nn.Module, _: Any) -> None:
        if id(module) in names:
            seen.setdefault(names[id(module)], set()).update(on_device(pipe))

    with nn.modules.module.register_module_forward_pre_hook(look):
        yield seen


STAYING = {"resident": set(), "freed": {"transformer", "vae"}, "model": set(), "group": {"vae"}}
PARTS = {"transformer", "adapter", "vae", "text_encoder", "text_encoder_2", "image_encoder"}


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_part_shares_the_device_only_with_those_that_stay(placement: str, gpu: Any) -> None:
    pipe = pipeline(lora=True)
    place(pipe, plan(placement), GPU)
    everything = PARTS if placement == "resident" else STAYING[placement]
    assert on_device(pipe) == everything
    with watched(pipe) as seen:
        edit(pipe)
    assert seen == {part: everything | {part} for part in PARTS}
    assert on_device(pipe) == everything


def test_model_offload_by_diffusers_name_is_ours(gpu: Any) -> None:
    pipe = pipeline()
    pipe.enable_model_cpu_offload(device=GPU)
    with watched(pipe) as seen:
        edit(pipe)
    assert seen == {part: {part} for part in PARTS}


def test_a_streamed_transformer_has_two_blocks_at_once_on_the_device(gpu: Any) -> None:
    pipe = pipeline(lora=True)
    place(pipe, plan("group"), GPU)
    blocks = [*pipe.transformer.transformer_blocks, *pipe.transformer.single_transformer_blocks]
    most = 0

    def count(*_: Any) -> None:
        nonlocal most
        there = sum(all(weight.device == GPU for weight in block.parameters()) for block in blocks)
        most = max(most, there)

    for block in blocks:
        block.attn.register_forward_pre_hook(count)
    edit(pipe, num_inference_steps=3)
    assert most == 2


class StopError(Exception):
    pass


@pytest.mark.parametrize("placement", ["freed", "model", "group"])
def test_after_an_error_in_the_middle_of_a_block_the_device_is_freed_and_the_next_edit_works(
    placement: str, gpu: Any
) -> None:
    pipe = pipeline(lora=True)
    place(pipe, plan(placement), GPU)

    def fail(*_: Any) -> None:
        raise StopError

    for when in (1, 2):  # the first call traces the order of the blocks, later ones run ahead
        handle = pipe.transformer.single_transformer_blocks[0].attn.register_forward_pre_hook(fail)
        with pytest.raises(StopError):
            edit(pipe)
        handle.remove()
        assert on_device(pipe) == STAYING[placement], when
        with watched(pipe) as seen:
            edit(pipe)
        assert seen["transformer"] == STAYING[placement] | {"transformer"}


def test_an_interrupted_edit_frees_the_device_too(gpu: Any) -> None:
    pipe = pipeline()
    place(pipe, plan("model"), GPU)

    def stop(pipe: Any, *_: Any) -> dict[str, Any]:
        pipe._interrupt = True
        return {}

    edit(pipe, callback_on_step_end=stop)
    assert not on_device(pipe)


def test_encoding_a_relation_leaves_nothing_behind(gpu: Any) -> None:
    pipe = pipeline()
    place(pipe, plan("freed"), GPU)
    pipe.encode_relation([PAIR])
    assert on_device(pipe) == {"transformer", "vae"}


# At full size


@pytest.mark.parametrize(("gib", "most"), [(24, 9.7), (16, 13.0)])
def test_the_published_model_fits_its_preset(gib: int, most: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    row = importlib.import_module("memory").counted(PLANS[gib], 1024)
    assert row["peak"] < most
    assert row["after"] == row["between_edits"] < 0.2
    # The transformer runs without any encoder beside it; what it has beside its weights is its work.
    assert row["peaks"]["transformer"] < {24: 3.0, 16: 13.0}[gib]


def test_host_memory_decides_whether_weights_stay_page_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        available, total = 64 * GIB, 128 * GIB

    monkeypatch.setattr(memory.psutil, "virtual_memory", Memory)
    with torch.device("meta"):
        layer = nn.Linear(2**15, 3 * 2**13, bias=False, dtype=torch.bfloat16)  # 1.5 GiB, page-locked 2 GiB
    assert memory._can_pin(layer)
    Memory.available = int(2.1 * GIB)
    assert not memory._can_pin(layer)
    Memory.available, Memory.total = 64 * GIB, int(3.9 * GIB)
    assert not memory._can_pin(layer)


def test_tiles_that_a_plan_turned_on_go_off_with_it() -> None:
    pipe = pipeline()
    place(pipe, plan_for(24), "cpu")
    assert pipe.vae.use_tiling
    place(pipe, plan_for(80), "cpu")
    assert not pipe.vae.use_tiling
    pipe.enable_model_cpu_offload(device="cpu")
    assert not pipe.vae.use_tiling
    pipe.vae.enable_tiling()  # the caller's own choice stays
    place(pipe, plan_for(24), "cpu")
    place(pipe, plan_for(80), "cpu")
    assert pipe.vae.use_tiling
