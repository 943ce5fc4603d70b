#!/usr/bin/env bash
# Makes baselines/smoke.json anew: smoke trained from five seeds, each accepted. About 5 minutes on a
# quiet machine, and quiet it must be: speeds are accepted too. Commit everything else first, since
# each accepted run carries the commit. The rules in the file stay.
#
#     scripts/accept_smoke.sh [STORE]        ldmbench is the one on the PATH, or $LDMBENCH
set -euo pipefail
cd "$(dirname "$0")/.."
ldmbench=${LDMBENCH:-ldmbench}
store=${1:-$(mktemp -d)}
export OMP_NUM_THREADS=1 LDMBENCH_MLFLOW=0
add=()
for seed in 1 2 3 4 0; do
    sets=()
    for model in ldm.denoiser ldm.autoencoder pixel.denoiser; do
        sets+=(--set "models.$model.train_seed=$seed")
    done
    "$ldmbench" run suites/smoke.yaml --store "$store" "${sets[@]}"
    "$ldmbench" accept --store "$store" -o baselines/smoke.json "${add[@]}"
    add=(--add)
done
