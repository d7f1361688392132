#!/usr/bin/env bash
# caucus eval on lemma chains: the same results on one rank and on two, alone and side by side, killed or not.
set -euo pipefail
. "$(dirname "$0")/harness.sh"
export LC_ALL=C # in which gnuplot knows no degree sign, unless it is told otherwise
export OMP_NUM_THREADS=1
ulimit -c 0

options=(-m models/lemma -t 1 --policy lessismore --budget 160 -n 130)
engine=("${options[@]}" --problems tests/data/eval/lemma.jsonl)

# Without what belongs to the clock, and in one order: samples are written as they finish.
without_times() {
    sed -E 's/"seconds":[0-9.e-]+/"seconds":T/; s/"share_seconds":[0-9.e-]+/"share_seconds":T/;
        s/(\[[0-9]+,)[0-9.e-]+,/\1T,/g' "$1" | sort
}

same_results() {
    without_times "$1" >"$scratch/left"
    without_times "$2" >"$scratch/right"
    cmp "$scratch/left" "$scratch/right" || fail "$1 and $2 differ"
}

# All at once, and what comes out.
"$program" eval "${engine[@]}" --results "$scratch/one" -o json >"$scratch/summary" 2>"$scratch/err" ||
    fail "$(cat "$scratch/err")"
[ ! -s "$scratch/err" ] || fail "$(cat "$scratch/err")"
[ "$(wc -l <"$scratch/one")" = 7 ] || fail "not a header and 6 samples: $(cat "$scratch/one")"
/usr/bin/python3 - "$scratch/one" "$scratch/summary" <<'END' || fail "$(cat "$scratch/one" "$scratch/summary")"
import json, sys
header, *samples = [json.loads(line) for line in open(sys.argv[1])]
assert header["caucus_eval"] == 1 and header["settings"]["max-tokens"] == 130
assert sorted((s["policy"], s["problem"]) for s in samples) == [(p, i) for p in ("full", "lessismore") for i in range(3)]
for s in samples:
    assert s["correct"] == (s["answer"] == s["expected"]) and s["steps"] == 8 and s["prompt_tokens"] == 92
    assert s["kv_bytes"] > 0 and s["series"][0][0] == 92 and 0 < s["share_seconds"] <= s["seconds"]
full = [s for s in samples if s["policy"] == "full"]
assert all(s["correct"] and s["finish"] == "stop" and s["tokens"] == 122 for s in full)
assert all(s["attended"] == (93 + 92 + 121) / 2 for s in full)  # decode steps of 93 … 213 tokens
rows = json.load(open(sys.argv[2]))
assert [(r["policy"], r["budget"], r["n"]) for r in rows] == [("full", None, 3), ("lessismore", 160, 3)]
assert rows[0]["accuracy"] == 1 and rows[0]["tokens"] == 122 and rows[0]["cut_off"] == 0
assert rows[1]["full_accuracy"] == 1 and rows[1]["n_versus_full"] == 3 and rows[1]["attended"] < rows[0]["attended"]
END

# Nothing is left to do: the model is not loaded, the summary is the same, and so it is without the model.
"$program" eval "${engine[@]}" --results "$scratch/one" -o json -v 2>"$scratch/err" | cmp - "$scratch/summary"
! grep -q "numerics" "$scratch/err" || fail "the model was loaded: $(cat "$scratch/err")"
"$program" eval --summary-only "$scratch/one" -o json | cmp - "$scratch/summary"
for format in md csv jsonl; do
    "$program" eval --summary-only "$scratch/one" -o $format | grep -q lessismore || fail "$format"
done

# One after the other, on two ranks.
mpirun -n 2 "$program" eval "${engine[@]}" --parallel 1 --results "$scratch/two" >/dev/null
same_results "$scratch/one" "$scratch/two"

# Killed at any moment, ranks and all; then to the end.
for launcher in "" "mpirun -n 2"; do
    rm -f "$scratch/killed"
    for delay in 0.4 0.7 1.0 1.4 2; do
        # shellcheck disable=SC2086 # the launcher is words
        setsid $launcher "$program" eval "${engine[@]}" --parallel 2 --results "$scratch/killed" >/dev/null 2>&1 &
        job=$!
        sleep $delay
        kill -9 -- -$job 2>/dev/null || true
        wait $job 2>/dev/null || true
    done
    # What mpirun started may outlive it for a moment.
    for ((tries = 0; tries < 100; tries++)); do
        "$program" eval "${engine[@]}" --results "$scratch/killed" >/dev/null 2>"$scratch/err" && break
        grep -q "is being written by another" "$scratch/err" || fail "$(cat "$scratch/err")"
        sleep 0.1
    done
    same_results "$scratch/one" "$scratch/killed"
done

# What another one writes is refused before the model is loaded.
exec 9>>"$scratch/held"
flock 9
"$program" eval "${engine[@]}" --results "$scratch/held" -v 2>"$scratch/err" && fail "two evals write one file"
grep -q "^caucus: $scratch/held is being written by another caucus eval, or by one that is still ending$" "$scratch/err" || fail "$(cat "$scratch/err")"
! grep -q "numerics" "$scratch/err" || fail "the model was loaded: $(cat "$scratch/err")"
exec 9>&-

# A torn line is made anew; more samples and problems go into the same file.
head -c -5 "$scratch/one" >"$scratch/torn"
"$program" eval "${engine[@]}" --results "$scratch/torn" >/dev/null
same_results "$scratch/one" "$scratch/torn"
"$program" eval "${engine[@]}" --limit 1 --policy full --results "$scratch/more" -o csv >/dev/null
"$program" eval "${engine[@]}" --results "$scratch/more" >/dev/null
same_results "$scratch/one" "$scratch/more"

# A sample's seed gives the same text to `run`.
sampled=(-m models/lemma -t 1 -n 40 --temperature 30 --top-k 3)
"$program" eval "${sampled[@]}" --problems tests/data/eval/lemma.jsonl --limit 1 --samples 2 --seed 3 \
    --results "$scratch/sampled" >/dev/null
/usr/bin/python3 - "$program" "$scratch/sampled" "${sampled[@]}" <<'END' || fail "run and eval differ"
import json, subprocess, sys
prompt = json.loads(open("tests/data/eval/lemma.jsonl").readline())["prompt"]
samples = [json.loads(line) for line in list(open(sys.argv[2]))[1:]]
assert len({s["text"] for s in samples}) == 2
for s in samples:
    out = subprocess.run([sys.argv[1], "run", *sys.argv[3:], "--seed", str(s["seed"]), "-p", prompt, "--json"],
                         capture_output=True, check=True).stdout
    assert json.loads(out)["text"] == s["text"]
END

if command -v gnuplot >/dev/null; then
    "$program" eval --summary-only "$scratch/one" --plot "$scratch/pictures" >/dev/null
    for name in accuracy length; do
        [ -s "$scratch/pictures/$name.png" ] || fail "no $name.png"
        grep -q "</svg>" "$scratch/pictures/$name.svg" || fail "no $name.svg"
    done

    # More budgets than panels, and policies without a budget of which nothing says what they read.
    /usr/bin/python3 - "$scratch/one" "$scratch/budgets" "$scratch/unplaced" <<'END'
import json, sys
header, *samples = [json.loads(line) for line in open(sys.argv[1])]
sample = next(s for s in samples if s["policy"] == "lessismore") | {"series": [[256, 0.1, 1], [512, 0.2, 2]]}
budgets = [sample | {"budget": 64 * i} for i in range(1, 15)]
unplaced = [sample | {"policy": p, "budget": None, "attended": None} for p in ("full", "sparsemax", "tactic")]
for path, lines in ((sys.argv[2], budgets), (sys.argv[3], unplaced)):
    with open(path, "w") as file:
        file.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in [header, *lines])
END
    "$program" eval --summary-only "$scratch/budgets" --plot "$scratch/panels" >/dev/null 2>"$scratch/err"
    [ "$(cat "$scratch/err")" = "caucus: kv, time and recall have panels for 12 budgets: the others are left out" ] ||
        fail "14 budgets: $(cat "$scratch/err")"
    "$program" eval --summary-only "$scratch/unplaced" --plot "$scratch/no_places" >/dev/null 2>"$scratch/err" ||
        fail "$(cat "$scratch/err")"
    [ -s "$scratch/no_places/kv.png" ] || fail "no kv.png: $(ls "$scratch/no_places")"
    [ ! -e "$scratch/no_places/accuracy.gp" ] || fail "accuracy of nothing: $(ls "$scratch/no_places")"
fi

# Refused before the model is loaded.
results=$scratch/one
refuses "no problems given; name a file of JSON lines with --problems FILE" eval -m none
refuses "name the file that the results go to, and are gone on from, with --results FILE" eval -m none --problems x
refuses "cannot open none.jsonl: No such file or directory" eval -m none --problems none.jsonl --results r
refuses "--results must be a file: it is what eval goes on from" \
    eval -m none --problems tests/data/eval/lemma.jsonl --results -
refuses "--policy: 'a,,b' is no list of policies" \
    eval -m none --problems tests/data/eval/lemma.jsonl --results r --policy a,,b
"$program" eval "${options[@]}" --problems tests/data/eval/lemma.jsonl --policy full,questt --results "$scratch/none" \
    2>"$scratch/err" && fail "an unknown policy is taken"
grep -q "^caucus: unknown policy 'questt': choose one of full, lessismore" "$scratch/err" || fail "$(cat "$scratch/err")"
[ ! -e "$scratch/none" ] || fail "results of an unknown policy were begun"
refuses_together "$results was begun with max-tokens 130, not -1; choose another --results" \
    eval -m models/lemma --problems tests/data/eval/lemma.jsonl --results "$results"
refuses "$results was begun with another problem 0 than tests/data/eval/gsm8k.jsonl:1; choose another --results" \
    eval "${options[@]}" --problems tests/data/eval/gsm8k.jsonl --results "$results"
refuses "tests/cli/harness.sh is no file of eval's results; choose another --results" \
    eval "${engine[@]}" --results tests/cli/harness.sh
refuses "/dev/null has no results yet" eval --summary-only /dev/null
refuses "cannot open $scratch/nothing: No such file or directory" eval --summary-only "$scratch/nothing"
# Before the model is loaded, not when the work is done.
"$program" eval "${engine[@]}" --results "$scratch/never" --plot "$scratch/one/x" >/dev/null 2>"$scratch/err" && fail "drawn into a file"
grep -qF "cannot make the folder $scratch/one/x: Not a directory" "$scratch/err" || fail "$(cat "$scratch/err")"
[ ! -e "$scratch/never" ] || fail "began before looking at the folder"
