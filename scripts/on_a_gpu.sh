#!/usr/bin/env bash
# Runs what only a GPU can show, in at most eight minutes, and writes everything under one folder:
# for a machine that is lent for a short time. Each part has its own time limit, and a part that
# fails or runs out of time leaves the others alone.
#
#     scripts/on_a_gpu.sh [--list | --dry] [FOLDER [PART...]]
#
#     --list   print the parts and their limits in seconds, and run nothing
#     --dry    run a form of each part that needs no GPU, to check the script itself
#
# $PYTHON is the interpreter that has ldmbench (python). FOLDER is gpu-results unless named. It gets
# PART.txt of every part, results.tsv (part, exit code, seconds), machine.json, and the reports.
set -uo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python}
FORM=real
case ${1:-} in
    --list | --dry) FORM=${1#--} && shift ;;
    -*) sed -n '2,13s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
OUT=${1:-gpu-results}
shift
ASKED=("$@")

# One cell of the sweep at 64 px: f = 4 of the paper's study, on a budget of minutes
SWEEP=(
    suites/downsampling_sweep.yaml --only 'ldm/shapes/ddim-20/*'
    --set models.ldm.autoencoder.regularization=kl --set models.ldm.autoencoder.f=4
    --set models.ldm.autoencoder.budget.steps=300 --set models.ldm.denoiser.checkpoints=[]
    --set models.ldm.budget.flops=5.0e13 --set sample.steps=[20] --set sample.count=1024
    --set data.shapes.train=4096 --set data.shapes.reference=2048 --set reconstruction_count=512
)

ldm() { "$PYTHON" -m ldmbench "$@"; }

# Parts: each is a function of the form (real or dry) that prints what it finds

machine() {
    "$PYTHON" -c '
import json, sys
from ldmbench.execute.probe import look
from ldmbench.store.machine import machine, versions
json.dump({"machine": machine(), "versions": versions(), "torch": look()}, sys.stdout, indent=1)
' | tee "$OUT/machine.json"
    date -u +"%n%Y-%m-%dT%H:%M:%SZ"
    git rev-parse HEAD
    nvidia-smi 2>&1 | head -40
}

doctor() { ldm doctor --store "$OUT/store" || [ "$FORM" = dry ]; }

tests() {
    if [ "$FORM" = dry ]; then
        "$PYTHON" -m pytest -m gpu --collect-only -q tests/metrics tests/speed
    else
        "$PYTHON" -m pytest -m gpu -v --durations=20 tests
    fi
}

quickstart() { run_or_plan suites/quickstart.yaml --set sample.steps=[20]; }

bench() {
    if [ "$FORM" = dry ]; then
        "$PYTHON" -m py_compile tests/bench/bench_device.py
    else
        "$PYTHON" tests/bench/bench_device.py --device cuda:0 --reps 3 --steps 10
    fi
}

sweep() { run_or_plan "${SWEEP[@]}"; }

run_or_plan() {
    if [ "$FORM" = dry ]; then
        LDMBENCH_DEVICES=cpu ldm plan "$@" --store "$OUT/store"
        return
    fi
    ldm run "$@" --store "$OUT/store"
    local code=$?
    ldm report --store "$OUT/store" --format markdown
    ldm report --store "$OUT/store" -o "$OUT/$PART.html"
    return $code
}

# Name and limit in seconds; 410 in all, and ten more for each that does not end by itself
PARTS=(machine:20 doctor:20 tests:70 quickstart:110 bench:60 sweep:130)

if [ "$FORM" = list ]; then
    printf '%s\n' "${PARTS[@]}" | tr : '\t'
    exit 0
fi

# Only the parts that are asked for
if [ ${#ASKED[@]} -gt 0 ]; then
    chosen=()
    for name in "${ASKED[@]}"; do
        found=$(printf '%s\n' "${PARTS[@]}" | grep "^$name:")
        [ -n "$found" ] || { echo "no part '$name'; there are: ${PARTS[*]%:*}" >&2; exit 2; }
        chosen+=("$found")
    done
    PARTS=("${chosen[@]}")
fi

mkdir -p "$OUT"
export OUT PYTHON FORM LDMBENCH_MLFLOW=0 LDMBENCH_OFFLINE=1
printf 'part\tcode\tseconds\n' > "$OUT/results.tsv"
worst=0
for part in "${PARTS[@]}"; do
    PART=${part%:*} limit=${part#*:} began=$SECONDS
    echo "== $PART (at most $limit s)"
    # A limit ends commands, not functions: so a part runs in a shell of its own
    export PART
    timeout --kill-after=10 "$limit" bash -c "$(declare -p SWEEP); $(declare -f); $PART" \
        > "$OUT/$PART.txt" 2>&1
    code=$?
    tail -n 3 "$OUT/$PART.txt"
    printf '%s\t%s\t%s\n' "$PART" "$code" "$((SECONDS - began))" | tee -a "$OUT/results.tsv"
    [ "$code" -eq 0 ] || worst=1
done
find "$OUT/store/runs" -name worker.log -exec cp {} "$OUT/" \; 2> /dev/null
exit "$worst"
