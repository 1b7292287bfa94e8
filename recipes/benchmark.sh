#!/usr/bin/env bash
# From nothing to a page: the frozen benchmark, edited by every editor named, scored, and put into tables.
# Stop it at any time; the same command goes on where it stopped.
#   recipes/benchmark.sh                          # 30 quads of each of 218 tasks: hours
#   COUNT=1 EVERY=3 recipes/benchmark.sh          # one quad of every third task: minutes
#   EDITORS='mini identity runs/mine.safetensors' STRENGTHS= METRICS=pixels,dense,clip_i recipes/benchmark.sh
# VLM=NAME judges mini against identity too; its server and key: relation-adapter evaluate judge --help.
set -euo pipefail
cd "$(dirname "$0")/.."
run=${RUN:-runs/benchmark} count=${COUNT:-30} every=${EVERY:-1}
editors=${EDITORS-mini identity image_analogies} strengths=${STRENGTHS-0.5 2}
[[ -n ${RELATION_ADAPTER-} ]] || make --no-print-directory setup
program=${RELATION_ADAPTER:-.venv/bin/relation-adapter}
quads=$run/quads/quads.jsonl
"$program" data procedural --benchmark $([[ $count = 30 ]] || echo --count "$count") -o "$run/quads"
if [[ $every != 1 ]]; then
    awk -v every="$every" 'NR % every == 1' "$quads" > "$run/quads/every_$every.jsonl"
    quads=$run/quads/every_$every.jsonl
fi
folders=()
edit() { # folder, flags
    folders+=("$run/$1")
    "$program" evaluate generate "$quads" -o "$run/$1" "${@:2}"
}
for editor in $editors; do edit "$(basename "${editor%.safetensors}")" --model "$editor"; done
for strength in $strengths; do edit "mini-strength-$strength" --strength "$strength"; done
"$program" evaluate score "${folders[@]}" --metrics "${METRICS:-pixels,dense}"
judged=()
if [[ -n ${VLM-} ]]; then
    "$program" evaluate judge "$run/mini" --against "$run/identity" -o "$run/judged" --vlm "$VLM"
    judged=(--judged "$run/judged")
fi
"$program" evaluate report "${folders[@]}" ${judged[@]+"${judged[@]}"} -o "$run/report"
