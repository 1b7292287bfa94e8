"""One edit on several devices by diffusers' context parallelism: two processes of this machine make what one does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path
import torch, torch.distributed as dist
from diffusers import ContextParallelConfig
sys.path.insert(0, sys.argv[1])
from pipelines import edit, largest, pair, pipeline

torch.set_num_threads(1)
torch.accelerator.device_count = lambda: 1  # diffusers counts accelerators; here are none
dist.init_process_group("gloo")
for design in ("published", "directed"):
    pipe = pipeline(design)
    relation = pipe.encode_relation([pair()])
    alone, other = edit(pipe, relation=relation), edit(pipe, relation=relation, strength=0.0)
    pipe.transformer.set_attention_backend("native")
    pipe.transformer.enable_parallelism(config=ContextParallelConfig(ulysses_degree=2))
    together = edit(pipe, relation=relation)
    assert largest(alone, together) < 1e-5, (design, largest(alone, together))
    assert largest(alone, other) > 1e-3
    (Path(sys.argv[2]) / f"{design} {dist.get_rank()}").touch()
dist.destroy_process_group()
"""


def test_two_processes_make_the_edit_of_one(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    command += [str(Path(__file__).parent), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr[-3000:]
    agreed = {f"{design} {rank}" for design in ("published", "directed") for rank in (0, 1)}
    assert agreed <= {path.name for path in tmp_path.iterdir()}
