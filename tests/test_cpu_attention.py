"""Attention with gradients on a CPU gives what PyTorch's own gives."""

from __future__ import annotations

import pytest
import torch
from tiny_edits import random
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from relation_adapter.model import cpu_attention


def _given(dtype: torch.dtype) -> list[Tensor]:
    shapes = ((2, 3, 5, 16), (2, 3, 7, 16), (2, 3, 7, 16))
    return [random(*shape, seed=seed).to(dtype).requires_grad_() for seed, shape in enumerate(shapes)]


@pytest.mark.parametrize("masked", [False, True])
def test_it_is_the_fused_attention_with_its_gradients(masked: bool) -> None:
    mask = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])[:, None, None] if masked else None
    found = []
    for attend in (scaled_dot_product_attention, cpu_attention.attention):
        given = _given(torch.float32)
        out = attend(*given, mask)
        out.square().sum().backward()
        found.append([out.detach(), *(x.grad for x in given)])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_it_is_for_gradients_in_bfloat16_alone() -> None:
    assert cpu_attention.is_better(_given(torch.bfloat16)[0])
    with torch.autocast("cpu", torch.bfloat16):
        assert cpu_attention.is_better(_given(torch.float32)[0])
    assert not cpu_attention.is_better(_given(torch.float32)[0])
    with torch.no_grad():
        assert not cpu_attention.is_better(_given(torch.bfloat16)[0])
