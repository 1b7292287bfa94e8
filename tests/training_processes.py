"""Runs of training in processes of their own, to kill or to join; forked from one that has imported all, so fast."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from forked import fork
from safetensors.torch import load_file

from relation_adapter.data.dataset import ProceduralMix
from relation_adapter.model.components import tiny_design
from relation_adapter.train import loop
from relation_adapter.train.checkpoints import STATE_NAME, checkpoints
from relation_adapter.train.presets import PRESETS, TrainConfig
from relation_adapter.train.processes import make_accelerator

TINY = replace(
    PRESETS["debug"],
    model=tiny_design("mini"),
    data=ProceduralMix(size=32, shapes=((32, 32), (24, 40)), two_pairs=0.2, scene_share=0.0),
    steps=6,
    batch=4,
    precision="float32",
    threads=1,
    workers=0,
    save_every=2,
    validate_every=1000,
    tracker="none",
)


def start(config: TrainConfig, folder: Path, processes: int = 1, kind: str = "") -> list[Any]:
    """Begin a run over this many processes, by DDP, or another kind of `MAKERS`."""
    return start_joined(processes, _train, config, folder, kind)


def start_joined(processes: int, work: Callable[..., object], *given: Any) -> list[Any]:
    """Begin a function of a module in this many processes, that find each other where they are more than one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [fork(_joined, work, given, rank, processes, port) for rank in range(processes)]


def run(config: TrainConfig, folder: Path, processes: int = 1, kind: str = "") -> Path:
    """The same to its end; returns the folder."""
    started = start(config, folder, processes, kind)
    for process in started:
        process.join(240)
    assert [process.exitcode for process in started] == [0] * processes
    return folder


def newest(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a run's newest checkpoint."""
    return load_file(checkpoints(folder)[0] / STATE_NAME)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Bit by bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def _joined(work: Callable[..., object], given: tuple[Any, ...], rank: int, processes: int, port: int) -> None:
    if processes > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
        os.environ |= {"LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    work(*given)


def _train(config: TrainConfig, folder: Path, kind: str) -> None:
    loop.make_accelerator = MAKERS[kind]
    loop.train(config, folder)


def _fsdp2(config: TrainConfig) -> Accelerator:
    """What recipes/accelerate/fsdp2.yaml asks for; of its own accord accelerate shards on GPUs alone."""
    accelerator = make_accelerator(config)
    accelerator.state.distributed_type = DistributedType.FSDP
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=["FluxTransformerBlock", "FluxSingleTransformerBlock"],
        reshard_after_forward=True,
        cpu_ram_efficient_loading=False,
    )
    return accelerator


def _deepspeed(config: TrainConfig) -> Accelerator:
    """What recipes/accelerate/deepspeed.yaml asks for; without a GPU accelerate counts only one process then."""
    processes, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
    os.environ |= {"DS_ACCELERATOR": "cpu", "ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"}
    accelerator = Accelerator(mixed_precision="no", gradient_accumulation_steps=config.accumulate)
    for state in (PartialState(), accelerator.state):
        state.num_processes, state.process_index, state.local_process_index = processes, rank, rank
    return accelerator


MAKERS = {"": make_accelerator, "fsdp2": _fsdp2, "deepspeed": _deepspeed}
