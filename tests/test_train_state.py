"""What a run goes on from: whole checkpoints, the newest good one, whatever was done to the process or the disk."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from training_processes import TINY, newest, run, same, start

from relation_adapter.errors import InputError, UsageError, WeightsError
from relation_adapter.train import checkpoints as on_disk
from relation_adapter.train.checkpoints import CHECKPOINTS_NAME, STATE_NAME, checkpoints
from relation_adapter.train.loop import train
from relation_adapter.train.presets import TrainConfig

KILLS = int(os.environ.get("RELATION_ADAPTER_KILLS", "8"))
LONG = replace(TINY, steps=3 * KILLS, batch=2, save_every=1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    train(LONG, folder)
    return folder


def copy(whole: Path, folder: Path) -> Path:
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    return folder


def cut(path: Path) -> None:
    file = path / STATE_NAME
    file.write_bytes(file.read_bytes()[:-100])


# Kills


def kill_at_random(config: TrainConfig, folder: Path, kills: int) -> list[int]:
    """Start a run and kill it, again and again, while it starts or some steps later; returns the steps it had saved."""
    rng, steps = random.Random(), []
    for _ in range(kills):
        before = checkpoints(folder)[:1]
        (process,) = start(config, folder)
        if rng.random() < 0.25:
            process.join(rng.uniform(0.0, 1.0))
        else:
            while process.is_alive() and checkpoints(folder)[:1] == before:
                process.join(0.01)
            process.join(rng.uniform(0.0, 0.2))
        process.kill()
        process.join()
        found = checkpoints(folder)
        steps.append(int(found[0].name) if found else 0)
    return steps


def test_a_run_killed_at_random_moments_ends_as_an_unbroken_one(whole: Path, tmp_path: Path) -> None:
    steps = kill_at_random(LONG, tmp_path, KILLS)
    assert steps == sorted(steps) and steps[-1] > 0
    run(LONG, tmp_path)
    assert same(newest(whole), newest(tmp_path))
    assert same(*(load_file(folder / "model.safetensors") for folder in (whole, tmp_path)))
    assert sorted(os.listdir(tmp_path / CHECKPOINTS_NAME)) == [path.name for path in reversed(checkpoints(whole))]


# The newest good one


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(whole: Path, tmp_path: Path) -> None:
    copy(whole, tmp_path)
    cut(checkpoints(tmp_path)[0])
    told: list[str] = []
    train(LONG, tmp_path, told.append)
    assert any("passed over" in line and checkpoints(whole)[0].name in line for line in told)
    assert any(f"going on from step {LONG.steps - 1} " in line for line in told)
    assert same(newest(whole), newest(tmp_path))
    assert (tmp_path / CHECKPOINTS_NAME / f"{checkpoints(whole)[0].name}.damaged").is_dir()


def test_a_run_whose_checkpoints_are_all_damaged_is_refused(whole: Path, tmp_path: Path) -> None:
    copy(whole, tmp_path)
    for path in checkpoints(tmp_path):
        cut(path)
    with pytest.raises(WeightsError, match="choose another run folder"):
        train(LONG, tmp_path)
    assert len(list((tmp_path / CHECKPOINTS_NAME).iterdir())) == LONG.keep  # nothing is thrown away


def test_the_one_file_of_earlier_versions_is_gone_on_from(whole: Path, tmp_path: Path) -> None:
    """Its config lacks the settings that came later; those have their defaults."""
    with safe_open(checkpoints(whole)[1] / STATE_NAME, "pt") as file:
        config = json.loads(file.metadata()["config"])
        for name in ("accumulate", "rates", "trains", "schedule", "keep"):
            del config[name]
        metadata = {"step": file.metadata()["step"], "config": json.dumps(config)}
        save_file({name: file.get_tensor(name) for name in file.keys()}, tmp_path / STATE_NAME, metadata)  # noqa: SIM118
    train(LONG, tmp_path)
    assert same(newest(whole), newest(tmp_path))
    assert not (tmp_path / STATE_NAME).exists() or len(checkpoints(tmp_path)) <= LONG.keep


def test_a_large_state_lies_in_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_disk, "SHARD_BYTES", 100_000)
    train(replace(LONG, steps=2), tmp_path)
    first, second = reversed(checkpoints(tmp_path))
    assert len(list(second.iterdir())) > 2 and STATE_NAME in os.listdir(second)
    (second / "state-1.safetensors").unlink()
    told: list[str] = []
    train(replace(LONG, steps=2), tmp_path, told.append)
    assert any("going on from step 1 " in line for line in told) and first.is_dir()
    assert "state-1.safetensors" in os.listdir(second)  # made again


def test_a_checkpoint_of_another_run_is_not_gone_on_from(whole: Path) -> None:
    with pytest.raises(UsageError, match=r"seed=0, not 1.*another --run folder"):
        train(replace(LONG, seed=1), whole)


# A disk that refuses


def test_a_full_disk_leaves_the_last_state_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(replace(LONG, steps=1), tmp_path)

    def full(tensors: Mapping[str, torch.Tensor], path: Path, metadata: Any) -> None:
        save_file(dict(list(tensors.items())[:3]), path)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(on_disk, "save_file", full)
    with pytest.raises(InputError, match=r"No space left on device.*last saved state is safe"):
        train(replace(LONG, steps=2), tmp_path)
    assert [path.name for path in (tmp_path / CHECKPOINTS_NAME).iterdir()] == ["0000001"]
    monkeypatch.undo()
    train(replace(LONG, steps=2), tmp_path)
    assert [path.name for path in checkpoints(tmp_path)] == ["0000002", "0000001"]
