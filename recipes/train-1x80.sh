#!/usr/bin/env bash
# Trains the directed design, LoRA and adapter, on one GPU of 80 GB.
#   recipes/train-1x80.sh QUADS.jsonl RUN [--set key=value ...]
# The same command goes on where it was stopped. Needs the extras train and quant, and FLUX.1-dev (docs/flux-dev.md).
# The adapter's keys and values begin as the published ones; its projector is new.
set -euo pipefail
quads=${1:?name a JSONL of quads} run=${2:?name a folder for the run} program=${RELATION_ADAPTER:-relation-adapter}
"$program" data cache "$quads" -o "$run-cache" --model directed
"$program" train flux-directed --run "$run" --set cache="$run-cache" --set init=published --set init_lora=published \
    --set optimizer=adamw8bit --set batch=8 --set accumulate=2 --set compile=true "${@:3}"
