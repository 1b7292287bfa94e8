"""What users of diffusers' pipelines rely on: saving, types, offloading, callbacks, caches, the card."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline
from diffusers.callbacks import PipelineCallback
from huggingface_hub import ModelCard
from pipelines import DESIGNS, edit, largest, pair, pipeline, relation, shared, source
from torch import nn

from relation_adapter import RelationPipeline
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.model.components import tiny

# Saving and loading


def loaded(folder: Path, **options: Any) -> RelationPipeline:
    pipe = RelationPipeline.from_pretrained(folder, **options)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("options", [{}, {"safe_serialization": False}, {"max_shard_size": "20KB", "variant": "fp16"}])
@pytest.mark.parametrize("name", DESIGNS)
def test_every_form_of_saving_loads_the_same(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    shared(name).save_pretrained(tmp_path, **options)
    if "max_shard_size" in options:
        assert list(tmp_path.glob("transformer/*.fp16-0000*"))
    variant = {"variant": options["variant"]} if "variant" in options else {}
    given = {"pairs": [pair()]}
    assert (edit(loaded(tmp_path, **variant), **given) == edit(shared(name), **given)).all()


def test_a_variant_that_is_not_there_is_told(tmp_path: Path) -> None:
    shared("mini").save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="`variant=fp16`") as caught:
        RelationPipeline.from_pretrained(tmp_path, variant="fp16")
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", DESIGNS)
def test_without_its_optional_parts_it_saves_loads_and_edits(name: str, tmp_path: Path) -> None:
    pipe, made = pipeline(name), relation(name)
    embeds = dict(zip(("prompt_embeds", "pooled_prompt_embeds"), pipe.encode_prompt("make it red"), strict=True))
    wanted = edit(pipe, instruction="make it red", relation=made)
    for part in pipe._optional_components:
        setattr(pipe, part, None)
    pipe.save_pretrained(tmp_path)
    again = loaded(tmp_path)
    assert all(getattr(again, part) is None for part in pipe._optional_components)
    assert (edit(again, relation=made, **embeds) == wanted).all()


@pytest.mark.parametrize("key", ["transformer", "vae", "adapter"])
def test_every_part_can_have_a_type_of_its_own(key: str, tmp_path: Path) -> None:
    shared("published").save_pretrained(tmp_path)
    types = {key: torch.bfloat16, "default": torch.float16}
    pipe = loaded(tmp_path, torch_dtype=types)
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
    assert {name: part.dtype for name, part in parts.items()} == {
        name: types.get(name, torch.float16) for name in parts
    }
    assert edit(pipe, pairs=[pair()], instruction="red").isfinite().all()


def test_a_file_can_have_a_type_for_every_part() -> None:
    pipe = RelationPipeline.from_pretrained("mini", torch_dtype={"transformer": torch.bfloat16})
    assert (pipe.transformer.dtype, pipe.adapter.dtype) == (torch.bfloat16, torch.float32)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", DESIGNS)
def test_half_precision_edits_without_a_warning(
    name: str, dtype: torch.dtype, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On a CPU too, of which diffusers says that it cannot."""
    for library in ("diffusers", "transformers"):
        monitored = logging.getLogger(library)
        monitored.addHandler(caplog.handler)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe = pipeline(name).to(dtype).to("cpu")
        pipe.save_pretrained(tmp_path)
        tokens = edit(loaded(tmp_path, torch_dtype=dtype), pairs=[pair()], instruction="make it red, and rather long")
    for library in ("diffusers", "transformers"):
        logging.getLogger(library).removeHandler(caplog.handler)
    assert tokens.dtype == dtype and tokens.isfinite().all()
    assert not [
        one.message for one in caplog.records if one.levelno >= logging.WARNING and "instruction" not in one.message
    ]


def test_a_lora_on_the_side_is_not_saved_by_halves(tmp_path: Path) -> None:
    from peft import LoraConfig

    pipe = pipeline("published")
    pipe.transformer.add_adapter(LoraConfig(r=2, target_modules=["to_q"]), adapter_name="look")
    with pytest.raises(UsageError, match=r"LoRA look is attached.*fuse_lora") as caught:
        pipe.save_pretrained(tmp_path / "model")
    assert "\n" not in str(caught.value) and not (tmp_path / "model").exists()


def test_the_card_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared("published").save_pretrained(tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    data = card.data.to_dict()
    assert data["library_name"] == "diffusers" and data["pipeline_tag"] == "image-to-image"
    assert data["base_model"] == "black-forest-labs/FLUX.1-dev" and "relation-adapter" in data["tags"]
    assert "encode_relation" in card.text
    pushed: list[str] = []
    target = "diffusers.utils.hub_utils"
    monkeypatch.setattr(f"{target}.create_repo", lambda name, **_: type("Url", (), {"repo_id": name}))
    monkeypatch.setattr(f"{target}.ModelCard.load", lambda *_, **__: ModelCard("---\nlicense: mit\n---\n# Mine"))
    monkeypatch.setattr(f"{target}.upload_folder", lambda **given: pushed.append(read_card(given["folder_path"])))
    shared("mini").push_to_hub("somebody/look")
    assert "license: mit" in pushed[0] and "# Mine" in pushed[0] and "- relation-adapter" in pushed[0]


def read_card(folder: str) -> str:
    return (Path(folder) / "README.md").read_text()


def test_a_card_that_somebody_wrote_stays(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\ntags:\n- mine\n---\n# My look\n")
    shared("mini").save_pretrained(tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert (
        "# My look" in card.text and card.data.license == "mit" and card.data.tags[:2] == ["mine", "relation-adapter"]
    )


@pytest.mark.parametrize("name", DESIGNS)
def test_every_config_is_json(name: str) -> None:
    pipe = shared(name)
    parts = [pipe, pipe.transformer, pipe.adapter, pipe.vae, pipe.scheduler]
    assert all(isinstance(json.loads(part.to_json_string()), dict) for part in parts)


def test_a_flux_pipeline_becomes_one_of_ours_and_stays_what_it_was() -> None:
    parts = vars(tiny("published"))
    ours = {name: parts.pop(name) for name in ("adapter", "image_encoder", "image_processor")}
    flux = FluxPipeline(**parts)
    ours["adapter"].detach(flux.transformer)
    flux.set_progress_bar_config(disable=True)
    prompt = {"prompt": "red", "height": 32, "width": 32, "num_inference_steps": 1, "output_type": "latent"}
    before = flux(**prompt, generator=torch.manual_seed(0)).images
    pipe = RelationPipeline.from_pipe(flux, **ours)
    pipe.set_progress_bar_config(disable=True)
    assert (edit(pipe, pairs=[pair()]) == edit(shared("published"), pairs=[pair()])).all()
    assert (flux(**prompt, generator=torch.manual_seed(0)).images == before).all()
    assert FluxPipeline.from_pipe(pipe).vae is flux.vae


# Devices


OFFLOADS: dict[str, Callable[[RelationPipeline], None]] = {
    "model": lambda pipe: pipe.enable_model_cpu_offload(device="cpu"),
    "blocks": lambda pipe: pipe.enable_group_offload("cpu", "cpu", "block_level", 1),
    "leaves": lambda pipe: pipe.enable_group_offload("cpu", "cpu", "leaf_level"),
    "leaves but one": lambda pipe: pipe.enable_group_offload("cpu", offload_type="leaf_level", exclude_modules="vae"),
}


@pytest.mark.parametrize("how", OFFLOADS)
@pytest.mark.parametrize("name", DESIGNS)
def test_offloading_changes_nothing(name: str, how: str) -> None:
    pipe, given = pipeline(name), {"pairs": [pair()], "instruction": "red"}
    OFFLOADS[how](pipe)
    for _ in range(2):
        assert largest(edit(pipe, **given), edit(shared(name), **given)) <= 1e-5


@pytest.mark.parametrize("how", ["blocks", "leaves"])
def test_group_offloading_brings_in_all_that_the_adapter_reads(how: str) -> None:
    """Its parts are asked one by one, and only what hangs on a `forward` is ever brought in."""
    pipe = pipeline("directed")
    hooked = OFFLOADS[how]
    hooked(pipe)
    brought: set[int] = set()
    for module in (*pipe.adapter.modules(), *pipe.image_encoder.modules()):
        hook = getattr(module, "_diffusers_hook", None) and module._diffusers_hook.get_hook("group_offloading")
        if hook:
            hook.group.onload_ = note(brought, hook.group)
    pipe(image=source(), pairs=[pair()], num_inference_steps=1, output_type="latent")
    for part in (pipe.adapter.projector, pipe.adapter.to_k, pipe.adapter.to_v, pipe.image_encoder):
        assert {id(weight) for weight in part.parameters()} <= brought


def note(brought: set[int], group: Any) -> Callable[[], None]:
    onload, modules, weights = group.onload_, group.modules, group.parameters or []

    def bring() -> None:
        brought.update(id(weight) for module in modules for weight in module.parameters())
        brought.update(map(id, weights))
        onload()

    return bring


@pytest.mark.parametrize("name", DESIGNS)
def test_layerwise_casting_and_device_maps(name: str, tmp_path: Path) -> None:
    pipe = pipeline(name).to(torch.bfloat16)
    pipe.transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.bfloat16)
    assert edit(pipe, pairs=[pair()]).isfinite().all()
    shared(name).save_pretrained(tmp_path)
    mapped = loaded(tmp_path, device_map="cpu")
    assert (edit(mapped, pairs=[pair()]) == edit(shared(name), pairs=[pair()])).all()


@pytest.mark.parametrize("name", ["published", "mini"])
def test_slices_and_tiles_of_the_vae(name: str) -> None:
    pipe, given = pipeline(name), {"relation": relation(name), "size": (96, 80), "output_type": "pt"}
    plain = edit(pipe, **given)
    pipe.vae.enable_slicing()
    assert largest(edit(pipe, **given), plain) <= 1e-5
    pipe.vae.enable_tiling()
    assert edit(pipe, **given).shape == plain.shape
    pipe.vae.disable_slicing()
    pipe.vae.disable_tiling()
    assert (edit(pipe, **given) == plain).all()


def test_attention_slicing_is_said_not_to_be_there(caplog: pytest.LogCaptureFixture) -> None:
    pipe = pipeline("mini")
    pipe.enable_attention_slicing()
    assert "no attention slicing" in caplog.text
    assert (edit(pipe, relation=relation("mini")) == edit(shared("mini"), relation=relation("mini"))).all()


# Callbacks


@pytest.mark.parametrize("name", DESIGNS)
def test_a_callback_sees_what_it_asks_for_and_changes_it(name: str) -> None:
    """New text and guidance from the second step on are those of a run that had them all along."""
    pipe, given = shared(name), {"relation": relation(name), "num_inference_steps": 2}
    text, pooled = (0.5 * one.roll(1, dims=-1) for one in pipe.encode_prompt("red"))
    seen: list[dict[str, torch.Tensor]] = []

    def change(pipe: Any, step: int, time: torch.Tensor, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        assert pipe.current_timestep == time and pipe.num_timesteps == 2
        seen.append(tensors)
        pipe._guidance_scale = 9.0
        return {"prompt_embeds": text, "pooled_prompt_embeds": pooled, "latents": start}

    start = edit(pipe, num_inference_steps=1, relation=relation(name)).roll(1, dims=1)
    names = pipe._callback_tensor_inputs
    changed = edit(pipe, callback_on_step_end=change, callback_on_step_end_tensor_inputs=names, **given)
    assert [list(one) for one in seen] == [names, names]
    assert seen[1]["prompt_embeds"] is text and pipe.guidance_scale == 9.0 and pipe.current_timestep is None
    assert (changed == start).all()

    def last_step(**options: Any) -> torch.Tensor:
        steps: list[torch.Tensor] = []

        def force(_: Any, step: int, time: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            steps.append(tensors["latents"])
            return {"latents": start}

        edit(pipe, callback_on_step_end=force, **given, **options)
        return steps[-1]

    assert (seen[1]["latents"] == last_step(prompt_embeds=text, pooled_prompt_embeds=pooled, guidance_scale=9.0)).all()
    assert largest(seen[1]["latents"], last_step()) > 1e-4


def test_each_group_starts_with_the_callers_guidance() -> None:
    pipe, seen = shared("published"), []

    def more(pipe: Any, *_: Any) -> None:
        seen.append(pipe.guidance_scale)
        pipe._guidance_scale += 1

    images = [source(0), source(1, 48, 24)]
    edit(pipe, image=images, relation=relation("published"), guidance_scale=2, callback_on_step_end=more)
    assert seen == [2, 3, 2, 3]


class Halve(PipelineCallback):
    tensor_inputs = ["latents"]  # noqa: RUF012

    def callback_fn(self, pipe: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        return {"latents": tensors["latents"] / 2}


def test_diffusers_own_callback_classes() -> None:
    pipe, given = shared("mini"), {"relation": relation("mini"), "num_inference_steps": 1}
    made = edit(pipe, callback_on_step_end=Halve(cutoff_step_ratio=None, cutoff_step_index=0), **given)
    assert (made == edit(pipe, **given) / 2).all()


def test_the_scale_of_loras() -> None:
    from peft import LoraConfig

    pipe, given = pipeline("directed"), {"relation": relation("directed"), "instruction": "red"}
    base = edit(pipe, **given)
    for model, target in ((pipe.transformer, "to_q"), (pipe.text_encoder, "q_proj")):
        model.add_adapter(LoraConfig(r=2, target_modules=[target], init_lora_weights=False))
    full, half, none = (edit(pipe, joint_attention_kwargs={"scale": scale}, **given) for scale in (1, 0.5, 0))
    assert largest(full, edit(pipe, **given)) <= 1e-5 and largest(none, base) <= 1e-5
    assert largest(half, full) > 1e-4 and largest(half, none) > 1e-4
