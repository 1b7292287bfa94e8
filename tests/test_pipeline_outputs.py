"""What comes out of the pipeline, and what can be hung on it on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FasterCacheConfig, FirstBlockCacheConfig, PyramidAttentionBroadcastConfig, TaylorSeerCacheConfig
from PIL import Image, ImageFilter
from pipelines import DESIGNS, edit, largest, pair, pipeline, relation, shared, source
from samples import natural, noise, psnr

from relation_adapter import Relation
from relation_adapter.detail import transfer_detail
from relation_adapter.images import fit

# Sizes and outputs


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("size", [(1, 1), (50, 31), (16, 200), (2000, 2)])
def test_any_size_comes_back_as_it_was(name: str, size: tuple[int, int]) -> None:
    image = shared(name)(image=noise(*size), relation=relation(name), seed=0, num_inference_steps=1).images[0]
    assert image.size == size and image.mode == "RGB"


@pytest.mark.parametrize("name", DESIGNS)
def test_an_explicit_size_is_what_the_model_works_at_and_returns(name: str) -> None:
    pipe = shared(name)
    options = {"image": source(0, 50, 40), "relation": relation(name), "seed": 0, "num_inference_steps": 1}
    tokens = pipe(size=(64, 48), output_type="latent", **options).images
    assert tokens.shape[1] == 64 * 48 // pipe.multiple**2
    assert pipe(size=(64, 48), **options).images[0].size == (64, 48)
    assert pipe(size=(67, 49), **options).images[0].size == (67, 49)


@pytest.mark.parametrize("kind", ["np", "pt", "pil", "latent"])
@pytest.mark.parametrize("name", ("published", "mini"))
def test_every_output_type_shows_the_same_picture(name: str, kind: str) -> None:
    pipe = shared(name)
    options = {"relation": relation(name), "seed": 0, "size": (32, 32)}
    wanted = np.stack([np.asarray(one) for one in pipe(image=[source(0), source(1)], **options).images])
    images = pipe(image=[source(0), source(1)], output_type=kind, **options).images
    (unnamed,) = pipe(image=[source(0), source(1)], output_type=kind, return_dict=False, **options)
    assert type(unnamed) is type(images)
    if kind == "latent":
        assert images.shape[0] == 2 and images.shape[2] == pipe.design.token_channels
        return
    if kind == "pt":
        assert images.shape == (2, 3, 32, 32)
        images = images.permute(0, 2, 3, 1).numpy()
    shown = [np.asarray(one) for one in images] if kind == "pil" else np.round(images * 255)
    assert largest(shown, wanted) == 0


def test_arrays_of_different_sizes_come_as_a_list() -> None:
    sources = [source(0, 20, 30), source(1, 40, 10)]
    for kind, shapes in (("np", [(30, 20, 3), (10, 40, 3)]), ("pt", [(3, 30, 20), (3, 10, 40)])):
        images = shared("mini")(image=sources, relation=relation("mini"), seed=0, output_type=kind).images
        assert [tuple(one.shape) for one in images] == shapes
        assert all(0 <= one.min() and one.max() <= 1 for one in images)


def test_a_large_picture_keeps_its_detail_unless_told_otherwise() -> None:
    """With a velocity of zero the model's result is the small source, and its detail is all there to take."""
    pipe, large = pipeline("mini"), natural(256)
    for parameter in pipe.transformer.proj_out.parameters():
        parameter.data.zero_()
    options = {"image": large, "pairs": [(large, large)], "seed": 0}
    small = fit(large, area=pipe.design.native_area, multiple=pipe.multiple)
    kept, plain = pipe(**options).images[0], pipe(detail=False, **options).images[0]
    assert largest(plain, small.restore(small.image)) <= 1
    assert largest(kept, transfer_detail(large, small.image, small.image)) <= 1
    assert psnr(kept, large) > psnr(plain, large) + 6


def test_detail_goes_as_the_pair_shows(tmp_path: Path) -> None:
    """The model leaves the small picture as it is, so that all that differs is what the pair says of finer detail."""
    pipe, large = pipeline("mini"), natural(256)
    for parameter in pipe.transformer.proj_out.parameters():
        parameter.data.zero_()
    read = pipe.encode_relation([(large, large.filter(ImageFilter.GaussianBlur(8)))])
    soft = replace(read, correction=None, linear=None, filter=None)
    assert soft.detail and max(soft.detail) < 0.5 and pipe.encode_relation([(large, large)]).detail == []
    soft.save(tmp_path / "soft.safetensors")
    assert Relation.load(tmp_path / "soft.safetensors").detail == soft.detail

    def off(relation: Any, **options: Any) -> float:
        made = pipe(image=large, relation=relation, seed=0, **options).images[0]
        return float(np.square(np.asarray(made, float) - np.asarray(large, float)).mean())

    plain = off(soft, detail=False)
    all_of_it, half, none = off(replace(soft, provenance={})), off((soft, 0.5)), off(soft)
    assert all_of_it < 0.5 * half < 0.5 * none <= 0.51 * plain
    assert off([soft, replace(soft, provenance={})]) == pytest.approx(none, rel=0.01)


def test_a_picture_with_transparency_is_read_on_white() -> None:
    clear = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    options = {"relation": relation("mini"), "seed": 0}
    on_white = shared("mini")(image=Image.new("RGB", (32, 32), "white"), **options).images[0]
    assert largest(shared("mini")(image=clear, **options).images[0], on_white) == 0


# Callbacks, progress and hooks


def test_a_callback_may_change_the_latents_and_stop() -> None:
    pipe = pipeline("published")
    seen: list[tuple[int, float]] = []

    def zero(_: Any, step: int, time: torch.Tensor, kwargs: dict[str, Any]) -> dict[str, Any]:
        seen.append((step, float(time)))
        pipe._interrupt = step == 1
        return {"latents": torch.zeros_like(kwargs["latents"])}

    made = edit(pipe, relation=relation("published"), num_inference_steps=4, callback_on_step_end=zero)
    assert not made.any()
    assert [step for step, _ in seen] == [0, 1]
    assert seen[0][1] == 1000 > seen[1][1]


def test_the_progress_bar_counts_all_steps(capsys: pytest.CaptureFixture[str]) -> None:
    pipe = pipeline("mini")
    pipe.set_progress_bar_config(desc="editing")
    edit(pipe, image=[source(0), source(1, 48, 24)], relation=relation("mini"), num_inference_steps=3)
    assert "editing: 100%" in capsys.readouterr().err
    pipe.set_progress_bar_config(disable=True)
    edit(pipe, relation=relation("mini"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ("directed", "mini"))
def test_every_part_is_brought_in_before_it_is_used(name: str) -> None:
    """Most of what the pipeline asks of its parts is not their `forward`, which alone is hooked by itself."""
    pipe = pipeline(name)
    pipe.enable_model_cpu_offload(device="cpu")
    brought: list[str] = []
    for part in ("adapter", "vae", "transformer"):
        hook = getattr(pipe, part)._hf_hook
        hook.pre_forward = lambda *args, part=part, go=hook.pre_forward, **kw: (brought.append(part), go(*args, **kw))[
            1
        ]
    pipe.maybe_free_model_hooks = lambda: None
    made = pipe.encode_relation([pair()])
    assert "adapter" in brought and ("transformer" in brought) == pipe.design.correction
    brought.clear()
    pipe(image=source(), relation=made, seed=0, num_inference_steps=1)
    steps = 1 + pipe.design.reuses_source
    assert [one for one in brought if one != "transformer"] == ["adapter", "vae", "vae"]
    assert brought.count("transformer") == steps


# Caches of the transformer


CACHES: dict[str, Callable[[Any], Any]] = {
    "first block": lambda pipe: FirstBlockCacheConfig(threshold=0.1),
    "taylor": lambda pipe: TaylorSeerCacheConfig(cache_interval=2, disable_cache_before_step=1),
    "broadcast": lambda pipe: PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2,
        spatial_attention_timestep_skip_range=(100, 950),
        spatial_attention_block_identifiers=["transformer_blocks"],
        current_timestep_callback=lambda: pipe.current_timestep,
    ),
    "faster": lambda pipe: FasterCacheConfig(
        spatial_attention_block_skip_range=2,
        spatial_attention_timestep_skip_range=(-1, 901),
        attention_weight_callback=lambda _: 0.5,
        is_guidance_distilled=True,
        current_timestep_callback=lambda: pipe.current_timestep,
    ),
}


@pytest.mark.parametrize("kind", CACHES)
@pytest.mark.parametrize("name", DESIGNS)
def test_caches_start_anew_and_go_without_trace(name: str, kind: str) -> None:
    """With a relation that stops half way, so that an isolated source is seen twice."""
    pipe, given = pipeline(name), {"relation": relation(name), "num_inference_steps": 4, "strength_steps": (0, 0.5)}
    plain = edit(pipe, **given)
    pipe.transformer.enable_cache(CACHES[kind](pipe))

    def count(_: Any, step: int, *__: Any) -> None:
        """What counts the calls of a block counts the steps."""
        for block in pipe.transformer.modules():
            hook = hasattr(block, "_diffusers_hook") and block._diffusers_hook.get_hook("pyramid_attention_broadcast")
            assert not hook or hook.state.iteration == step + 1

    first, second = (edit(pipe, callback_on_step_end=count, **given) for _ in range(2))
    assert (first == second).all() and first.isfinite().all()
    pipe.transformer.disable_cache()
    assert (edit(pipe, **given) == plain).all()
