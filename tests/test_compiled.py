"""`torch.compile` block by block: the same picture, and one version for all blocks of a kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from relation_adapter.model import components
from relation_adapter.model.components import tiny_design
from relation_adapter.pipeline import RelationPipeline

PAIR = tuple(Image.effect_noise((32, 32), sigma).convert("RGB") for sigma in (30, 90))
SOURCE = Image.effect_noise((32, 32), 60).convert("RGB")
BLOCKS = 9  # more than torch compiles versions of one function
KINDS = 4  # of blocks: double, the first single one, whose tokens lie in memory in another way, the others, the last


@pytest.mark.parametrize("design", ["published", "directed", "mini"])
def test_compiled_blocks_share_their_graphs_and_make_the_same_picture(
    design: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind of block is one graph without a break, and no later edit of the size makes another."""
    deep = replace(tiny_design(design).transformer, num_single_layers=BLOCKS)
    changes: dict[str, Any] = components._TINY_CHANGES[design] | {"transformer": deep}
    if design == "mini":  # it looks at a pair twice, at the size of its edits
        changes["exemplar_size"] = SOURCE.width
    monkeypatch.setitem(components._TINY_CHANGES, design, changes)
    pipe = RelationPipeline.from_components(components.tiny(design))
    pipe.set_progress_bar_config(disable=True)

    def edit(seed: int = 1, **options: Any) -> Any:
        given = {"instruction": "a", "seed": seed, "num_inference_steps": 2, "output_type": "np"} | options
        return pipe(SOURCE, pairs=[PAIR], **given).images

    by_block = [0.5] + [1.0] * (deep.num_blocks - 1)
    others: list[dict[str, Any]] = [{"seed": 3}, {"strength": 0.6}, {"strength": by_block}, {"num_inference_steps": 3}]
    expected, others_expected = edit(), [edit(**other) for other in others]
    torch._dynamo.reset()
    graphs = torch._dynamo.utils.counters["stats"]
    graphs.clear()
    pipe.transformer.compile_repeated_blocks(backend="eager", fullgraph=True)
    assert np.abs(edit() - expected).max() <= 1e-5
    passes = 1 if pipe.design.source_attention == "joint" else 2  # an isolated source runs alone
    assert graphs["unique_graphs"] == KINDS * passes
    for other, wanted in zip(others, others_expected, strict=True):
        assert np.abs(edit(**other) - wanted).max() <= 1e-5, other
    assert graphs["unique_graphs"] == KINDS * passes
