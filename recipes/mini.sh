#!/usr/bin/env bash
# Trains the weights that ship as `mini`. Stop it at any time; the same command goes on where it stopped.
# More settings at the end, e.g.: recipes/mini.sh --set steps=8000
set -euo pipefail
cd "$(dirname "$0")/.."
make --no-print-directory setup
.venv/bin/relation-adapter train mini --run runs/mini "$@"
cp runs/mini/model.safetensors src/relation_adapter/weights/mini.safetensors
.venv/bin/python benchmarks/photos.py
