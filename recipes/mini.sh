#!/usr/bin/env bash
# Trains weights like those that ship as `mini` (what that run did otherwise: docs/log.md).
# Stop it at any time; the same command goes on where it stopped.
# More settings at the end, e.g.: recipes/mini.sh --set steps=8000
set -euo pipefail
cd "$(dirname "$0")/.."
make --no-print-directory setup
.venv/bin/relation-adapter train mini --run runs/mini "$@"
cp runs/mini/model.safetensors src/relation_adapter/weights/mini.safetensors
.venv/bin/python benchmarks/photos.py
