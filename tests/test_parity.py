"""The published implementation's numbers, reproduced part by part in float32."""

from __future__ import annotations

from typing import Any

import goldens
import pytest
import torch
from goldens import arrays, assert_same, needs_goldens, tokens_of
from torch import Tensor

from relation_adapter.model.adapter import RelationAdapter, with_strength
from relation_adapter.model.components import Components
from relation_adapter.model.keys_values import RelationKeysValues
from relation_adapter.model.latents import cloned_ids, pack, unpack
from relation_adapter.model.lora import load_lora
from relation_adapter.model.velocity import Conditions, velocity

pytestmark = needs_goldens


@pytest.fixture(scope="module")
def model() -> Components:
    return goldens.components()


@pytest.fixture(scope="module")
def forward() -> dict[str, Tensor]:
    return arrays("forward")


def call(transformer: Any, forward: dict[str, Tensor], relations: list[RelationKeysValues], prefix: str = "") -> Tensor:
    names = ("hidden_states", "encoder_hidden_states", "pooled_projections", "timestep", "guidance")
    return transformer(
        **{name: forward[f"{prefix}in.{name}"] for name in names},
        img_ids=forward["in.img_ids"],
        txt_ids=forward["in.txt_ids"],
        joint_attention_kwargs={"relations": relations},
        return_dict=False,
    )[0]


def relation_of(adapter: RelationAdapter, tokens: Tensor, strength: float = 1.0) -> RelationKeysValues:
    return with_strength(adapter.keys_values(tokens), strength)


@torch.no_grad()
def test_forward_at_every_strength(model: Components, forward: dict[str, Tensor]) -> None:
    outputs = [key for key in forward if key.startswith("out.scale")]
    assert len(outputs) == len(goldens.config()["scales"])
    for key in outputs:
        strength = float(key.removeprefix("out.scale"))
        relation = relation_of(model.adapter, tokens_of(forward["in.image_emb"]), strength)
        assert_same(f"forward {key}", call(model.transformer, forward, [relation]), forward[key])


@torch.no_grad()
def test_forward_without_a_relation(model: Components, forward: dict[str, Tensor]) -> None:
    golden = forward["out.no_image_emb"]
    assert_same("forward out.no_image_emb", call(model.transformer, forward, []), golden)
    silent = relation_of(model.adapter, tokens_of(forward["in.image_emb"]), 0.0)
    assert_same("forward strength 0", call(model.transformer, forward, [silent]), golden)


@torch.no_grad()
def test_forward_small_tokens(model: Components, forward: dict[str, Tensor]) -> None:
    """Tokens so small that the eps of the key's norm shows."""
    relation = relation_of(model.adapter, tokens_of(forward["in.image_emb"]) * 2**-9)
    assert_same("forward out.small_tokens", call(model.transformer, forward, [relation]), forward["out.small_tokens"])


@torch.no_grad()
def test_forward_of_a_batch(model: Components, forward: dict[str, Tensor]) -> None:
    relation = relation_of(model.adapter, forward["b2.in.image_emb"])
    assert_same("forward b2.out", call(model.transformer, forward, [relation], "b2."), forward["b2.out"])


@torch.no_grad()
def test_velocity_is_the_noisy_half(model: Components, forward: dict[str, Tensor]) -> None:
    rows, columns = goldens.config()["fwd_latent_hw"]
    noisy, source = forward["in.hidden_states"].split(rows * columns, dim=1)
    given = Conditions(
        source=source,
        rows=rows,
        columns=columns,
        text=forward["in.encoder_hidden_states"],
        pooled=forward["in.pooled_projections"],
        relations=[relation_of(model.adapter, tokens_of(forward["in.image_emb"]))],
        guidance=float(forward["in.guidance"][0]),
    )
    assert torch.equal(cloned_ids(rows, columns), forward["in.img_ids"])
    ours = velocity(model.transformer, goldens.design(), noisy, forward["in.timestep"], given)
    assert_same("velocity", ours, forward["out.scale1"][:, : rows * columns])


@torch.no_grad()
def test_every_block_and_attention(model: Components, forward: dict[str, Tensor]) -> None:
    golden, found = arrays("forward_blocks"), {}

    def keep(*names: str) -> Any:
        """Keep a module's outputs; a single block's text and image are one sequence in the golden set."""

        def hook(_: Any, __: Any, output: Any) -> None:
            if len(names) == 1:
                output = [torch.cat(output, dim=1) if isinstance(output, tuple) else output]
            found.update(zip(names, output, strict=True))

        return hook

    hooks = []
    for i, block in enumerate(model.transformer.transformer_blocks):
        hooks.append(block.register_forward_hook(keep(f"double.{i}.text", f"double.{i}.image")))
        hooks.append(block.attn.register_forward_hook(keep(f"double.{i}.attn.image", f"double.{i}.attn.text")))
    for i, block in enumerate(model.transformer.single_transformer_blocks):
        hooks.append(block.register_forward_hook(keep(f"single.{i}")))
        hooks.append(block.attn.register_forward_hook(keep(f"single.{i}.attn")))
    call(model.transformer, forward, [relation_of(model.adapter, tokens_of(forward["in.image_emb"]))])
    for hook in hooks:
        hook.remove()
    assert found.keys() == golden.keys()
    for key, value in golden.items():
        assert_same(f"block {key}", found[key], value)


def test_gradients(model: Components, forward: dict[str, Tensor]) -> None:
    model.adapter.zero_grad()
    image_emb = forward["in.image_emb"].clone().requires_grad_()
    out = call(model.transformer, forward, [relation_of(model.adapter, tokens_of(image_emb))])
    loss = (out * forward["grad.upstream"]).sum()
    loss.backward()
    found = {"grad.loss": loss, "grad.image_emb": image_emb.grad}
    for letter in ("k", "v"):
        for block, matrix in enumerate(getattr(model.adapter, f"to_{letter}")):
            found[f"grad.{block}.to_{letter}_ip"] = matrix.weight.grad
            found[f"grad.{block}.to_{letter}_ip.norm"] = matrix.weight.grad.norm()
    golden = {key: value for key, value in forward.items() if key.startswith("grad.") and key != "grad.upstream"}
    assert len(golden) >= 2 * goldens.design().transformer.num_blocks
    for key, value in golden.items():
        scale = max(1.0, value.abs().max().item())  # sums over many numbers: relative where they are large
        assert_same(f"gradient {key}", found[key] / scale, value / scale)
    model.adapter.zero_grad()
    model.transformer.zero_grad()


@torch.no_grad()
def test_projector(model: Components) -> None:
    golden = arrays("projector")
    features = golden["pooled"][:, None, None]  # (3, 1 pair, 1 vector, F): each as before and, reversed, as after
    tokens, vector = model.adapter.encode(features, features.flip(0))
    assert vector is None
    assert_same("projector before", tokens[:, : goldens.design().num_tokens], golden["tokens"])
    assert_same("projector after", tokens[:, goldens.design().num_tokens :], golden["tokens"].flip(0))


@torch.no_grad()
def test_image_encoder_and_relation_tokens(model: Components) -> None:
    golden, pooled = arrays("pipeline"), []
    for number in range(2):
        pooled.append(model.image_encoder(golden[f"siglip.pixel_values.{number}"]).pooler_output)
        assert_same(f"siglip pooled {number}", pooled[-1], golden[f"siglip.pooled.{number}"])
    before, after = (x[:, None, None] for x in pooled)
    assert_same("image_emb", model.adapter.encode(before, after)[0], tokens_of(golden["image_emb"]))


@torch.no_grad()
def test_text_encoders(model: Components) -> None:
    golden, ids = arrays("pipeline"), arrays("inputs_uint8")
    text = model.text_encoder_2(ids["t5_input_ids"]).last_hidden_state
    assert_same("t5 prompt_embeds", text, golden["prompt_embeds"])
    pooled = model.text_encoder(ids["clip_input_ids"]).pooler_output
    assert_same("clip pooled_prompt_embeds", pooled, golden["pooled_prompt_embeds"])


@torch.no_grad()
def test_vae_and_packing(model: Components) -> None:
    golden, settings = arrays("pipeline"), model.vae.config
    posterior = model.vae.encode(golden["init.condition_image"]).latent_dist
    assert_same("vae posterior mean", posterior.mean, golden["init.vae_posterior_mean"])
    assert_same("vae posterior std", posterior.std, golden["init.vae_posterior_std"])
    sample = posterior.mean + posterior.std * golden["init.vae_posterior_noise"]
    source = pack((sample - settings.shift_factor) * settings.scaling_factor)
    assert_same("packed source latents", source, golden["init.cond_latents"])
    rows, columns = (side // 2 for side in golden["init.noise"].shape[-2:])
    assert torch.equal(cloned_ids(rows, columns), golden["init.img_ids"])
    assert torch.equal(torch.cat([pack(golden["init.noise"]), golden["init.cond_latents"]], 1), golden["init.latents"])

    final = unpack(golden["adapter.latents_final"][:, : rows * columns], rows)
    decoded = model.vae.decode(final / settings.scaling_factor + settings.shift_factor, return_dict=False)[0]
    assert_same("vae decode", decoded, golden["adapter.vae_decode_raw"])


@torch.no_grad()
def test_lora_file(forward: dict[str, Tensor]) -> None:
    golden, model = arrays("pipeline"), goldens.components()
    relation = relation_of(model.adapter, tokens_of(forward["in.image_emb"]))
    load_lora(model.transformer, goldens.FOLDER / "pytorch_lora_weights.safetensors")
    for state in ("loaded", "fused", "unfused", "unloaded"):
        if state == "fused":
            model.transformer.fuse_lora()
        elif state == "unfused":
            model.transformer.unfuse_lora()
        elif state == "unloaded":
            model.transformer.fuse_lora()
            model.transformer.unload_lora()
        assert_same(f"lora {state}", call(model.transformer, forward, []), golden["lora.forward_no_adapter"])
        ours = call(model.transformer, forward, [relation])
        assert_same(f"lora {state} + adapter", ours, golden["lora.forward_adapter"])
    names = [key for key in golden if key.startswith("lora.fused.")]
    assert names
    for name in names:
        ours = model.transformer.get_parameter(name.removeprefix("lora.fused."))
        assert_same(name, ours, golden[name])
