"""The published pipeline's numbers, reproduced from pictures to pictures in float32."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import goldens
import pytest
import torch
from goldens import FOLDER, arrays, assert_same, needs_goldens, tokens_of
from PIL import Image
from torch import Tensor

from relation_adapter import Relation, RelationPipeline
from relation_adapter.images import pad_to_ratio
from relation_adapter.model.lora import load_lora
from relation_adapter.pipeline.encoders import encode_texts

pytestmark = needs_goldens
RUNS = ("adapter", "adapter_scaled", "lora_adapter")


@dataclass
class Trace:
    """What the transformer was asked, and what it and the scheduler answered, step by step."""

    images: Any
    relation: Relation
    timesteps: list[Tensor] = field(default_factory=list)
    starts: list[Tensor] = field(default_factory=list)
    predictions: list[Tensor] = field(default_factory=list)
    latents: list[Tensor] = field(default_factory=list)
    sigmas: Tensor | None = None
    times: Tensor | None = None


def picture(name: str) -> Image.Image:
    return Image.fromarray(arrays("inputs_uint8")[name].numpy())


def pipeline(run: str) -> RelationPipeline:
    made = goldens.components()
    if run == "lora_adapter":
        load_lora(made.transformer, FOLDER / "pytorch_lora_weights.safetensors")
        made.transformer.fuse_lora()
        made.transformer.unload_lora()
    pipe = RelationPipeline.from_components(made)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def trace(run: str, output_type: str) -> Trace:
    """The official run again: same pictures, same seed, text as the set's own embeddings."""
    pipe, recorded = pipeline(run), arrays("pipeline")
    relation = pipe.encode_relation([(picture("exemplar_0"), picture("exemplar_1"))])
    found = Trace(images=None, relation=relation)

    def before_call(_: Any, args: Any, kwargs: dict[str, Any]) -> None:
        found.timesteps.append(kwargs["timestep"].clone())
        found.starts.append(kwargs["hidden_states"].clone())

    def after_call(_: Any, args: Any, output: tuple[Tensor]) -> None:
        found.predictions.append(output[0].clone())

    def on_step(_: Any, step: int, time: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        found.latents.append(tensors["latents"].clone())
        return tensors

    pipe.transformer.register_forward_pre_hook(before_call, with_kwargs=True)
    pipe.transformer.register_forward_hook(after_call)
    found.images = pipe(
        image=picture("source"),
        relation=relation,
        strength=goldens.config()["scales"][1] if run == "adapter_scaled" else 1.0,
        prompt_embeds=recorded["prompt_embeds"],
        pooled_prompt_embeds=recorded["pooled_prompt_embeds"],
        generator=torch.Generator().manual_seed(goldens.config()["gen_seed"]),
        # The published pipeline returns the picture at the size it worked at.
        size=tuple(recorded[f"{run}.image"].shape[2:0:-1]),
        output_type=output_type,
        callback_on_step_end=on_step,
    ).images
    found.sigmas, found.times = pipe.scheduler.sigmas, pipe.scheduler.timesteps
    return found


@pytest.mark.parametrize("run", RUNS)
def test_every_step_and_the_final_latents(run: str) -> None:
    recorded, found = arrays("pipeline"), trace(run, "latent")
    tokens = found.images.shape[1]
    assert len(found.latents) == goldens.config()["steps"]
    for key in (key for key in recorded if key.startswith(f"{run}.latents.step")):
        step = int(key.rpartition("step")[2])
        assert_same(key, found.latents[step], recorded[key][:, :tokens])
    for key in (key for key in recorded if key.startswith(f"{run}.model_output.step")):
        step = int(key.rpartition("step")[2])
        # The published pipeline predicts for the source's tokens too, and throws that half away.
        assert_same(key, found.predictions[step][:, :tokens], recorded[key][:, :tokens])
    # Official latents end with the source's tokens; ours are the noisy half.
    assert_same(f"{run}.latents_final", found.images, recorded[f"{run}.latents_final"][:, :tokens])


@pytest.mark.parametrize("run", RUNS)
def test_the_decoded_picture(run: str) -> None:
    recorded = arrays("pipeline")
    assert_same(f"{run}.image", torch.from_numpy(trace(run, "np").images), recorded[f"{run}.image"])


def test_what_the_first_step_starts_from() -> None:
    recorded, found = arrays("pipeline"), trace("adapter", "latent")
    assert_same("init.latents", found.starts[0], recorded["init.latents"])
    assert_same("sigmas", found.sigmas, recorded["sigmas"])
    assert_same("timesteps", found.times, recorded["timesteps"])
    passed = torch.stack(found.timesteps)
    assert_same("timesteps as passed", passed, recorded["adapter.timesteps_passed"].reshape(passed.shape))
    assert_same("relation tokens", found.relation.tokens, tokens_of(recorded["image_emb"]))


def test_exemplars_are_prepared_to_the_pixel() -> None:
    for number in (0, 1):
        ours = pad_to_ratio(picture(f"exemplar_{number}"), goldens.config()["exemplar_long_side"])
        assert ours.tobytes() == picture(f"exemplar_resized_{number}").tobytes()


def test_the_pictures_own_size_is_floored_as_published() -> None:
    recorded, pipe = arrays("pipeline"), pipeline("adapter")
    relation = Relation(tokens_of(recorded["image_emb"]))
    source = picture("source")
    embeds = {name: recorded[name] for name in ("prompt_embeds", "pooled_prompt_embeds")}
    options = {"generator": torch.Generator().manual_seed(goldens.config()["gen_seed"]), **embeds}
    latents = pipe(image=source, relation=relation, output_type="latent", **options).images
    assert_same("latents at own size", latents, recorded["adapter.latents_final"][:, : latents.shape[1]])
    image = pipe(image=source, relation=relation, seed=0, num_inference_steps=1, **embeds).images[0]
    assert image.size == source.size


def test_instructions_are_encoded_as_published() -> None:
    """With tokenizers that give the set's ids: the set has no vocabulary."""
    recorded, pipe = arrays("pipeline"), pipeline("adapter")
    ids = {"tokenizer": "clip_input_ids", "tokenizer_2": "t5_input_ids"}
    for name, key in ids.items():
        setattr(pipe, name, _Tokenizer(arrays("inputs_uint8")[key]))
    with torch.no_grad():
        text, pooled = encode_texts(pipe, ["anything"], torch.device("cpu"))
    assert_same("prompt_embeds", text, recorded["prompt_embeds"])
    assert_same("pooled_prompt_embeds", pooled, recorded["pooled_prompt_embeds"])


class _Tokenizer:
    def __init__(self, input_ids: Tensor) -> None:
        self.input_ids = input_ids

    def __call__(self, text: str, max_length: int = 0, **options: Any) -> _Tokenizer:
        assert max_length in (0, self.input_ids.shape[1])
        return self
