#!/usr/bin/env bash
# check_correction.sh MPIEXEC CAUCUS MODEL POLICY [OPTION...]: with --correct-every T the row behind every T-th token
# is that of dense attention, bit for bit: the keys and values it reads have all been computed densely.
set -euo pipefail
mpiexec=$1 caucus=$2 model=$3 policy=$4
shift 4
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
n_prompt=60
printf '{"ids": [%s], "prompt_tokens": %d}\n' "$(seq -s ', ' 3 5 500)" $n_prompt >"$scratch/in.jsonl" # 100 tokens

logprobs() { # logprobs RANKS OPTION...: one to a line
    "$mpiexec" -n "$1" "$caucus" score -m "$model" --input "$scratch/in.jsonl" "${@:2}" |
        grep -o '"logprobs": \[[^]]*' | sed 's/.*\[//' | tr -d ' ' | tr , '\n'
}

logprobs 1 >"$scratch/dense"
logprobs 1 --policy "$policy" "$@" >"$scratch/sparse"
[ "$(wc -l <"$scratch/dense")" -ge 99 ] || { echo "only $(wc -l <"$scratch/dense") rows"; exit 1; }
if cmp -s "$scratch/dense" "$scratch/sparse"; then echo "$policy is dense here" && exit 1; fi

for every in 1 4 7; do
    # Room for less than a correction, too; and more ranks.
    logprobs 1 --policy "$policy" "$@" --correct-every $every >"$scratch/corrected"
    logprobs 2 --policy "$policy" "$@" --correct-every $every --batch-tokens 3 >"$scratch/chunked"
    cmp "$scratch/corrected" "$scratch/chunked"
    paste -d ' ' "$scratch/dense" "$scratch/corrected" | awk -v n_prompt=$n_prompt -v every=$every '
        NR > n_prompt && (NR - n_prompt) % every == 0 && $1 != "null" { n++; if ($1 != $2) { print "row", NR, $0; bad = 1 } }
        END { exit bad || n < int((99 - n_prompt) / every) }'
done
