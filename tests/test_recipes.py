"""The scripts of recipes/ say what the programs they call understand, and train as benchmarks/train_full.py counts."""

from __future__ import annotations

import importlib.util
import json
import os
import runpy
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.commands.launch import launch_command_parser
from safetensors.torch import load_file, save_file

from relation_adapter import RelationPipeline
from relation_adapter.cli.app import parser
from relation_adapter.config import override, preset
from relation_adapter.header import read_header
from relation_adapter.train.presets import PRESETS, TrainConfig

ROOT = Path(__file__).parents[1]
ECHO = '#!/bin/sh\nfor word; do printf "%s\\037" "$word"; done >> "$CALLS"\necho >> "$CALLS"\n'
GIB = 2**30


@pytest.fixture(scope="module")
def train_full() -> Any:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        spec = importlib.util.spec_from_file_location("train_full", ROOT / "benchmarks" / "train_full.py")
        assert spec and spec.loader
        sys.modules["train_full"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def calls(name: str, tmp_path: Path, *given: str) -> list[list[str]]:
    """The commands that a script runs."""
    stub = tmp_path / "stub"
    stub.write_text(ECHO)
    stub.chmod(0o755)
    told = {"RELATION_ADAPTER": str(stub), "ACCELERATE": str(stub), "CALLS": str(tmp_path / "calls")}
    told |= {"HOSTS": "2", "RANK": "1", "MAIN": "first.example"}
    script = ROOT / "recipes" / f"{name}.sh"
    subprocess.run([script, *given], check=True, env=os.environ | told, cwd=tmp_path)
    return [line.split("\037")[:-1] for line in (tmp_path / "calls").read_text().splitlines()]


def config_of(words: list[str]) -> tuple[Namespace, TrainConfig]:
    options = parser().parse_args(words)
    return options, override(preset(PRESETS, options.preset), options.overrides)


@pytest.mark.parametrize("name", ["train-1x24", "train-1x80", "train-8x80", "train-hosts"])
def test_a_training_script_gives_what_is_understood_and_counted(name: str, tmp_path: Path, train_full: Any) -> None:
    way = next(way for way in train_full.WAYS if way.name == name)
    *before, training = calls(name, tmp_path, "quads.jsonl", "run", "--set", "steps=7")
    for words in before:
        assert parser().parse_args(words).quads == Path("quads.jsonl")
    gpus = 1
    if training[0] == "launch":
        launched = launch_command_parser().parse_args(training[1:])
        assert launched.module and launched.training_script == "relation_adapter"
        assert Path(launched.config_file).is_file()
        training, gpus = launched.training_script_args, launched.num_processes
    options, config = config_of(training)
    assert (options.preset, config.steps) == (way.preset, 7)
    assert way.samples == config.batch / gpus / config.accumulate
    counted = override(PRESETS[way.preset], list(way.settings))
    names = ("optimizer", "quantization", "trains", "lora_rank", "gradient_checkpointing", "model", "ema", "precision")
    assert {key: getattr(config, key) for key in names} == {key: getattr(counted, key) for key in names}


def test_the_count_of_a_step_grows_with_what_it_holds(train_full: Any) -> None:
    """On the tiny twin: known parts to the byte, and less held where blocks are computed again."""
    way = train_full.Way("x", "flux-published", 1)
    found = train_full.count(way, True)
    components = train_full.parts_of(train_full.config_of(way, True))
    every = [*components.transformer.parameters(), *components.adapter.parameters()]
    trained = sum(p.numel() for p in every if p.requires_grad)
    assert (found["trained"], found["moments"]) == (4 * trained, 8 * trained)
    assert found["weights"] == 2 * sum(p.numel() for p in every if not p.requires_grad)
    assert found["step"] > 4 * trained
    whole = train_full.Way("x", "flux-published", 1, ("gradient_checkpointing=false",))
    assert train_full.count(whole, True)["step"] > found["step"]


def test_the_mean_of_two_weights_lies_between_them_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def call(*given: object) -> None:
        monkeypatch.setattr(sys, "argv", ["mean_weights.py", *map(str, given)])
        runpy.run_path(str(ROOT / "recipes" / "mean_weights.py"), run_name="__main__")

    shipped = ROOT / "src" / "relation_adapter" / "weights" / "mini.safetensors"
    tensors, metadata = load_file(shipped), read_header(shipped).metadata
    save_file({name: 2 * value for name, value in tensors.items()}, tmp_path / "twice.safetensors", metadata)
    mean, twice = str(tmp_path / "mean.safetensors"), str(tmp_path / "twice.safetensors")
    call(shipped, twice, mean, "--share", "0.5")
    found = load_file(mean)
    assert all(torch.allclose(found[name].float(), 1.5 * value.float(), rtol=0.01) for name, value in tensors.items())
    assert json.loads(read_header(Path(mean)).metadata["provenance"])["share"] == 0.5
    RelationPipeline.from_pretrained(mean)
    save_file({"adapter.other": torch.zeros(1)}, twice, metadata)
    for given, said in (
        ([twice, mean], "give two files of one design"),
        ([mean, mean, "--share", "2"], "not from 0 to 1"),
    ):
        with pytest.raises(SystemExit, match=said):  # what Python prints, and ends with 1
            call(shipped, *given)
