#!/usr/bin/env bash
# check_greedy.sh MPIEXEC RANKS CAUCUS TOOL MODEL GOLDEN: 200 greedy steps from BOS must give the golden's ids and text.
set -euo pipefail
mpiexec=$1 ranks=$2 caucus=$3 tool=$4 model=$5 golden=$6
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$mpiexec" -n "$ranks" "$caucus" run -m "$model" -p "" --raw -n 200 -c 512 --temperature 0 --json >"$scratch/answer.json"
"$tool" greedy "$golden" "$scratch/answer.json"
