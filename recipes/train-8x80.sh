#!/usr/bin/env bash
# Trains the directed design, LoRA and adapter, on eight GPUs of 80 GB in one machine; GPUS=4 for fewer.
#   recipes/train-8x80.sh QUADS.jsonl RUN [--set key=value ...]
# The same command goes on where it was stopped. Needs the extra train, and FLUX.1-dev (docs/flux-dev.md).
set -euo pipefail
quads=${1:?name a JSONL of quads} run=${2:?name a folder for the run} program=${RELATION_ADAPTER:-relation-adapter}
accelerate=${ACCELERATE:-accelerate} gpus=${GPUS:-8}
here=$(dirname "$0")
"$program" data cache "$quads" -o "$run-cache" --model directed
"$accelerate" launch --config_file "$here/accelerate/ddp.yaml" --num_processes "$gpus" -m relation_adapter \
    train flux-directed --run "$run" --set cache="$run-cache" --set init=published --set init_lora=published \
    --set batch=$((2 * gpus)) --set compile=true "${@:3}"
