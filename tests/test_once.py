"""What does not change on the way is computed once, and the loop never waits for the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention_dispatch import _AttentionBackendRegistry
from pipelines import DESIGNS, edit, largest, pipeline, relation, source
from tiny_edits import lora_state
from torch.utils._python_dispatch import TorchDispatchMode

from relation_adapter import RelationPipeline
from relation_adapter.errors import UsageError
from relation_adapter.model import attention, step_tables


class Waits(TorchDispatchMode):
    """Counts the calls for which the host would have to wait: a value of a tensor is asked for."""

    asked: int = 0
    watching: bool = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.partition(".")[0]
        self.asked += self.watching and name in ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "item")
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("name", DESIGNS)
def test_between_two_steps_nothing_waits_for_the_device(name: str) -> None:
    pipe = pipeline(name)
    with Waits() as waits:
        assert torch.ones(1).item() == 1 and waits.asked == 0
        waits.watching = True
        assert torch.ones(1).item() == 1 and waits.asked == 1  # it does see them
        waits.asked, waits.watching = 0, False

        def watch(_: Any, step: int, *__: Any) -> dict[str, Any]:
            waits.watching = step < 3
            return {}

        edit(pipe, relation=relation(name), num_inference_steps=4, callback_on_step_end=watch)
    assert waits.asked == 0


@pytest.fixture
def counts() -> Iterator[dict[str, int]]:
    """How often modules of a kind ran."""
    counted: dict[str, int] = {}

    def count(module: Any, _: Any) -> None:
        kind = type(module).__name__
        counted[kind] = counted.get(kind, 0) + 1

    handle = torch.nn.modules.module.register_module_forward_pre_hook(count)
    yield counted
    handle.remove()


@pytest.mark.parametrize("name", DESIGNS)
def test_modulations_of_all_steps_are_one_product_and_the_stock_ones(name: str, counts: dict[str, int]) -> None:
    pipe, given = pipeline(name), {"relation": relation(name), "num_inference_steps": 5}
    embedded = {"_TimeText", "_TimeGuidanceText"}
    few = edit(pipe, **given)
    # The transformer asks at every call, and is given what is ready: one product, and one of a source that runs alone.
    widths: list[int] = []
    linear = pipe.transformer.norm_out.linear
    linear.register_forward_hook(lambda _, taken, __: widths.append(taken[0].shape[0]) if is_narrow(taken) else None)

    def is_narrow(taken: Any) -> bool:
        return taken[0].shape[-1] == linear.in_features

    edit(pipe, **given)
    isolated = pipe.design.source_attention == "isolated"
    assert sorted(widths) == [1] * isolated + [5]
    assert sum(counts.get(kind, 0) for kind in embedded) > 0
    step_tables.take_away(pipe.transformer)
    widths.clear()
    assert largest(edit(pipe, **given), few) <= 1e-5
    assert widths == [1] * (5 + isolated)


def test_a_table_of_positions_is_made_once_for_a_size() -> None:
    pipe, given = pipeline("directed"), {"relation": relation("directed"), "num_inference_steps": 3}
    step_tables._table.cache_clear()
    edit(pipe, **given)
    made = step_tables._table.cache_info().misses
    edit(pipe, seed=5, **given)
    assert step_tables._table.cache_info().misses == made == 1


@pytest.mark.parametrize("name", ["directed", "mini"])
def test_several_seeds_of_one_source_see_it_once(name: str) -> None:
    pipe, given = pipeline(name), {"relation": relation(name), "num_inference_steps": 2}
    batches: list[tuple[int, int]] = []
    pipe.transformer.x_embedder.register_forward_hook(lambda _, taken, __: batches.append(taken[0].shape[0]))
    encoded: list[int] = []
    encode = pipe.vae.encode
    pipe.vae.encode = lambda pixels: encoded.append(len(pixels)) or encode(pixels)
    three = edit(pipe, num_images_per_prompt=3, seed=[4, 5, 6], **given)
    assert batches == [1, 3, 3] and encoded == [1]
    for row, seed in enumerate((4, 5, 6)):
        assert largest(three[row : row + 1], edit(pipe, seed=seed, **given)) <= 1e-5
    batches.clear()
    edit(pipe, image=[source(0), source(1)], **given)
    assert batches == [2, 2, 2]


def test_several_seeds_of_one_source_take_new_text_on_the_way() -> None:
    """Each result may be given a text of its own by a callback; the source is then seen with each."""
    pipe, given = pipeline("directed"), {"relation": relation("directed"), "num_inference_steps": 2}
    text, pooled = (torch.cat([one, -one]) for one in pipe.encode_prompt("red"))

    def change(_: Any, step: int, *__: Any) -> dict[str, Any]:
        return {"prompt_embeds": text, "pooled_prompt_embeds": pooled} if step == 0 else {}

    both = edit(pipe, num_images_per_prompt=2, seed=[4, 4], callback_on_step_end=change, **given)
    assert largest(both[:1], both[1:]) > 1e-4
    listed = edit(pipe, image=[source()] * 2, seed=[4, 4], callback_on_step_end=change, **given)
    assert largest(both, listed) <= 1e-5


@pytest.mark.parametrize("name", DESIGNS)
def test_fused_projections_are_one_product_of_the_same_weights(name: str) -> None:
    pipe, given = pipeline(name), {"relation": relation(name), "num_inference_steps": 2}
    apart = edit(pipe, **given)
    pipe.fuse_qkv_projections()
    pipe.transformer.single_transformer_blocks[0].attn.to_q.register_forward_hook(lambda *_: pytest.fail("three"))
    assert largest(edit(pipe, **given), apart) <= 1e-5
    attn = pipe.transformer.transformer_blocks[0].attn
    assert attn.to_k.weight.untyped_storage().data_ptr() == attn.to_qkv.weight.untyped_storage().data_ptr()


def test_a_pipeline_without_a_transformer_is_saved(tmp_path: Path) -> None:
    parts = pipeline("published").components | {"transformer": None}
    RelationPipeline(**parts).save_pretrained(tmp_path / "parts")
    assert (tmp_path / "parts" / "adapter").is_dir() and not (tmp_path / "parts" / "transformer").exists()


def test_loras_and_fused_projections_do_not_pass_over_each_other(tmp_path: Path) -> None:
    pipe = pipeline("published")
    pipe.fuse_qkv_projections()
    with pytest.raises(UsageError, match="unfuse_qkv_projections before you save"):
        pipe.save_pretrained(tmp_path / "model")
    with pytest.raises(UsageError, match="unfuse_qkv_projections first"):
        pipe.load_lora_weights(lora_state(pipe))
    pipe.unfuse_qkv_projections()
    plain = edit(pipe, relation=relation("published"))
    pipe.load_lora_weights(lora_state(pipe))
    changed = edit(pipe, relation=relation("published"))
    assert largest(changed, plain) > 1e-4
    with pytest.raises(UsageError, match="fuse_lora and unload_lora_weights first"):
        pipe.fuse_qkv_projections()
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    pipe.fuse_qkv_projections()
    assert largest(edit(pipe, relation=relation("published")), changed) <= 1e-4


@pytest.mark.parametrize("name", DESIGNS)
def test_an_attention_back_end_of_choice_serves_base_source_and_relation(name: str) -> None:
    pipe, given = pipeline(name), {"relation": relation(name), "num_inference_steps": 2}
    default = edit(pipe, **given)
    called: list[Any] = []
    with attention_calls(called):
        pipe.transformer.set_attention_backend("_native_math")
        assert largest(edit(pipe, **given), default) <= 1e-5
    assert called and set(called) == {"_native_math"}


@contextmanager
def attention_calls(names: list[Any]) -> Iterator[None]:
    """Take down the back end of every call; the choice of one, which diffusers keeps for all models, ends as well."""
    real = attention.dispatch_attention_fn

    def watched(*args: Any, backend: Any = None, **options: Any) -> Any:
        names.append(backend.value)
        return real(*args, backend=backend, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "dispatch_attention_fn", watched)
        patch.setattr(_AttentionBackendRegistry, "_active_backend", _AttentionBackendRegistry._active_backend)
        yield


@pytest.mark.parametrize("name", DESIGNS)
def test_a_lora_on_the_embedding_of_time_is_weighed_as_any_other(name: str) -> None:
    """It is weighed while the transformer runs; what is made before would have it at its full weight."""
    pipe, given = pipeline(name), {"relation": relation(name), "num_inference_steps": 2}
    base = edit(pipe, **given)
    embedder = pipe.transformer.time_text_embed.timestep_embedder.linear_1
    sizes = {"lora_A": (2, embedder.in_features), "lora_B": (embedder.out_features, 2)}
    key = "transformer.time_text_embed.timestep_embedder.linear_1."
    state = {f"{key}{half}.weight": torch.randn(size, generator=seeded()) for half, size in sizes.items()}
    pipe.load_lora_weights(state, adapter_name="mine")
    assert largest(edit(pipe, **given), base) > 1e-3
    assert largest(edit(pipe, joint_attention_kwargs={"scale": 0.0}, **given), base) <= 1e-5
    half = edit(pipe, joint_attention_kwargs={"scale": 0.5}, **given)
    pipe.set_adapters("mine", 0.5)
    assert largest(edit(pipe, **given), half) <= 1e-4


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)
