#!/usr/bin/env bash
#SBATCH --job-name=relation-adapter
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --requeue
# A Ray cluster on the machines of a Slurm job, and one command of relation-adapter on it:
#   sbatch recipes/scale-slurm.sh edit --quads quads.jsonl -o batch/ --model flux-dev --weights weights/
# The command gets --ray and goes on where it was stopped: a job that is requeued, or submitted again, loses nothing.
# All machines see the same paths, and each has relation-adapter with the extra `ray` on its PATH.
set -euo pipefail
command=${RELATION_ADAPTER:-relation-adapter} ray=${RAY:-ray} port=${PORT:-6379}
nodes=${SLURM_JOB_NUM_NODES:?run this with sbatch} cpus=${SLURM_CPUS_PER_TASK:-1} gpus=${SLURM_GPUS_ON_NODE:-0}
# Only who has this token may use the cluster; it lies in the home folder, which all machines see.
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
"$ray" get-auth-token --generate > /dev/null
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | awk 'NR == 1')
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}'):$port
trap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT
srun --nodes=1 --ntasks=1 --nodelist="$head" "$ray" start --head --node-ip-address="${address%:*}" --port="$port" \
    --num-cpus="$cpus" --num-gpus="$gpus" --include-dashboard=false --block > ray-head.log 2>&1 &
until "$ray" health-check --address "$address" > /dev/null 2>&1; do kill -0 $!; sleep 2; done
if [ "$nodes" -gt 1 ]; then
    srun --nodes=$((nodes - 1)) --ntasks=$((nodes - 1)) --exclude="$head" "$ray" start --address="$address" \
        --num-cpus="$cpus" --num-gpus="$gpus" --block > ray-workers.log 2>&1 &
    until [ "$("$ray" status --address "$address" 2> /dev/null | grep -c '^ 1 node_')" -ge "$nodes" ]; do kill -0 $!; sleep 2; done
fi
"$command" "$@" --ray "$address"
