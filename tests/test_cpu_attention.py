"""Attention with gradients on a CPU gives what PyTorch's own gives."""

from __future__ import annotations

import pytest
import torch
from test_train_loop import features, gradients
from tiny_edits import random
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from relation_adapter.model import cpu_attention
from relation_adapter.model.components import tiny


def _given(dtype: torch.dtype) -> list[Tensor]:
    shapes = ((3, 2, 5, 16), (3, 2, 7, 16), (3, 2, 7, 16))
    return [random(*shape, seed=seed).to(dtype).requires_grad_() for seed, shape in enumerate(shapes)]


@pytest.mark.parametrize("at_once", [1, 2, 3])  # pictures
@pytest.mark.parametrize("mask", ["none", "each", "one"])
def test_it_is_the_fused_attention_with_its_gradients(at_once: int, mask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_attention, "SCORES", at_once * 2 * 5 * 7)
    counts = {"none": None, "each": torch.tensor([7, 4, 1]), "one": torch.tensor([4])}[mask]
    seen = None if counts is None else (torch.arange(7) < counts[:, None])[:, None, None]
    found = []
    for attend in (scaled_dot_product_attention, cpu_attention.attention):
        given = _given(torch.float32)
        out = attend(*given, seen)
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


def test_a_model_is_trained_with_it_to_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    components, batch = tiny("mini"), features("mini")
    exact = gradients(components, batch)
    calls, attention = [], cpu_attention.attention
    monkeypatch.setattr(cpu_attention, "attention", lambda *given: calls.append(1) or attention(*given))
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(components, batch)
    assert calls
    for name, one in exact.items():
        assert (found[name] - one).norm() <= 0.05 * one.norm() + 1e-6, name
