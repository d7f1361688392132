#!/usr/bin/env bash
# caucus calibrate, and what score and run say of recall: the same from any number of ranks, and usable.
set -euo pipefail
. "$(dirname "$0")/harness.sh"
model=models/stories260K
export OMP_NUM_THREADS=1

ids() { # ids N FACTOR: as many tokens, no two lines alike
    awk -v n="$1" -v f="$2" 'BEGIN { printf "1"; for (i = 1; i < n; i++) printf ", %d", (i * i * f + 31 * i) % 500 + 3 }'
}
{
    echo "{\"ids\": [$(ids 90 7)], \"prompt_tokens\": 40}"
    echo "{\"ids\": [$(ids 60 3)]}"
    echo "{\"ids\": [$(ids 70 5)], \"prompt_tokens\": 10}"
} >"$scratch/in.jsonl"

# Recall: of full exactly 1, of lessismore less where a set is read; a line that is not decoded has none.
score() { # score RANKS PARALLEL OPTION...
    mpirun --bind-to none -n "$1" "$program" score -m $model --input "$scratch/in.jsonl" --parallel "$2" \
        --probe recall "${@:3}"
}
score 1 1 >"$scratch/full" 2>"$scratch/full.err"
[ "$(cat "$scratch/full.err")" = "recall 1.0000 · by layer 1.0000 1.0000 1.0000 1.0000 1.0000" ] ||
    fail "full: $(cat "$scratch/full.err")"
[ "$(grep -c '"recall": {"steps": [56]0, "layers": \[1.0, 1.0, 1.0, 1.0, 1.0\], "mean": 1.0, "sets": null, "peaks": \[1.0, 1.0, 1.0, 1.0, 1.0\], "peak": null}' \
    "$scratch/full")" = 2 ] || fail "full: $(cut -d'}' -f1 "$scratch/full")"
sed -n 2p "$scratch/full" |
    grep -q '"recall": {"steps": 0, "layers": \[null, null, null, null, null\], "mean": null, "sets": null, "peaks": \[null,' ||
    fail "nothing decoded: $(sed -n 2p "$scratch/full")"
less=(--policy lessismore --budget 24)
score 1 1 "${less[@]}" >"$scratch/less" 2>"$scratch/less.err"
grep -Eq '^recall 0\.[0-9]{4} · where a set was read 0\.[0-9]{4}, peak 0\.[0-9]{4} · by layer 1\.0000 1\.0000 1\.0000 0\.[0-9]{4} 0\.[0-9]{4}$' \
    "$scratch/less.err" || fail "lessismore: $(cat "$scratch/less.err")"
for ranks in 2 3 4; do
    score $ranks $((ranks - 1)) "${less[@]}" >"$scratch/out" 2>"$scratch/err"
    cmp "$scratch/less" "$scratch/out" || fail "recall at $ranks ranks"
    cmp "$scratch/less.err" "$scratch/err" || fail "recall in words at $ranks ranks"
done

# Probing changes nothing else.
"$program" score -m $model --input "$scratch/in.jsonl" "${less[@]}" >"$scratch/out"
sed 's/, "recall": {[^}]*}//' "$scratch/less" | cmp - "$scratch/out" || fail "probing changed what is computed"

# An answer's recall; fewer steps with --probe-every.
"$program" run -m $model -p "Once upon a time" --json -n 20 --probe recall --probe-every 4 "${less[@]}" >"$scratch/out"
grep -q '"recall": {"steps": 5, "layers": \[1.0, 1.0, 1.0, 1.0, 1.0\], "mean": 1.0, "sets": null, ' "$scratch/out" ||
    fail "run: $(cat "$scratch/out")"

# Calibrating: the same from all ranks; what it writes is taken, and says what score then measures.
calibrate() { # calibrate RANKS OPTION...
    mpirun --bind-to none -n "$1" "$program" calibrate -m $model --budget 24 --input "$scratch/in.jsonl" "${@:2}"
}
calibrate 1 --json --first-layer 0 >"$scratch/json"
grep -q '^{"budget":24,"steps":132,"texts":3,"recommended":{"layers":\[0' "$scratch/json" || fail "$(cat "$scratch/json")"
for ranks in 2 3 4; do
    calibrate $ranks --json --first-layer 0 --parallel $((ranks - 1)) >"$scratch/out"
    cmp "$scratch/json" "$scratch/out" || fail "calibrate at $ranks ranks"
done
calibrate 2 --first-layer 3 --output "$scratch/layers.yaml" >"$scratch/text"
grep -q '^\* 1  .* 4 of 5   3$' "$scratch/text" || fail "$(cat "$scratch/text")"
grep -q -- '--select-layers 3$' "$scratch/text" || fail "$(cat "$scratch/text")"
[ "$(grep -v '^#' "$scratch/layers.yaml")" = "select-layers: [3]" ] || fail "$(cat "$scratch/layers.yaml")"
shares=$(sed -nE 's/.*what is read covers (0\.[0-9]+) of dense attention, peak (0\.[0-9]+),/\1, peak \2/p' \
    "$scratch/layers.yaml")
sed 's/, "prompt_tokens": 10/, "prompt_tokens": 24/; 2s/]}/], "prompt_tokens": 24}/' "$scratch/in.jsonl" >"$scratch/same.jsonl"
"$program" score -m $model --config "$scratch/layers.yaml" "${less[@]}" --probe recall --input "$scratch/same.jsonl" \
    2>"$scratch/err" >/dev/null
grep -q "where a set was read $shares ·" "$scratch/err" || fail "calibrate says $shares, score $(cat "$scratch/err")"

# Without a text the model writes one; a prompt of one's own does as well.
"$program" calibrate -m $model --budget 24 -n 60 --json >"$scratch/out" 2>"$scratch/err"
grep -q '"texts":1,' "$scratch/out" || fail "own text: $(cat "$scratch/out")"
grep -q "^caucus: the model is asked to calculate in words: " "$scratch/err" || fail "own text: $(cat "$scratch/err")"
"$program" calibrate -m $model --budget 24 -n 60 --json -p "Once upon a time" -p "The dog" >"$scratch/out" 2>"$scratch/err"
grep -q '"texts":2,' "$scratch/out" || fail "two prompts: $(cat "$scratch/out")"
[ ! -s "$scratch/err" ] || fail "two prompts: $(cat "$scratch/err")"

# What cannot be.
refuses "the text is too short to calibrate with: at no step decoded there are more than the 90 tokens of --budget" \
    calibrate -m $model --budget 90 --input "$scratch/in.jsonl"
refuses "--first-layer 4 leaves no layer to read what is chosen: the model has 5" \
    calibrate -m $model --budget 24 --first-layer 4 --input "$scratch/in.jsonl"
# … which is said before the text is decoded, and found too short.
refuses "--first-layer 4 leaves no layer to read what is chosen: the model has 5" \
    calibrate -m $model --budget 90 --first-layer 4 --input "$scratch/in.jsonl"
refuses "--input and --prompt cannot be given together" calibrate -m none --input "$scratch/in.jsonl" -p x
refuses "cannot open $scratch/none: No such file or directory" calibrate -m none --input "$scratch/none"
refuses "no layers can be chosen for a sliding window, here of 16 tokens; use --sliding-window 0" \
    calibrate -m $model --budget 24 --input "$scratch/in.jsonl" --sliding-window 16
refuses "--probe has no place in a chat; give the prompt with -p or -f" run -m $model -i --probe recall
