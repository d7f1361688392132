#!/usr/bin/env bash
# check_golden.sh MPIEXEC RANKS CAUCUS TOOL MODEL GOLDEN [option…]: scores the golden's tokens and compares, with the
# tolerance that GOLDEN_TOLERANCE says.
set -euo pipefail
mpiexec=$1 ranks=$2 caucus=$3 tool=$4 model=$5 golden=$6
shift 6
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$tool" input "$golden" >"$scratch/in.jsonl"
positions=$("$tool" positions "$golden")
[ -z "$positions" ] || set -- "$@" --logits "$positions"
"$mpiexec" -n "$ranks" "$caucus" score -m "$model" --kv-type f32 --input "$scratch/in.jsonl" \
    --output "$scratch/out.jsonl" "$@"
"$tool" compare "$golden" "$scratch/out.jsonl" ${GOLDEN_TOLERANCE:+"$GOLDEN_TOLERANCE"}
