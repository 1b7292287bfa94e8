"""One edit on several devices by diffusers' context parallelism: two processes of this machine make what one does."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import ContextParallelConfig
from pipelines import edit, largest, pair, pipeline
from torch import distributed
from training_processes import start_joined


def edit_together(folder: Path) -> None:
    torch.set_num_threads(1)
    torch.accelerator.device_count = lambda: 1  # type: ignore[assignment]  # diffusers counts accelerators; here are none
    distributed.init_process_group("gloo")
    for design in ("published", "directed"):
        pipe = pipeline(design)
        relation = pipe.encode_relation([pair()])
        alone, other = edit(pipe, relation=relation), edit(pipe, relation=relation, strength=0.0)
        pipe.transformer.set_attention_backend("native")
        pipe.transformer.enable_parallelism(config=ContextParallelConfig(ulysses_degree=2))
        together = edit(pipe, relation=relation)
        assert largest(alone, together) < 1e-5, (design, largest(alone, together))
        assert largest(alone, other) > 1e-3
        (folder / f"{design} {distributed.get_rank()}").touch()
    distributed.destroy_process_group()


def test_two_processes_make_the_edit_of_one(tmp_path: Path) -> None:
    both = start_joined(2, edit_together, tmp_path)
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    agreed = {f"{design} {rank}" for design in ("published", "directed") for rank in (0, 1)}
    assert agreed <= {path.name for path in tmp_path.iterdir()}
