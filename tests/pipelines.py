"""Tiny pipelines and what tests ask of them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from PIL import Image
from samples import noise

from relation_adapter import Relation, RelationPipeline
from relation_adapter.editor import Pair
from relation_adapter.model.components import tiny

DESIGNS = ("published", "directed", "mini")


def pipeline(name: str, seed: int = 0) -> RelationPipeline:
    pipe = RelationPipeline.from_components(tiny(name, seed))
    pipe.set_progress_bar_config(disable=True)
    return pipe


@cache
def shared(name: str) -> RelationPipeline:
    """One pipeline for all tests that leave it as it is."""
    return pipeline(name)


def pair(seed: int = 1) -> Pair:
    return noise(30, 40, 2 * seed), noise(30, 40, 2 * seed + 1)


def source(seed: int = 0, width: int = 32, height: int = 32) -> Image.Image:
    return noise(width, height, 100 + seed)


@cache
def relation(name: str, seed: int = 1) -> Relation:
    return shared(name).encode_relation([pair(seed)])


def edit(pipe: RelationPipeline, **options: Any) -> Any:
    """Tokens of the results, (N, L, C); a seed and one source unless given."""
    if "generator" not in options:
        options.setdefault("seed", 0)
    return pipe(**{"image": source(), "output_type": "latent"} | options).images


def largest(a: Any, b: Any) -> float:
    a, b = (np.asarray(one, dtype=np.float64) for one in (a, b))
    assert a.shape == b.shape
    return float(np.abs(a - b).max())
