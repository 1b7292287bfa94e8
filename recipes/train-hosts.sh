#!/usr/bin/env bash
# Trains the directed design on several machines of eight GPUs; start it on each of them with its own RANK.
#   relation-adapter data cache QUADS.jsonl -o CACHE --model directed          # once, on one of them
#   HOSTS=4 RANK=0 MAIN=first.example recipes/train-hosts.sh CACHE RUN [--set key=value ...]
# CACHE and RUN lie on a disk that all of them see. The same commands go on where they were stopped. Where the GPUs have
# less memory, CONFIG=fsdp2.yaml spreads weights and moments over them.
set -euo pipefail
cache=${1:?name the cache} run=${2:?name a folder for the run}
accelerate=${ACCELERATE:-accelerate} config=${CONFIG:-ddp.yaml} gpus=${GPUS:-8}
hosts=${HOSTS:?how many machines} rank=${RANK:?which one this is, from 0} main=${MAIN:?name or address of machine 0}
"$accelerate" launch --config_file "$(dirname "$0")/accelerate/$config" --num_machines "$hosts" --machine_rank "$rank" \
    --main_process_ip "$main" --main_process_port "${PORT:-29500}" --num_processes $((hosts * gpus)) \
    -m relation_adapter train flux-directed --run "$run" --set cache="$cache" --set init=published \
    --set init_lora=published --set batch=$((2 * hosts * gpus)) --set compile=true "${@:3}"
