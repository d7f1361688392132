#!/usr/bin/env bash
# caucus plan: tables, JSON, and what does not fit.
set -euo pipefail
. "$(dirname "$0")/harness.sh"
model=models/stories260K

shows plan_1.txt plan -m $model
shows plan_3.txt plan -m $model -n 3
shows plan_3_f32.json plan -m $model -n 3 --kv-type f32 -c 512 --parallel 2 --json
shows plan_moe.txt plan -m tests/data/models/tiny_qwen3_moe -n 2 --per-host 1

# Without -n: as many ranks as were started.
output=$(mpirun -n 3 "$program" plan -m $model | hide_host)
[ "$output" = "$(cat "$expected/plan_3.txt")" ] || fail "three ranks plan otherwise than -n 3"

# More ranks than KV heads share them.
shows plan_6.txt plan -m $model -n 6
shows plan_6_h2o.txt plan -m $model -n 6 --policy h2o
refuses "unknown policy 'h3o': choose one of full, lessismore, delta, h2o, rkv, refresh, quest, streaming, raas, tidal, sparsemax, sparsemax-select, tactic, multipole, emulate" \
    plan -m $model --policy h3o

# Before anything is downloaded: a config.json plans as the model does.
"$program" plan -m models/lemma -n 6 | tail -n +2 >"$scratch/model"
"$program" plan -m models/lemma/config.json -n 6 | tail -n +2 >"$scratch/shape"
cmp "$scratch/model" "$scratch/shape" || fail "a config.json plans otherwise than its model"
refuses "cannot open nowhere.json: No such file or directory" plan -m nowhere.json
refuses "models/lemma/config.json has no weights: name the folder that it is in, or a .gguf file" \
    inspect -m models/lemma/config.json
refuses "models/lemma/tokenizer.json: model_type is missing" plan -m models/lemma/tokenizer.json

# 640 bytes a token on 4 heads: 64 sequences of 2^30 tokens are 40 TiB. The table is shown all the same.
status=0
"$program" plan -m $model -c 1073741824 --parallel 64 >"$scratch/out" 2>"$scratch/err" || status=$?
[ $status = 2 ] || fail "a plan of 40 TiB: exit status $status"
grep -qE '^caucus: 1 rank with up to 68719476736 cached tokens need 40960.0 GiB and this host has [0-9.]+ GiB: ' "$scratch/err" ||
    fail "a plan of 40 TiB: $(cat "$scratch/err")"
grep -q '^total' "$scratch/out" || fail "a plan of 40 TiB shows no table"
refuses "--shares auto measures the ranks, which plan does not start: give it numbers" plan -m $model --shares auto
refuses "--shares has 3 numbers, but there are 2 ranks" plan -m $model -n 2 --shares 3,2,1
