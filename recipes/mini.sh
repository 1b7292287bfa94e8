#!/usr/bin/env bash
# Trains weights like those that ship as `mini` (what that run did otherwise: docs/log.md).
# Stop it at any time; the same command goes on where it stopped.
# More settings at the end, e.g.: recipes/mini.sh --set steps=8000
set -euo pipefail
cd "$(dirname "$0")/.."
make --no-print-directory setup
.venv/bin/relation-adapter train mini --run runs/mini-64 "$@"
.venv/bin/relation-adapter train mini --run runs/mini --set init=runs/mini-64/model.safetensors \
    --set model.exemplar_size=128 --set model.native_area=16384 --set data.size=128 \
    --set 'data.shapes=[[128,128],[128,128],[128,128],[128,128],[128,128],[96,128],[160,96],[64,64]]' \
    --set steps=1000 --set learning_rate=0.0011 --set decay=0.7
cp runs/mini/model.safetensors src/relation_adapter/weights/mini.safetensors
.venv/bin/python benchmarks/mini.py --run runs/mini --model runs/mini/model.safetensors
