"""Edits that are faster and not quite exact: what is left out, how near they stay, and that they leave no trace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batches import make_quads
from diffusers import FirstBlockCacheConfig
from pipelines import DESIGNS, edit, largest, pipeline, relation, source

from relation_adapter import RelationPipeline
from relation_adapter.cli.app import main
from relation_adapter.errors import UsageError
from relation_adapter.evaluate.rows import read_rows
from relation_adapter.images import open_picture, resize
from relation_adapter.pipeline.fast import FULL_STEPS
from relation_adapter.units import to_unit


def blocks_run(pipe: Any, **options: Any) -> int:
    """How often the layers of the first block ran for the noisy tokens of an edit."""
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    hook = pipe.transformer.transformer_blocks[0].ff.register_forward_hook(count)
    edit(pipe, **options)
    hook.remove()
    return calls - pipe.design.reuses_source


@pytest.mark.parametrize("name", DESIGNS)
def test_half_of_many_steps_are_computed_and_exact_is_exact_again(name: str) -> None:
    pipe, given = pipeline(name), {"relation": relation(name), "num_inference_steps": 24}
    exact = edit(pipe, **given)
    pipe.enable_fast()
    pipe.enable_fast()  # once is enough, twice no harm
    assert blocks_run(pipe, **given) == 12
    first, second = (edit(pipe, **given) for _ in range(2))
    assert (first == second).all() and first.isfinite().all()
    assert not (first == exact).all()
    pipe.disable_fast()
    pipe.disable_fast()
    assert (edit(pipe, **given) == exact).all()


@pytest.mark.parametrize("name", DESIGNS)
def test_sources_of_different_sizes_in_one_call(name: str) -> None:
    """Each group of equal sizes is a run of its own; nothing is foreseen from another's."""
    pipe, given = pipeline(name), {"relation": relation(name), "num_inference_steps": 12}
    pipe.enable_fast()
    sources = [source(0), source(1, 48, 32)]
    together = edit(pipe, image=sources, seed=[0, 0], **given)
    for one, alone in zip(together, sources, strict=True):
        assert (one == edit(pipe, image=alone, **given)[0]).all()


def test_a_run_of_few_steps_takes_all_of_them() -> None:
    pipe = pipeline("mini")
    wanted = edit(pipe, relation=relation("mini"))
    pipe.enable_fast()
    assert blocks_run(pipe, relation=relation("mini")) == pipe.design.steps
    assert largest(edit(pipe, relation=relation("mini")), wanted) == 0
    assert blocks_run(pipe, relation=relation("mini"), num_inference_steps=FULL_STEPS) == FULL_STEPS


def test_a_cache_of_the_caller_is_not_taken_away() -> None:
    pipe = pipeline("directed")
    pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.1))
    with pytest.raises(UsageError, match="disable_cache"):
        pipe.enable_fast()
    pipe.disable_fast()
    assert pipe.transformer.is_cache_enabled


def test_nobody_else_who_uses_the_transformer_sees_anything_of_it() -> None:
    pipe, given = pipeline("directed"), {"relation": relation("directed"), "num_inference_steps": 12}
    exact = edit(pipe, **given)
    pipe.enable_fast()
    assert not (edit(pipe, **given) == exact).all()
    other = RelationPipeline(**pipe.components)
    other.set_progress_bar_config(disable=True)
    assert (edit(other, **given) == exact).all()
    pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.1))
    with pytest.raises(UsageError, match="disable_cache"):
        edit(pipe, **given)
    pipe.disable_fast()
    assert pipe.transformer.is_cache_enabled


def test_mini_stays_within_35_db() -> None:
    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    before, after = (open_picture(f"examples/pairs/sepia/{name}.jpg") for name in ("before", "after"))
    given = {
        "image": resize(open_picture("examples/photos/coffee.jpg"), (128, 128)),
        "relation": replace(pipe.encode_relation([(before, after)]), linear=None),  # what no step makes has no error
        "num_inference_steps": 24,
    }
    exact = pipe(**given).images[0]
    pipe.enable_fast()
    error = float(np.mean((to_unit(pipe(**given).images[0]) - to_unit(exact)) ** 2))
    assert 10 * np.log10(1 / error) >= 35


def test_the_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A batch goes on only with results that were made as fast; a baseline knows no such thing."""
    quads, out = str(make_quads(tmp_path / "set", 2)), str(tmp_path / "out")
    assert main(["edit", "--quads", quads, "-o", out, "--fast"]) == 0
    assert "at 1 it has no effect" in capsys.readouterr().err
    assert {row["model"].split()[-1] for row in read_rows(out)} == {"fast"}
    assert main(["evaluate", "generate", quads, "-o", out]) == 2
    assert main(["edit", "--quads", quads, "-o", out, "--fast", "--model", "identity"]) == 2
    assert "--fast means nothing to the baseline identity" in capsys.readouterr().err
    assert main(["edit", "--quads", quads, "-o", str(tmp_path / "two"), "--fast", "--steps", "2"]) == 0
    assert "at 2 it has no effect" in capsys.readouterr().err
