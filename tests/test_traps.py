"""The traps that users of other pipelines have fallen into, one test each; the numbers are those of the quality bar.

Elsewhere: 9, quantised base with adapter and LoRA (test_memory_quantised.py); 14, a quads file that names the missing
picture (test_quads.py); 15, the split of the dataset (test_build.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FirstBlockCacheConfig
from pipelines import DESIGNS, edit, largest, pair, pipeline, relation, shared, source
from torch import Tensor, nn

from relation_adapter.model.lora import lora_names


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# 1. generator=None, one generator, a list of generators


@pytest.mark.parametrize("name", ["published", "directed"])
def test_1_no_generator_one_or_a_list(name: str) -> None:
    pipe, two = shared(name), {"image": [source(0), source(1)], "relation": relation(name)}
    torch.manual_seed(3)
    free = edit(pipe, generator=None, **two)
    torch.manual_seed(3)
    assert (edit(pipe, generator=None, **two) == free).all() and largest(edit(pipe, generator=None, **two), free) > 1e-3
    one = edit(pipe, generator=seeded(0), **two)
    first, second = two["image"]
    generator = seeded(0)
    in_turn = [edit(pipe, image=image, relation=two["relation"], generator=generator) for image in (first, second)]
    assert largest(one, torch.cat(in_turn)) <= 1e-5
    listed = edit(pipe, generator=[seeded(5), seeded(9)], **two)
    assert largest(listed[1:], edit(pipe, image=second, relation=two["relation"], generator=seeded(9))) <= 1e-5


# 2. prompt_embeds without a prompt


@pytest.mark.parametrize("name", DESIGNS)
def test_2_embeddings_take_the_place_of_the_instruction_and_its_encoders(name: str) -> None:
    pipe, given = pipeline(name), {"relation": relation(name)}
    wanted = edit(pipe, instruction="make it red", **given)
    text, pooled = pipe.encode_prompt("make it red")
    pipe.text_encoder = pipe.text_encoder_2 = pipe.tokenizer = pipe.tokenizer_2 = None
    assert (edit(pipe, prompt_embeds=text, pooled_prompt_embeds=pooled, **given) == wanted).all()
    three = edit(pipe, image=[source()] * 3, seed=[0] * 3, prompt_embeds=text, pooled_prompt_embeds=pooled, **given)
    assert largest(three, wanted.expand(3, -1, -1)) <= 1e-5


# 3. latents given


@pytest.mark.parametrize("name", DESIGNS)
def test_3_given_latents_decide_the_start(name: str) -> None:
    pipe, two = shared(name), {"image": [source(0), source(1)], "relation": relation(name)}
    shape = edit(pipe, **two).shape
    starts = torch.randn(shape, generator=seeded(1))
    made = edit(pipe, latents=starts, **two)
    assert largest(made, edit(pipe, latents=starts.flip(0), **two)) > 1e-3
    alone = edit(pipe, image=source(1), relation=relation(name), latents=starts[1:], seed=1)
    assert largest(made[1:], alone) <= 1e-5


# 4. output_type x return_dict


@pytest.mark.parametrize("kind", ["pil", "np", "pt", "latent"])
@pytest.mark.parametrize("name", DESIGNS)
def test_4_every_output_named_and_unnamed(name: str, kind: str) -> None:
    given = {"image": source(0, 32, 48), "relation": relation(name), "seed": 0, "output_type": kind}
    named, unnamed = shared(name)(**given).images, shared(name)(return_dict=False, **given)
    assert type(unnamed) is tuple and len(unnamed) == 1 and type(unnamed[0]) is type(named)
    found = np.asarray(named[0])
    shapes = {"pil": (48, 32, 3), "np": (48, 32, 3), "pt": (3, 48, 32)}
    assert found.shape == shapes.get(kind, found.shape) and (np.asarray(unnamed[0][0]) == found).all()


# 5. offload hooks freed on every return


WAYS_OUT: dict[str, dict[str, Any]] = {
    "pictures": {},
    "latents": {"output_type": "latent"},
    "a tuple": {"return_dict": False},
    "an interrupt": {"callback_on_step_end": lambda pipe, *_: setattr(pipe, "_interrupt", True)},
    "an error": {"callback_on_step_end": lambda *_: 1 / 0},
    "a wrong relation": {"pairs": None, "relation": relation("mini")},
}


@pytest.mark.parametrize("way", WAYS_OUT)
def test_5_nothing_stays_on_the_device(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = pipeline("directed")
    pipe.enable_model_cpu_offload(device="cpu")
    freed: list[int] = []
    free = pipe.maybe_free_model_hooks
    monkeypatch.setattr(pipe, "maybe_free_model_hooks", lambda: (freed.append(1), free()))
    try:
        pipe(**{"image": source(), "pairs": [pair()], "seed": 0} | WAYS_OUT[way])
    except (ZeroDivisionError, ValueError):
        assert way in ("an error", "a wrong relation")
    assert freed and pipe.current_timestep is None
    for encode in (lambda: pipe.encode_relation([pair()]), lambda: pipe.encode_prompt("red")):
        freed.clear()
        encode()
        assert freed


# 6. a batch of n different pairs = n single runs; 7. num_images_per_prompt


@pytest.mark.parametrize("name", DESIGNS)
def test_6_and_7_a_batch_is_its_single_runs(name: str) -> None:
    """Of different pairs, sizes and instructions, twice each; only the copies differ in their noise."""
    pipe = shared(name)
    images, pairs = [source(0), source(1, 48, 24), source(2)], [[pair(1)], [pair(2)], [pair(3)]]
    texts = ["red", "a longer one", None]
    seeds = [3, 4, 8, 9, 5, 6]
    given = {"image": images, "pairs": pairs, "instruction": texts, "seed": seeds, "num_images_per_prompt": 2}
    together = edit(pipe, **given)
    assert len(together) == 6
    for k, seed in enumerate(seeds):
        alone = edit(pipe, image=images[k // 2], pairs=pairs[k // 2], instruction=texts[k // 2], seed=seed)[0]
        assert largest(together[k], alone) <= 1e-5, k
    if pipe.design.start == "noise":
        assert largest(together[0], together[1]) > 1e-3


# 8. sizes that are not square and not multiples of 16


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("size", [(33, 47), (90, 17), (16, 64)])
def test_8_a_size_of_any_kind_is_edited_and_returned(name: str, size: tuple[int, int]) -> None:
    given = {"image": source(0, *size), "relation": relation(name), "seed": 0, "num_inference_steps": 1}
    for choice in (None, "own", "native", size):
        assert shared(name)(size=choice, **given).images[0].size == size


# 10. attach and unload restore the base output bit for bit


@pytest.mark.parametrize("name", DESIGNS)
def test_10_attach_and_unload_leave_the_base_bit_for_bit(name: str) -> None:
    from peft import LoraConfig

    pipe = pipeline(name)
    base = pipe.transformer
    noisy = torch.randn(1, 12, base.config.in_channels, generator=seeded(0))
    given = {
        "hidden_states": noisy,
        "encoder_hidden_states": torch.randn(1, 5, base.config.joint_attention_dim, generator=seeded(1)),
        "pooled_projections": torch.randn(1, base.config.pooled_projection_dim, generator=seeded(2)),
        "timestep": torch.tensor([0.6]),
        "guidance": torch.tensor([3.5]) if base.config.guidance_embeds else None,
        "img_ids": torch.zeros(12, 3),
        "txt_ids": torch.zeros(5, 3),
        "return_dict": False,
    }
    pipe.adapter.detach(base)
    with torch.no_grad():
        alone = base(**given)[0]
        pipe.adapter.attach(base)
        assert (base(**given)[0] == alone).all()
        edit(pipe, pairs=[pair()])
        base.add_adapter(LoraConfig(r=2, target_modules=["to_q", "proj_out"], init_lora_weights=False))
        assert largest(base(**given)[0], alone) > 1e-4
        pipe.unload_lora_weights()
        assert (base(**given)[0] == alone).all() and not lora_names(base)
        pipe.adapter.detach(base)
        assert (base(**given)[0] == alone).all()


# 11. caches reset between calls


@pytest.mark.parametrize("name", DESIGNS)
def test_11_no_call_sees_anything_of_the_last(name: str) -> None:
    """Neither a cache of the transformer, nor a source, relation, guidance or interrupt of the call before."""
    pipe, one = pipeline(name), {"image": source(0), "relation": relation(name)}
    exact = edit(pipe, num_inference_steps=1, **one)
    pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=1e9))  # skips all that it has seen a call before
    wanted = edit(pipe, **one)
    other = {"image": source(1, 48, 24), "relation": relation(name, 2), "strength_steps": (0, 0.5)}
    edit(pipe, guidance_scale=9, callback_on_step_end=lambda p, *_: setattr(p, "_interrupt", True), **other)
    edit(pipe, strength=0.3, **one)
    assert (edit(pipe, **one) == wanted).all()
    # But for rounding: with a cache the last block computes every row.
    assert largest(edit(pipe, num_inference_steps=1, **one), exact) <= 1e-6


# 12. strength 0 equals no adapter


@pytest.mark.parametrize("name", DESIGNS)
def test_12_strength_0_is_the_model_without_relations(name: str) -> None:
    pipe = shared(name)
    blocks = pipe.design.transformer.num_blocks
    plain = edit(pipe, relation=relation(name), strength_steps=(0, 0))
    for zero in ({"strength": 0}, {"strength": [0.0] * blocks}):
        assert (edit(pipe, relation=relation(name), **zero) == plain).all()
    assert (edit(pipe, relation=(relation(name), 0.0)) == plain).all()
    assert largest(edit(pipe, relation=relation(name)), plain) > 1e-4


# 13. parity with the published processor on random weights (on recorded ones: test_parity.py)


def published_attention(attn: Any, shown: nn.Module, told: nn.Module, tokens: Tensor, call: dict[str, Any]) -> Any:
    """The attention of a block as published, written out: nothing of it is shared with the product."""
    picture, text, (cos, sin) = call["hidden_states"], call.get("encoder_hidden_states"), call["image_rotary_emb"]
    heads = attn.heads

    def split(x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)  # (B, H, L, D)

    def rotated(x: Tensor) -> Tensor:
        even, odd = x[..., 0::2], x[..., 1::2]
        return x * cos + torch.stack([-odd, even], dim=-1).flatten(-2) * sin

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        weights = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(dim=-1)
        return (weights @ value).transpose(1, 2).flatten(2)

    query, key, value = attn.norm_q(split(attn.to_q(picture))), attn.norm_k(split(attn.to_k(picture))), attn.to_v
    value, asking = split(value(picture)), query
    if text is not None:
        query = torch.cat([attn.norm_added_q(split(attn.add_q_proj(text))), query], dim=2)
        key = torch.cat([attn.norm_added_k(split(attn.add_k_proj(text))), key], dim=2)
        value = torch.cat([split(attn.add_v_proj(text)), value], dim=2)
    out = attend(rotated(query), rotated(key), value)
    keys = split(shown(tokens))
    keys = keys / (keys.pow(2).mean(dim=-1, keepdim=True) + 1e-5).sqrt()
    relation_part = attend(asking, keys, split(told(tokens)))
    if text is None:
        return out + relation_part
    words = text.shape[1]
    return attn.to_out[0](out[:, words:] + relation_part), attn.to_add_out(out[:, :words])


def test_13_every_block_attends_as_published() -> None:
    pipe, made = pipeline("published"), relation("published")
    calls: list[tuple[Any, dict[str, Any], Any]] = []
    blocks = [*pipe.transformer.transformer_blocks, *pipe.transformer.single_transformer_blocks]
    for block in blocks:
        block.attn.register_forward_hook(lambda attn, _, call, out: calls.append((attn, call, out)), with_kwargs=True)
    edit(pipe, relation=made, instruction="red", num_inference_steps=1)
    assert len(calls) == len(blocks)
    for number, (attn, call, out) in enumerate(calls):
        with torch.no_grad():
            wanted = published_attention(attn, pipe.adapter.to_k[number], pipe.adapter.to_v[number], made.tokens, call)
        # Of the last block the noisy tokens alone are read.
        pairs = (
            zip(out, wanted, strict=True)
            if isinstance(out, tuple)
            else [(out, wanted[:, call.get("rows", slice(None))])]
        )
        assert max(largest(found, right) for found, right in pairs) <= 1e-5, number
