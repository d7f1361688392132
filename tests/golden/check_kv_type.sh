#!/usr/bin/env bash
# check_kv_type.sh MPIEXEC CAUCUS MODEL TYPE TOLERANCE: the model's logits with keys and values of this type are
# within TOLERANCE of the largest logit of those with f32.
set -euo pipefail
mpiexec=$1 caucus=$2 model=$3 type=$4 tolerance=$5
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

printf '{"ids": [%s], "prompt_tokens": 70}\n' "$(seq -s ', ' 20 7 643)" >"$scratch/in.jsonl" # 90 tokens
for kv_type in f32 "$type"; do
    "$mpiexec" -n 2 "$caucus" score -m "$model" --kv-type "$kv_type" --input "$scratch/in.jsonl" \
        --logits "$(seq -s , 60 88)" --output /dev/stdout |
        grep -o '"logits".*' | tr -d ' {}"' | sed 's/logits://; s/\],*/\n/g' | sed 's/.*\[//' | grep , >"$scratch/$kv_type"
done
[ "$(wc -l <"$scratch/f32")" = 29 ] || { echo "no rows to compare"; exit 1; }
paste -d ' ' "$scratch/f32" "$scratch/$type" | awk -v tolerance="$tolerance" '
    function size(x) { return x < 0 ? -x : x }
    { n = split($1, f32, ","); if (split($2, other, ",") != n) exit 1
      largest = difference = 0
      for (i = 1; i <= n; i++) {
          if (size(f32[i]) > largest) largest = size(f32[i])
          if (size(f32[i] - other[i]) > difference) difference = size(f32[i] - other[i])
      }
      if (difference / largest > worst) worst = difference / largest }
    END { print "largest difference " worst; exit !(worst > 0 && worst <= tolerance) }'
