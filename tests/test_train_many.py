"""Many processes do what one does: joined by DDP, or with the weights spread over them by FSDP2."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from diffusers.models.transformers import transformer_flux
from training_processes import TINY, newest, run, same

from relation_adapter.data.dataset import ProceduralBatches
from relation_adapter.errors import UsageError
from relation_adapter.model.weights import load_model
from relation_adapter.train.loop import train
from relation_adapter.train.shares import Share, share_of

RECIPES = Path(__file__).parents[1] / "recipes" / "accelerate"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, that takes each batch in two parts."""
    return run(replace(TINY, accumulate=2), tmp_path_factory.mktemp("one"))


def largest_difference(first: Path, second: Path) -> float:
    one, two = newest(first), newest(second)
    assert one.keys() == two.keys()
    return max((one[name] - two[name]).abs().max().item() for name in one if not name.startswith("moments."))


def test_two_processes_equal_one_bit_by_bit(one: Path, tmp_path: Path) -> None:
    """Weights, average and moments: what each adds up in two parts, two processes add up from one part each."""
    assert same(newest(run(TINY, tmp_path, processes=2)), newest(one))


def test_parts_of_a_batch_add_up_to_the_batch(one: Path, tmp_path: Path) -> None:
    train(TINY, tmp_path)
    assert largest_difference(one, tmp_path) < 3e-3  # Muon makes steps of a fixed size from differences of 1e-7


def test_weights_spread_over_processes_are_saved_for_one(one: Path, tmp_path: Path) -> None:
    """FSDP2: the trained file and the checkpoint are whole, and one process goes on from the latter."""
    run(replace(TINY, steps=4, decay=0.0), tmp_path, processes=2, kind="fsdp2")
    shapes = {name: tensor.shape for name, tensor in newest(one).items()}
    assert {name: tensor.shape for name, tensor in newest(tmp_path).items()} == shapes
    trained = load_model(tmp_path / "model.safetensors")
    averaged = {name.removeprefix("ema."): value for name, value in newest(tmp_path).items() if name[:4] == "ema."}
    for name, weight in trained.adapter.state_dict().items():
        assert torch.equal(weight, averaged[f"adapter.{name}"].bfloat16().float())
    train(replace(TINY, steps=6, decay=0.0), tmp_path)
    train(replace(TINY, steps=6, decay=0.0, accumulate=2), tmp_path / "alone")
    assert largest_difference(tmp_path, tmp_path / "alone") < 3e-3


@pytest.mark.skipif(not find_spec("deepspeed"), reason="needs DeepSpeed")
def test_deepspeed_goes_on_and_does_what_one_process_does(tmp_path: Path) -> None:
    config = replace(TINY, optimizer="adamw", decay=0.0)
    run(replace(config, steps=4), tmp_path / "parts", processes=2, kind="deepspeed")
    run(config, tmp_path / "parts", processes=2, kind="deepspeed")
    run(config, tmp_path / "whole", processes=2, kind="deepspeed")
    assert same(newest(tmp_path / "parts"), newest(tmp_path / "whole"))
    with pytest.raises(UsageError, match="go on with DeepSpeed"):
        train(config, tmp_path / "parts")
    train(config, tmp_path / "alone")
    alone, whole = newest(tmp_path / "alone"), newest(tmp_path / "whole")
    assert all((alone[name] - value).abs().max() < 3e-3 for name, value in whole.items())


def test_each_process_takes_its_own_quads() -> None:
    batches = ProceduralBatches(TINY.data, 4, 3, seed=0)
    parts = [share_of(4, process, 2, accumulate=1) for process in range(2)]
    assert parts == [[slice(0, 2)], [slice(2, 4)]]
    shares = [Share(batches, rows[0])[1] for rows in parts]
    whole = batches[1]
    assert torch.equal(torch.cat([share.target for share in shares]), whole.target)
    assert shares[0].tasks + shares[1].tasks == whole.tasks
    assert share_of(8, 1, 2, accumulate=2) == [slice(4, 6), slice(6, 8)]


def test_a_batch_that_cannot_be_shared_evenly_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"batch=4 cannot be shared evenly by .* accumulate=3"):
        train(replace(TINY, accumulate=3), tmp_path)


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "deepspeed"])
def test_the_recipes_are_such_that_accelerate_takes_them(name: str) -> None:
    """It refuses keys that it does not know."""
    config = load_config_from_file(str(RECIPES / f"{name}.yaml"))
    assert config.mixed_precision == "no" and config.num_processes == 8
    blocks = config.fsdp_config.get("fsdp_transformer_layer_cls_to_wrap", "") if name == "fsdp2" else ""
    assert all(hasattr(transformer_flux, block) for block in blocks.split(",") if block)
