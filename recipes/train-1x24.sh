#!/usr/bin/env bash
# Fits the published model to pairs of your own on one GPU of 24 GB: its LoRA learns on, beside a 4-bit base.
#   recipes/train-1x24.sh QUADS.jsonl RUN [--set key=value ...]
# The same command goes on where it was stopped. Needs the extras train and quant, and FLUX.1-dev (docs/flux-dev.md).
# The pictures and instructions are encoded once, into a cache, so that no encoder is in memory while it trains.
set -euo pipefail
quads=${1:?name a JSONL of quads} run=${2:?name a folder for the run} program=${RELATION_ADAPTER:-relation-adapter}
"$program" data cache "$quads" -o "$run-cache" --model published
"$program" train flux-published --run "$run" --set cache="$run-cache" \
    --set init=published --set init_lora=published --set trains=lora \
    --set quantization=nf4 --set optimizer=adamw8bit --set batch=4 --set accumulate=4 --set steps=5000 "${@:3}"
