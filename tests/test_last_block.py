"""The last block computes only the rows that are read, and the result is that of all of them."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from tiny_edits import DESIGNS, conditions, figure, in_float64, largest, predict, relation

from relation_adapter.model import last_block
from relation_adapter.model.adapter import with_strength
from relation_adapter.model.components import Components, tiny


def last(model: Components) -> torch.nn.Module:
    return model.transformer.single_transformer_blocks[-1]


@torch.no_grad()
@pytest.mark.parametrize("name", DESIGNS)
def test_it_gives_what_all_rows_give_and_computes_the_noisy_ones(name: str) -> None:
    model = in_float64(name)
    given = conditions(model, [relation(model)])
    given = replace(given, **{part: getattr(given, part).double() for part in ("source", "text", "pooled")})
    rows: list[int] = []
    watch = last(model).proj_mlp.register_forward_hook(lambda _, taken, __: rows.append(taken[0].shape[1]))
    few = predict(model, given)
    tokens = given.source.shape[1]
    assert rows == ([tokens] if model.design.source_attention == "joint" else [1, tokens])  # of a source alone, none
    last_block.take_away(model.transformer)
    rows.clear()
    given.source_cache = None
    every = predict(model, given)
    assert (min(rows) >= tokens and max(rows) > tokens) or model.design.text == "none"
    assert figure(f"{name}: last block, few rows against all", largest(few, every)) <= 1e-12
    watch.remove()


@torch.no_grad()
@pytest.mark.parametrize("name", ["published", "directed"])
def test_it_computes_every_row_where_no_relation_acts(name: str) -> None:
    model = tiny(name)
    rows: list[int] = []
    last(model).proj_mlp.register_forward_hook(lambda _, taken, __: rows.append(taken[0].shape[1]))
    predict(model, conditions(model, [with_strength(relation(model), 0.0)]))
    assert rows[-1] > conditions(model, []).source.shape[1]


@torch.no_grad()
def test_a_copy_of_the_transformer_uses_weights_of_its_own() -> None:
    model = tiny("published")
    given = conditions(model, [relation(model)])
    before = predict(model, given)
    other = replace(model, transformer=copy.deepcopy(model.transformer))
    assert torch.equal(predict(other, given), before)
    for parameter in last(model).parameters():
        parameter.zero_()
    assert torch.equal(predict(other, given), before)
    assert largest(predict(model, given), before) > 1e-3


def test_the_stock_block_comes_back() -> None:
    model = tiny("published")
    weights = set(model.transformer.state_dict())
    assert type(last(model)) is last_block.FluxSingleTransformerBlock
    model.adapter.detach(model.transformer)
    assert type(last(model)) is last_block.StockBlock
    assert set(model.transformer.state_dict()) == weights
