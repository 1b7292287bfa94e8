"""The designs of the ablation: the pair in context, the pooled vector, and the command that compares them."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pipelines import edit, pair, pipeline, source
from samples import noise

from relation_adapter import Relation, RelationPipeline
from relation_adapter.config import MODELS, ModelConfig, override
from relation_adapter.errors import UsageError
from relation_adapter.model.components import build, tiny_design
from relation_adapter.model.features import latent_features
from relation_adapter.model.weights import load_model, save_model

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def ablation() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module("ablation")
    finally:
        sys.path.remove(str(BENCHMARKS))


# The pair in context


def test_in_context_the_pair_is_tokens_and_decides_the_result(tmp_path: Path) -> None:
    pipe = pipeline("in_context")
    relation = pipe.encode_relation([pair(1)])
    side = pipe.design.exemplar_size // pipe.multiple
    assert relation.tokens.shape == (1, 2 * side**2, pipe.design.transformer.in_channels)
    one = edit(pipe, relation=relation)
    assert not torch.allclose(one, edit(pipe, relation=pipe.encode_relation([pair(2)])))
    relation.save(tmp_path / "pair.safetensors")
    assert torch.equal(one, edit(pipe, relation=Relation.load(tmp_path / "pair.safetensors")))


def test_in_context_needs_no_image_encoder() -> None:
    assert pipeline("in_context").image_encoder is None


@pytest.mark.parametrize(("roles", "told"), [(False, False), (True, True)])
def test_in_context_only_roles_tell_before_from_after(roles: bool, told: bool) -> None:
    design = replace(tiny_design("mini"), **IN_CONTEXT, roles=roles)
    pipe = pipe_of(design)
    before, after = pair()
    there, back = (edit(pipe, pairs=[one]) for one in ((before, after), (after, before)))
    assert torch.allclose(there, back, atol=1e-5) != told


def test_in_context_a_batch_of_different_numbers_of_pairs_is_as_one_by_one() -> None:
    pipe = pipeline("in_context")
    relations = [[pipe.encode_relation([pair(1)])], [pipe.encode_relation([pair(2), pair(3)])]]
    sources, seeds = [source(0), source(1)], [0, 1]
    latents = torch.randn(2, 4, pipe.design.token_channels, generator=torch.Generator().manual_seed(0))
    both = edit(pipe, image=sources, relation=relations, latents=latents, seed=seeds)
    for number in range(2):
        alone = edit(
            pipe, image=sources[number], relation=relations[number], latents=latents[number : number + 1], seed=number
        )
        assert torch.allclose(both[number : number + 1], alone, atol=1e-4)


def test_in_context_there_is_no_strength_but_one_and_none() -> None:
    pipe = pipeline("in_context")
    with pytest.raises(UsageError, match=r"strength=0\.5; .* knows 1, or 0"):
        edit(pipe, pairs=[pair()], strength=0.5)
    assert not torch.allclose(edit(pipe, pairs=[pair()], strength=0), edit(pipe, pairs=[pair()]))


def test_in_context_at_full_size_has_no_weights_of_its_own() -> None:
    design = MODELS["in_context"]
    with torch.device("meta"):
        adapter = type(pipeline("in_context").adapter)(json.loads(json.dumps(config_dict(design))))
    assert sum(p.numel() for p in adapter.parameters() if p.requires_grad) == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["projector=pooled_mlp"], "projector=pooled_mlp reads"),
        (["source_attention=isolated"], "needs source_attention=joint"),
        (["relation_vector=true"], "needs relation_vector=false"),
        (["relation_branch=adapter"], "projector=none belongs to"),
        (["token_dim=128"], "token_dim=128: tokens in context"),
        (["exemplar_size=500"], "not a multiple of a token's 16 pixels"),
        (["relation_branch=beside"], "choose one of adapter, in_context"),
    ],
)
def test_nonsense_in_context_is_refused(changes: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        override(MODELS["in_context"], changes)


# The pooled vector


def test_the_pooled_vector_is_one_and_sees_colour_layout_and_contrast() -> None:
    design = replace(tiny_design("mini"), **POOLED)
    vae = build(design, seed=0).vae
    flat = torch.zeros(1, 1, 3, 16, 16)
    left, rough = flat.clone(), flat.clone()
    left[..., :8] = 0.5
    rough[..., ::2] = 0.5
    rough[..., 1::2] = -0.5
    seen = [latent_features(vae, design, picture) for picture in (flat, flat + 0.1, left, left.flip(-1), rough)]
    assert seen[0].shape == (1, 1, 1, design.feature_dim)
    assert len({tuple(one.flatten().tolist()) for one in seen}) == len(seen)


def test_a_pooled_vector_needs_pixels_as_latents() -> None:
    with pytest.raises(UsageError, match="set pixel_factor"):
        override(MODELS["published"], ["image_features=latents_pooled"])


# The command


def test_designs_are_one_step_apart_and_the_last_is_mini_but_for_its_nets(ablation: Any) -> None:
    designs = ablation.designs()
    changed = {
        name: {key for key, value in config_dict(design).items() if config_dict(designs["together"])[key] != value}
        for name, design in designs.items()
    }
    pooled = {"projector", "image_features", "feature_dim", "num_tokens"}
    assert changed["directed"] - {"name"} == {"source_attention", "source_time"}
    assert changed["mini"] - changed["directed"] == {"relation_vector"}
    assert changed["roles"] - {"name"} == pooled
    assert changed["published"] - changed["roles"] == {"roles"}
    sizes = {"transformer", "token_dim", "resampler_heads", "exemplar_size", "native_area", "name", "pixel_hidden"}
    sizes |= {"steps", "correction", "second_look"}  # as they were when the table was made
    same = {key: value for key, value in config_dict(designs["mini"]).items() if key not in sizes}
    assert same == {key: value for key, value in config_dict(MODELS["mini"]).items() if key not in sizes}


def test_a_trained_file_of_every_design_loads_and_edits(ablation: Any, tmp_path: Path) -> None:
    for name, design in ablation.designs().items():
        save_model(tmp_path / f"{name}.safetensors", build(design, seed=0))
        pipe = pipe_of(load_model(tmp_path / f"{name}.safetensors").design)
        assert edit(pipe, image=noise(64, 64, 5), pairs=[pair()]).shape == (1, 64, 192)


def test_what_a_row_says(ablation: Any) -> None:
    from ablation_quads import Bench

    flat = [np.full((16, 16, 3), value, np.uint8) for value in (10, 20, 100, 200)]
    others = np.stack([np.full((16, 16, 3), 150, np.uint8), np.full((16, 16, 3), 250, np.uint8)])
    quads = Bench(np.stack(flat)[None], others[None], [2], [{"task": "x"}], [False], np.array([0]))

    def row(right: int, swapped: int) -> Any:
        return ablation.row(quads, 0, *(np.full((16, 16, 3), value, np.uint8) for value in (right, swapped, 100)))

    good, turned, idle = row(190, 90), row(120, 160), row(100, 100)
    assert (good["direction"], good["relation"], good["chance"]) == (1, 1, 1 / 3)
    assert (turned["direction"], turned["relation"]) == (0, 0)
    assert (idle["direction"], idle["mse"]) == (0.5, idle["nothing"])
    assert good["nothing"] == good["mixed"] == pytest.approx((100 / 255) ** 2)


def test_other_targets_are_of_the_same_source_and_left_out_where_there_are_none(ablation: Any) -> None:
    from ablation_quads import OTHERS, other_targets, undoes_itself

    from relation_adapter.data.procedural_set import ProceduralSet

    wanted = ProceduralSet(("brighten", "denoising", "flip"), count=1, size=32, held_out=True)
    brighten, restore, flip = ((item, wanted.draw(item)) for item in wanted.items())
    found = other_targets(wanted, *brighten)
    assert len(found) == OTHERS
    brightest = [float(np.corrcoef(one.ravel(), brighten[1].source.ravel())[0, 1]) for one in found]
    assert min(brightest) > 0.8
    assert other_targets(wanted, *restore) == []
    assert [undoes_itself(quad) for _, quad in (brighten, restore, flip)] == [False, False, True]


def test_means_are_over_tasks_and_spread_is_over_seeds(ablation: Any) -> None:
    import ablation_table as tables

    rows = [{"task": "a", "mse": 0.1, "nothing": 0.4}] * 3 + [{"task": "b", "mse": 0.3, "nothing": 0.4}]
    assert tables.mean(rows, "mse") == pytest.approx(0.2)
    assert tables.ratio(rows) == pytest.approx(0.5)
    assert tables.task_ratio(rows) == pytest.approx(0.5)
    assert tables._cell([0.4, 0.5], ".2f") == "0.45 ± 0.05"
    assert tables._cell([0.4], ".2f") == "0.40"


IN_CONTEXT: dict[str, Any] = {
    "second_look": False,
    "relation_branch": "in_context",
    "projector": "none",
    "token_dim": 64,
    "source_attention": "joint",
    "source_time": "shared",
    "relation_vector": False,
}
POOLED: dict[str, Any] = {
    "second_look": False,
    "projector": "pooled_mlp",
    "image_features": "latents_pooled",
    "feature_dim": 128,
    "num_tokens": 2,
    "relation_vector": False,
}


def config_dict(design: ModelConfig) -> dict[str, Any]:
    from relation_adapter.config import to_dict

    return to_dict(design)


def pipe_of(design: ModelConfig) -> RelationPipeline:
    """A random model of a design, no weight zero."""
    from relation_adapter.model.components import randomise

    components = build(design, seed=0)
    for part in (components.transformer, components.adapter):
        randomise(part.eval(), torch.Generator().manual_seed(0))
    pipe = RelationPipeline.from_components(components)
    pipe.set_progress_bar_config(disable=True)
    return pipe
