"""`torch.compile` block by block: the same picture, and one version for all blocks of a kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from relation_adapter.model import components
from relation_adapter.pipeline import RelationPipeline

PAIR = tuple(Image.effect_noise((40, 32), sigma).convert("RGB") for sigma in (30, 90))
SOURCE = Image.effect_noise((32, 32), 60).convert("RGB")
BLOCKS = 9  # more than torch compiles versions of one function


@pytest.mark.parametrize("design", ["published", "directed"])
def test_compiled_blocks_share_their_graphs_and_make_the_same_picture(
    design: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = replace(components._TINY_TRANSFORMER, num_single_layers=BLOCKS)
    changes: dict[str, Any] = components._TINY_CHANGES[design] | {"transformer": deep}
    monkeypatch.setitem(components._TINY_CHANGES, design, changes)
    pipe = RelationPipeline.from_components(components.tiny(design))
    pipe.set_progress_bar_config(disable=True)

    def edit() -> Any:
        return pipe(SOURCE, pairs=[PAIR], instruction="a", seed=1, num_inference_steps=1, output_type="np").images

    expected = edit()
    torch._dynamo.reset()
    graphs = torch._dynamo.utils.counters["stats"]
    graphs.clear()
    pipe.transformer.compile_repeated_blocks(backend="eager")
    assert np.array_equal(edit(), expected)
    compiled = graphs["unique_graphs"]
    assert 0 < compiled < 3 * BLOCKS  # of two kinds, and an isolated source runs through them alone
    assert np.array_equal(edit(), expected)
    assert graphs["unique_graphs"] == compiled
