#!/usr/bin/env bash
# tools/bench-dllama against a peer that prints what distributed-llama does: turns, medians, ratios, the ends of workers.
set -euo pipefail
. "$(dirname "$0")/../cli/harness.sh"

# 10, 20, 30 … tokens per second for the prompt, a tenth of it for what follows; the tokenizer puts one token in front.
cat >"$scratch/dllama" <<'PEER'
#!/usr/bin/env bash
here=$(dirname "$0")
echo "$*" >>"$here/calls"
if [ "$1" = worker ]; then
    echo $$ >>"$here/workers"
    exec sleep 1000
fi
n=$(grep -c ^inference "$here/calls")
printf 'Evaluation\n   nBatches: 32\n    nTokens: 9\n   tokens/s: %d.00 (1.00 ms/tok)\n' $((10 * n))
printf 'Prediction\n    nTokens: 4\n   tokens/s: %d.00 (1.00 ms/tok)\n' "$n"
PEER
chmod +x "$scratch/dllama"

compare() {
    tools/bench-dllama --dllama "$scratch/dllama" --dllama-model x.m --tokenizer x.t --worker 127.0.0.1:9991 --words 8 -n 4 \
        "$@" 2>"$scratch/err"
}

cat >"$scratch/ours" <<'OURS'
#!/usr/bin/env bash
echo '[{"avg_ts": 40}]'
OURS
chmod +x "$scratch/ours"

compare -m x.gguf --rounds 3 --caucus "one=$scratch/ours bench" --caucus "two=$scratch/ours bench" >"$scratch/out" ||
    fail "$(cat "$scratch/err")"
[ "$(grep -c '^| prefill of 9 | 20.00 (10.00–30.00) |' "$scratch/out")" = 2 ] || fail "$(cat "$scratch/out")"
[ "$(grep -c '^| decode behind 9 | 2.00 (1.00–3.00) |' "$scratch/out")" = 2 ] || fail "$(cat "$scratch/out")"
[ "$(cut -d, -f2 "$scratch/err" | tr -d '\n')" = " distributed-llama one two two one distributed-llama distributed-llama one two" ] ||
    fail "$(cat "$scratch/err")"
grep -qxF -- "inference --model x.m --tokenizer x.t --buffer-float-type q80 --temperature 0 --prompt a b c d e f g h --steps 13 --max-seq-len 13 --nthreads 1 --workers 127.0.0.1:9991" \
    "$scratch/calls" || fail "$(cat "$scratch/calls")"
while read -r worker; do
    ! kill -0 "$worker" 2>/dev/null || fail "worker $worker was left behind"
done <"$scratch/workers"

# Ratios, round by round: 40 to 10, 20 and 30, and to a tenth of these. Workers start behind the words of --on.
rm "$scratch/calls"
compare -m x.gguf --rounds 3 --on "env ON=1" --caucus "ours=$scratch/ours bench" -o json >"$scratch/out" || fail "$(cat "$scratch/err")"
/usr/bin/python3 - "$scratch/out" <<'PYTHON' || fail "$(cat "$scratch/out")"
import json, sys
prefill, decode = json.load(open(sys.argv[1]))
assert [prefill["n_prompt"], prefill["test"], prefill["ratio"]["median"], decode["ratio"]["median"]] == [9, "prefill", 2, 20]
assert prefill["ratio"]["values"] == [4, 2, 40 / 30]
PYTHON

# The program itself on one side.
tools/make-model tiny-qwen3 "$scratch/tiny.gguf" --type q8_0 >"$scratch/made"
compare -m "$scratch/tiny.gguf" --rounds 1 --caucus "two=mpirun -n 2 $program bench -t 1" >"$scratch/out" ||
    fail "$(cat "$scratch/err")"
[ "$(grep -c '| two |' "$scratch/out")" = 2 ] || fail "$(cat "$scratch/out")"

for wrong in "--rounds 0" "--caucus nothing" "--dllama $scratch/none"; do
    # shellcheck disable=SC2086 # several arguments
    compare -m x.gguf --caucus "ours=$scratch/ours bench" $wrong >"$scratch/out" && fail "$wrong is accepted"
    grep -q 'bench-dllama: ' "$scratch/err" || fail "$wrong: $(cat "$scratch/err")"
done
