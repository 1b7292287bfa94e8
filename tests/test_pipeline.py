"""The pipeline's promises: batches, seeds, sizes, strengths, relations, saving."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from pipelines import DESIGNS, edit, largest, pair, pipeline, relation, shared, source

from relation_adapter import Relation, RelationPipeline
from relation_adapter.model.components import tiny
from relation_adapter.model.latents import pack
from relation_adapter.model.weights import save_model

# Batches and seeds


@pytest.mark.parametrize("name", DESIGNS)
def test_a_batch_of_different_pairs_equals_single_runs(name: str) -> None:
    """Numbers of pairs, sources, their sizes and seeds differ from item to item."""
    pipe = shared(name)
    pairs = [[pair(1)], [pair(2), pair(3)], [pair(4)], [pair(5)], [pair(6), pair(7), pair(8)]]
    sources = [source(0), source(1), source(2, 48, 24), source(3), source(4, 24, 56)]
    seeds = [7, 3, 11, 5, 2]
    together = edit(pipe, image=sources, pairs=pairs, seed=seeds)
    for k, seed in enumerate(seeds):
        alone = edit(pipe, image=sources[k], pairs=pairs[k], seed=seed)[0]
        assert largest(together[k], alone) <= 1e-5, k


@pytest.mark.parametrize("name", DESIGNS)
def test_lists_of_relations_and_strengths_per_image_equal_single_runs(name: str) -> None:
    pipe, one, two = shared(name), relation(name, 1), relation(name, 2)
    lists: list[Any] = [[one], [(one, 0.5), two], [(two, 0.3)], [(one, 0.0)]]
    together = edit(pipe, image=[source(k) for k in range(4)], relation=lists)
    for k, own in enumerate(lists):
        assert largest(together[k], edit(pipe, image=source(k), relation=own, seed=k)[0]) <= 1e-5, k


@pytest.mark.parametrize("name", ("published", "directed"))
def test_result_k_takes_seed_plus_k_whatever_the_batch(name: str) -> None:
    pipe, given = shared(name), {"relation": relation(name)}
    five = edit(pipe, image=[source()] * 5, seed=20, **given)
    assert largest(five[:2], edit(pipe, image=[source()] * 2, seed=20, **given)) <= 1e-5
    assert largest(five[3:4], edit(pipe, seed=23, **given)) <= 1e-5
    assert largest(five[:1], five[1:2]) > 1e-2


@pytest.mark.parametrize("name", ("published", "directed"))
def test_one_generator_serves_the_results_in_turn(name: str) -> None:
    pipe, given = shared(name), {"relation": relation(name)}
    generator = torch.Generator().manual_seed(4)
    turns = torch.cat([edit(pipe, image=source(k), generator=generator, **given) for k in range(3)])
    sources = [source(k) for k in range(3)]
    assert largest(turns, edit(pipe, image=sources, generator=torch.Generator().manual_seed(4), **given)) <= 1e-5
    listed = [torch.Generator().manual_seed(4 + k) for k in range(3)]
    assert (edit(pipe, image=sources, generator=listed, **given) == edit(pipe, image=sources, seed=4, **given)).all()


def test_without_a_seed_torchs_own_decides() -> None:
    given = {"relation": relation("published"), "seed": None}
    torch.manual_seed(0)
    first, second = (edit(shared("published"), **given) for _ in range(2))
    torch.manual_seed(0)
    assert (first == edit(shared("published"), **given)).all()
    assert largest(first, second) > 1e-2


@pytest.mark.parametrize("name", DESIGNS)
def test_given_latents_are_where_the_flow_starts(name: str) -> None:
    pipe, given = shared(name), {"relation": relation(name), "num_inference_steps": 3}
    halfway: list[torch.Tensor] = []
    first = edit(pipe, callback_on_step_end=lambda p, i, t, kwargs: halfway.append(kwargs["latents"]), **given)
    start = torch.randn(first.shape, generator=torch.Generator().manual_seed(9))
    made = edit(pipe, latents=start, **given)
    assert largest(made, first) > 1e-3
    both = edit(pipe, image=[source(), source()], latents=[start[0], start[0]], seed=[0, 0], **given)
    assert largest(both, made.expand(2, -1, -1)) <= 1e-5
    assert len(halfway) == 3 and (halfway[-1] == first).all()


def test_given_latents_take_the_place_of_the_noise_alone() -> None:
    """The posterior sample still comes from the same generator: parity with a run whose noise is known."""
    pipe, given = shared("published"), {"relation": relation("published")}
    generator = torch.Generator().manual_seed(0)
    shape = (1, pipe.vae.config.latent_channels, 4, 4)
    torch.randn(shape, generator=generator)
    noise_tokens = torch.randn(shape, generator=generator)
    assert (edit(pipe, latents=pack(noise_tokens), **given) == edit(pipe, **given)).all()


# Strength and direction


@pytest.mark.parametrize("name", DESIGNS)
def test_strength_0_is_the_base_model_bit_for_bit(name: str) -> None:
    pipe, given = pipeline(name), {"relation": relation(name)}
    full, none = edit(pipe, **given), edit(pipe, strength=0, **given)
    assert largest(full, none) > 1e-3
    for weight in (*pipe.adapter.to_k.parameters(), *pipe.adapter.to_v.parameters()):
        weight.data.fill_(torch.nan)
    assert (edit(pipe, strength=0.0, **given) == none).all()
    assert (edit(pipe, strength_steps=(0, 0), **given) == none).all()
    if pipe.design.source_attention == "joint":  # nothing of ours is needed then
        pipe.adapter.detach(pipe.transformer)
        assert (edit(pipe, strength=0, **given) == none).all()


@pytest.mark.parametrize("name", DESIGNS)
def test_strength_by_block_and_by_relation(name: str) -> None:
    pipe, one = shared(name), relation(name)
    blocks = pipe.design.transformer.num_blocks
    half = edit(pipe, relation=one, strength=0.5)
    assert largest(edit(pipe, relation=(one, 0.5)), half) <= 1e-6
    assert largest(edit(pipe, relation=[(one, [0.5] * blocks)]), half) <= 1e-6
    assert largest(edit(pipe, relation=(one, 0.25), strength=[2.0] * blocks), half) <= 1e-6
    first_only = edit(pipe, relation=one, strength=[1.0] + [0.0] * (blocks - 1))
    assert largest(first_only, half) > 1e-4 and largest(first_only, edit(pipe, relation=one)) > 1e-4


@pytest.mark.parametrize("name", DESIGNS)
def test_strength_steps_say_when_the_relation_acts(name: str) -> None:
    """Up to half of four steps: the first two as with the relation, then as without it from there."""
    pipe, given = shared(name), {"relation": relation(name), "num_inference_steps": 4}
    seen: dict[str, list[torch.Tensor]] = {}

    def run(key: str, **options: Any) -> torch.Tensor:
        steps = seen.setdefault(key, [])
        return edit(pipe, callback_on_step_end=lambda p, i, t, kw: steps.append(kw["latents"]), **options, **given)

    run("always")
    run("never", strength=0)
    run("early", strength_steps=(0, 0.5))
    run("late", strength_steps=(0.5, 1))
    assert [bool((a == b).all()) for a, b in zip(seen["early"], seen["always"], strict=True)] == [
        True,
        True,
        False,
        False,
    ]
    assert [bool((a == b).all()) for a, b in zip(seen["late"], seen["never"], strict=True)] == [
        True,
        True,
        False,
        False,
    ]


def test_swapping_the_pair_matters_where_the_design_has_roles() -> None:
    before, after = pair()
    for name in DESIGNS:
        straight, swapped = (edit(shared(name), pairs=[shown]) for shown in ((before, after), (after, before)))
        if name == "published":
            assert largest(straight, swapped) <= 1e-5
        else:
            assert largest(straight, swapped) > 1e-3


# Text


@pytest.mark.parametrize("name", ("published", "directed"))
def test_instructions(name: str) -> None:
    pipe, given = shared(name), {"relation": relation(name)}
    none, empty, text = (edit(pipe, instruction=one, **given) for one in (None, "", "make it red"))
    assert largest(text, empty) > 1e-4
    # The learned null is not the empty text; a design without one takes the empty text.
    assert (largest(none, empty) > 1e-4) == pipe.design.has_null_text
    both = edit(pipe, image=[source()] * 2, instruction=["make it red", None], seed=[0, 0], **given)
    assert largest(both, torch.cat([text, none])) <= 1e-5


def test_a_design_without_text_passes_over_instructions() -> None:
    given = {"relation": relation("mini")}
    assert (edit(shared("mini"), instruction="make it red", **given) == edit(shared("mini"), **given)).all()


# What is computed once


@pytest.mark.parametrize("name", DESIGNS)
def test_keys_and_values_are_computed_once(name: str) -> None:
    """One relation, three pictures of two sizes, four steps: the adapter's matrices see its tokens once."""
    pipe = pipeline(name)
    calls = {"relation": 0, "transformer": 0}

    def count(key: str) -> Any:
        return lambda *_: calls.__setitem__(key, calls[key] + 1)

    pipe.adapter.to_k[0].register_forward_hook(count("relation"))
    pipe.transformer.register_forward_hook(count("transformer"))
    edit(pipe, image=[source(0), source(1), source(2, 48, 24)], relation=relation(name), num_inference_steps=4)
    assert calls["relation"] == 1
    # Two groups of equal sizes, four steps; an isolated clean source runs once more in each.
    assert calls["transformer"] == 2 * (4 + pipe.design.reuses_source)


# Saving and loading


@pytest.mark.parametrize("name", DESIGNS)
def test_a_saved_pipeline_gives_the_same_picture(name: str, tmp_path: Path) -> None:
    pipe = pipeline(name)
    options = {"image": source(0, 40, 50), "pairs": [pair()], "instruction": "make it red"}
    pipe.save_pretrained(tmp_path / "model")
    loaded = RelationPipeline.from_pretrained(tmp_path / "model")
    loaded.set_progress_bar_config(disable=True)
    assert loaded.design == pipe.design
    assert (edit(loaded, **options) == edit(pipe, **options)).all()


def test_one_file_is_a_model_too(tmp_path: Path) -> None:
    components = tiny("mini")
    save_model(tmp_path / "model.safetensors", components)
    loaded = RelationPipeline.from_pretrained(tmp_path / "model.safetensors")
    loaded.set_progress_bar_config(disable=True)
    given = {"pairs": [pair()]}
    assert (edit(loaded, **given) == edit(shared("mini"), **given)).all()
    half = RelationPipeline.from_pretrained(os.fspath(tmp_path / "model.safetensors"), torch_dtype=torch.bfloat16)
    half.set_progress_bar_config(disable=True)
    assert edit(half, **given).dtype == torch.bfloat16


def test_to_moves_every_part() -> None:
    pipe = pipeline("directed").to(torch.float64)
    assert edit(pipe, pairs=[pair()]).dtype == torch.float64


@pytest.mark.parametrize("name", DESIGNS)
def test_a_saved_relation_gives_the_same_picture(name: str, tmp_path: Path) -> None:
    made = relation(name)
    made.save(tmp_path / "look.safetensors")
    loaded = Relation.load(tmp_path / "look.safetensors")
    assert (edit(shared(name), relation=loaded) == edit(shared(name), relation=made)).all()
    assert loaded.provenance == made.provenance
