"""Training towards the right parameters: what other draws of a task make of the same source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_processes import newest, same

from relation_adapter.config import override
from relation_adapter.data.dataset import _GOES_ON, Batch, ProceduralBatches, ProceduralMix, _nearest
from relation_adapter.errors import UsageError
from relation_adapter.model.components import build
from relation_adapter.procedural import TASKS
from relation_adapter.train.loop import train
from relation_adapter.train.loss import flow_misses, leaning
from relation_adapter.train.presets import PRESETS

SHAPES = ((64, 64), (48, 80))


def batch_of(*tasks: str, others: bool = True, shapes: tuple[tuple[int, int], ...] = SHAPES) -> Batch:
    mix = ProceduralMix(core=tasks, core_share=1.0, scene_share=0.0, shapes=shapes)
    return ProceduralBatches(mix, 4, 10, seed=3, others=others)[2]


@pytest.mark.parametrize("shape", SHAPES)
def test_other_parameters_make_something_else_of_the_same_source(shape: tuple[int, int]) -> None:
    batch, plain = batch_of("brighten", shapes=(shape,)), batch_of("brighten", others=False, shapes=(shape,))
    assert batch.other is not None and plain.other is None
    assert torch.equal(batch.source, plain.source) and torch.equal(batch.target, plain.target)
    assert ((batch.other - batch.target).square().mean((1, 2, 3)) > 0).all()
    brighter = (batch.other.mean((1, 2, 3)) - batch.source.mean((1, 2, 3))) > 0
    assert brighter.all()  # so it is the source that was edited


def test_scene_tasks_have_others_too() -> None:
    batch = ProceduralBatches(ProceduralMix(scene_share=1.0), 16, 1, seed=0, others=True)[0]
    assert batch.other is not None
    differs = (batch.other - batch.target).square().mean((1, 2, 3)) > 0
    assert differs.float().mean() > 0.5


def test_where_parameters_make_the_source_there_is_no_other() -> None:
    batch = batch_of("denoising")
    assert batch.other is not None and torch.equal(batch.other, batch.target)


def test_of_several_draws_the_one_that_is_hardest_to_tell_counts() -> None:
    target = np.zeros((4, 4, 3), np.uint8)
    near, far = target + np.uint8(3), target + np.uint8(200)
    assert _nearest([far, target, near], target) is near
    assert _nearest([target.copy()], target) is target and _nearest([], target) is target


def test_leaning_is_half_half_way_to_the_other_draw() -> None:
    others = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
    for share, expected in ((0.0, 0.0), (0.5, 0.5), (1.0, 0.8), (-0.5, 0.5)):
        assert torch.allclose(leaning(share * others, others), torch.full((3,), expected), atol=1e-3)
    assert torch.equal(leaning(others, torch.zeros_like(others)), torch.zeros(3))


def test_what_leads_elsewhere_does_not_count() -> None:
    others = torch.tensor([[[1.0, 0.0]]])
    assert leaning(torch.tensor([[[0.0, 7.0]]]), others) == 0


def test_an_untrained_model_is_off_by_the_whole_edit() -> None:
    """And the other draw's target by the difference of the two."""
    config, batch = PRESETS["debug"], batch_of("brighten")
    misses, others = flow_misses(build(config.model, seed=0), batch, torch.ones(4), torch.Generator())
    assert batch.other is not None and others is not None
    assert torch.allclose(misses.square().mean((1, 2)), batch.change, rtol=1e-4)
    assert torch.allclose(
        others.square().mean((1, 2)), (batch.other - batch.target).square().mean((1, 2, 3)), rtol=1e-4
    )


def test_it_changes_what_is_learned(tmp_path: Path) -> None:
    config = override(PRESETS["debug"], ["steps=2", "batch=2", "threads=1", "validate_every=100"])
    for name, weight in (("without", 0.0), ("with", 0.5)):
        train(replace(config, others=weight), tmp_path / name)
    assert not same(newest(tmp_path / "without"), newest(tmp_path / "with"))


def test_a_weight_below_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match=r"others=-1.*0 or more"):
        override(PRESETS["debug"], ["others=-1"])


# Pairs shown backwards


def test_a_pair_shown_backwards_leaves_alone_what_is_done() -> None:
    mix = ProceduralMix(scene_share=1.0)
    plain, done = (
        ProceduralBatches(replace(mix, done_share=share), 24, 1, seed=1, others=True)[0] for share in (0.0, 1.0)
    )
    assert plain.tasks == done.tasks
    backwards = torch.tensor([torch.equal(a, b) for a, b in zip(plain.before, done.after, strict=True)])
    assert 0 < backwards.sum() < 24  # not where the edit goes on from wherever the source is
    assert torch.equal(plain.after[backwards], done.before[backwards])
    assert torch.equal(done.source, plain.source)
    assert torch.equal(done.target[backwards], plain.source[backwards])
    assert torch.equal(done.target[~backwards], plain.target[~backwards])
    assert done.other is not None and torch.equal(done.other[backwards], plain.target[backwards])


def test_the_usual_edit_is_never_taken_as_done() -> None:
    """Of pixels alone, or of what goes on, as moving does."""
    assert set(_GOES_ON) <= TASKS.keys()
    mix = ProceduralMix(scene_share=0.0, core=("brighten",), core_share=1.0, done_share=1.0)
    assert (ProceduralBatches(mix, 4, 1, seed=0)[0].change > 0).all()
