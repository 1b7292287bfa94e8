"""Training: the loss goes down, a stopped run ends at the same weights, and bad settings are refused."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from training_processes import newest, same, start_joined

from relation_adapter.cli import main
from relation_adapter.config import override
from relation_adapter.data.dataset import ProceduralBatches, ProceduralMix
from relation_adapter.errors import InputError, UsageError
from relation_adapter.model.components import build
from relation_adapter.model.weights import load_model, read_info
from relation_adapter.train import run
from relation_adapter.train.checkpoints import checkpoints
from relation_adapter.train.loop import train
from relation_adapter.train.loss import RELATIVE_FLOOR, flow_errors, weigh
from relation_adapter.train.optimizers import learning_rate
from relation_adapter.train.presets import PRESETS

SHORT = ["steps=6", "save_every=2", "validate_every=100", "batch=2", "threads=1"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    run("debug", SHORT, folder)
    return folder


def same_weights(first: Path, second: Path) -> bool:
    return same(newest(first), newest(second))


def start(folder: Path, *settings: str) -> Any:
    """A process of `run`."""
    (process,) = start_joined(1, run, "debug", [*SHORT, *settings], folder)
    return process


def wait_for_state(folder: Path, process: Any) -> None:
    deadline = time.monotonic() + 240
    while not checkpoints(folder):
        assert process.is_alive() and time.monotonic() < deadline, "the run ended before it saved a state"
        time.sleep(0.01)


# Batches


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    mix = ProceduralMix(shapes=((64, 64), (48, 80)), two_pairs=0.5, core=("brighten",), core_share=0.5)
    one, two = (ProceduralBatches(mix, 3, 10, seed=5) for _ in range(2))
    for step in (7, 0, 7):
        assert torch.equal(one[step].target, two[step].target) and torch.equal(one[step].before, two[step].before)
    assert not torch.equal(one[0].source.mean((1, 2, 3)), one[1].source.mean((1, 2, 3)))


def test_batches_have_every_asked_shape_and_number_of_pairs() -> None:
    mix = ProceduralMix(shapes=((64, 64), (48, 80)), two_pairs=0.5)
    every = ProceduralBatches(mix, 2, 20, seed=0)
    batches = [every[step] for step in range(20)]
    assert {tuple(batch.source.shape[-2:]) for batch in batches} == {(64, 64), (48, 80)}
    assert {batch.before.shape[1] for batch in batches} == {1, 2}
    assert all(batch.source.shape == batch.target.shape for batch in batches)
    assert all(-1 <= batch.source.min() and batch.source.max() <= 1 for batch in batches)


# The loss


def test_an_untrained_model_errs_by_the_velocity_itself() -> None:
    config = PRESETS["debug"]
    components = build(config.model, seed=0)  # its first velocity is zero
    batch = ProceduralBatches(config.data, 4, 1, seed=0)[0]
    errors = flow_errors(components, batch, torch.tensor([0.1, 0.5, 0.9, 1.0]), torch.Generator())
    nothing = (batch.source - batch.target).square().mean((1, 2, 3))
    assert torch.allclose(errors, nothing, rtol=1e-4)
    assert weigh(errors, batch, "relative") < 1
    assert torch.isclose(weigh(errors, batch, "none"), nothing.mean(), rtol=1e-4)
    root = errors / (nothing + RELATIVE_FLOOR).sqrt()
    assert torch.isclose(weigh(errors, batch, "root"), root.mean(), rtol=1e-4)


def test_training_on_one_task_lowers_its_error(tmp_path: Path) -> None:
    config = override(
        PRESETS["debug"], ["steps=20", "batch=4", "warmup=5", "learning_rate=0.003", "validate_every=1000", "threads=1"]
    )
    config = override(config, ['data.core=["negative"]', "data.core_share=1.0", "data.scene_share=0.0"])
    train(config, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    ratios = [row["ratio"] for row in rows if "ratio" in row]
    assert ratios[-1] < 0.8 * ratios[0]


def test_designs_that_cannot_be_trained_yet_say_so() -> None:
    config = override(PRESETS["debug"], ["model.text=instruction"])
    batch = ProceduralBatches(config.data, 1, 1, seed=0)[0]
    with pytest.raises(UsageError, match="text=none"):
        flow_errors(build(config.model, seed=0), batch, torch.ones(1), torch.Generator())


# Going on


def test_a_killed_run_ends_at_the_same_weights(whole: Path, tmp_path: Path) -> None:
    process = start(tmp_path)
    wait_for_state(tmp_path, process)
    process.kill()
    process.join()
    run("debug", SHORT, tmp_path)
    assert same_weights(whole, tmp_path)
    models = [load_file(folder / "model.safetensors") for folder in (whole, tmp_path)]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0].keys() | models[1].keys())


def test_an_interrupted_run_saves_the_step_it_is_at(tmp_path: Path) -> None:
    process = start(tmp_path, "steps=100000", "save_every=1")
    wait_for_state(tmp_path, process)
    os.kill(process.pid, signal.SIGINT)
    process.join(240)
    assert process.exitcode
    (before, *_) = checkpoints(tmp_path)
    run("debug", [*SHORT, "steps=1", "save_every=1"], tmp_path)  # nothing left to do
    assert checkpoints(tmp_path)[0] == before


def test_workers_change_nothing(whole: Path, tmp_path: Path) -> None:
    run("debug", [*SHORT, "workers=2"], tmp_path)
    assert same_weights(whole, tmp_path)


def test_a_run_of_two_steps_goes_on_to_four_and_edits(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for steps in (2, 4):
        words = [word for one in [*SHORT, f"steps={steps}"] for word in ("--set", one)]
        assert main(["train", "debug", "--run", str(tmp_path / "run"), *words]) == 0
    told = capfd.readouterr()
    assert "going on from step 2 of 4" in told.err
    for name, value in (("before", 90), ("after", 160)):
        Image.new("RGB", (32, 32), (value, value, value)).save(tmp_path / f"{name}.png")
    before, after, out = (str(tmp_path / f"{name}.png") for name in ("before", "after", "out"))
    assert main(["edit", "--model", told.out.split()[-1], "--pair", before, after, before, "-o", out]) == 0
    with Image.open(out) as made:
        assert made.size == (32, 32)


def test_other_settings_need_another_folder(whole: Path) -> None:
    with pytest.raises(UsageError, match=r"batch=2, not 3.*another --run folder"):
        run("debug", [*SHORT, "batch=3"], whole)
    with pytest.raises(UsageError, match="learning_rte"):
        run("debug", ["learning_rte=1"], whole)
    with pytest.raises(UsageError, match="Did you mean debug"):
        run("debgu", [], whole)


def test_a_loss_that_is_no_number_stops_and_keeps_the_state(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="last saved state is safe"):
        run("debug", [*SHORT, "steps=50", "learning_rate=1e20", "optimizer=adamw", "warmup=1", "clip=1e30"], tmp_path)


# What comes out


def test_the_weights_file_tells_where_it_comes_from(whole: Path) -> None:
    design, provenance = read_info(whole / "model.safetensors")
    assert design == PRESETS["debug"].model
    assert provenance["steps"] == 6 and provenance["quads"] == 12 and provenance["seed"] == 0
    parameters = load_model(whole / "model.safetensors").transformer.parameters()
    assert all(torch.isfinite(parameter).all() for parameter in parameters)


def test_the_rate_rises_stays_and_falls() -> None:
    config = override(PRESETS["mini"], ["steps=1000", "warmup=100", "decay=0.3", "learning_rate=0.001"])
    rates = [learning_rate(config, step) for step in range(1000)]
    assert np.all(np.diff(rates[:100]) > 0) and set(rates[100:700]) == {0.001} and np.all(np.diff(rates[701:]) < 0)
    assert rates[-1] > 0


def test_a_run_begins_with_the_weights_of_a_file(whole: Path, tmp_path: Path) -> None:
    first = whole / "model.safetensors"
    run("debug", [*SHORT, f"init={first}", "learning_rate=0", "weight_decay=0", "seed=9"], tmp_path)
    made, began = load_file(tmp_path / "model.safetensors"), load_file(first)
    assert all(torch.allclose(made[key].float(), began[key].float(), atol=1e-2) for key in began)
    provenance = read_info(tmp_path / "model.safetensors")[1]
    assert provenance["began_with"]["steps"] == 6
    assert provenance["train"]["init"] is True
    with pytest.raises(UsageError, match="do not fit the model"):
        run("debug", [*SHORT, f"init={first}", "model.token_dim=32"], tmp_path / "other")
