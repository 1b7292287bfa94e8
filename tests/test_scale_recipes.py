"""What the recipes for clusters say is understood by the command, and by those that read it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import yaml

from relation_adapter.cli.app import parser

RECIPES = Path(__file__).parents[1] / "recipes"
STUBS = {
    "srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"',
    "scontrol": "printf 'one\\ntwo\\n'",
    "hostname": "echo 10.0.0.1 10.0.0.2",
    "ray": """echo "ray $*" >> "$CALLS"
case $1 in
    start) exec sleep 30 ;;
    health-check) grep -q -- --head "$CALLS" ;;
    status) grep '^ray start' "$CALLS" | sed 's/.*/ 1 node_a/' ;;
esac""",
    "relation-adapter": 'echo "relation-adapter $*" >> "$CALLS"; exit 1',
}


def test_the_slurm_script_starts_a_head_and_workers_and_gives_the_command_their_address(tmp_path: Path) -> None:
    for name, text in STUBS.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    told = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls"), "SLURM_GPUS_ON_NODE": "8"}
    told |= {"SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_PER_TASK": "32", "SLURM_JOB_NODELIST": "[one,two]"}
    given = ["edit", "--quads", "quads.jsonl", "-o", "batch"]
    run = subprocess.run(
        [RECIPES / "scale-slurm.sh", *given], env=os.environ | told, cwd=tmp_path, capture_output=True, timeout=25
    )
    calls = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
    assert run.returncode == 1  # the command's own
    starts = [call for call in calls if call[1] == "start"]
    assert ["--head" in call for call in starts] == [True, False]
    assert all("--num-gpus=8" in call and "--block" in call for call in starts)
    assert "--address=10.0.0.1:6379" in starts[1]
    options = parser().parse_args(calls[-1][1:])
    assert (options.ray, options.quads) == ("10.0.0.1:6379", Path("quads.jsonl"))


def test_the_kubernetes_job_is_one_and_its_command_is_understood() -> None:
    job = yaml.safe_load((RECIPES / "scale-kuberay.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    assert set(spec) == {
        "entrypoint",
        "backoffLimit",
        "shutdownAfterJobFinishes",
        "ttlSecondsAfterFinished",
        "rayClusterSpec",
    }
    options = parser().parse_args(spec["entrypoint"].split()[1:])
    cluster = spec["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    assert options.ray == "auto" and options.ray_workers == workers["replicas"] == workers["maxReplicas"]
    pods = [group["template"]["spec"]["containers"][0] for group in (cluster["headGroupSpec"], workers)]
    assert len({pod["image"] for pod in pods}) == 1
    assert pods[1]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    lock = (RECIPES.parent / "requirements.lock.txt").read_text()
    assert f"\nray=={cluster['rayVersion']}\n" in lock
