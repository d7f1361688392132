#!/usr/bin/env bash
# kill_run.sh PROGRAM [KILLS [TOKENS]]: runs under supervise, on one, two and three ranks, of which mpirun or a rank is killed
# at random moments, so many times each. What supervise passes on must be the text of a run nobody disturbed, once. Then
# an eval that is killed in the midst of its only sample: the sample must be gone on with, and come out the same.
set -euo pipefail
. "$(dirname "$0")/../cli/harness.sh"
. "$(dirname "$0")/processes.sh"
kills=${2:-2} tokens=${3:-400}
RANDOM=${SEED:-1}
export OMP_NUM_THREADS=1
ulimit -c 0
run=(run -m models/lemma -t 1 -p "a=3;b=a+4;c=b*2;c?" -n "$tokens" --ignore-eos --temperature 0.8)

lines() {
    [ ! -e "$1" ] || wc -l <"$1"
}

# grows FILE PROCESS: waits until there is more in it, so long as the process lives.
grows() {
    local before
    before=$(lines "$1")
    while [ "$(lines "$1")" = "$before" ]; do
        kill -0 "$2" 2>/dev/null || return 1
        sleep 0.01
    done
}

# killed RANKS OPTION...
killed() {
    local ranks=$1 n=0 family supervisor status=0 journal=$scratch/journal$1
    shift
    "$program" "${run[@]}" "$@" >"$scratch/text"
    "$program" supervise --backoff 0.01 --max-restarts "$kills" mpirun -n "$ranks" "$program" "${run[@]}" "$@" --timeout 5 --journal "$journal" \
        >"$scratch/out" 2>"$scratch/err" &
    supervisor=$!
    while [ $n -lt "$kills" ] && grows "$journal" $supervisor; do
        sleep 0.0$((RANDOM % 10))
        mapfile -t family < <(below $supervisor)
        [ ${#family[@]} -gt 0 ] || continue
        kill -9 "${family[RANDOM % ${#family[@]}]}" 2>/dev/null || continue
        n=$((n + 1))
    done
    wait $supervisor || status=$?
    [ $status = 0 ] || fail "$ranks ranks $*: exit status $status: $(cat "$scratch/err")"
    cmp "$scratch/text" "$scratch/out" || fail "$ranks ranks $*: another text; $(cat "$scratch/err")"
    echo "$ranks ranks $*: $n kills, $(grep -c "; restart" "$scratch/err") restarts, the same text"
    [ $n -gt 0 ] || fail "run was done before anybody was killed: give it more tokens"
}

killed 1
killed 2 --policy lessismore --budget 64
killed 3

head -n 1 tests/data/eval/lemma.jsonl >"$scratch/problem"
eval=(eval -m models/lemma -t 1 --problems "$scratch/problem" -n "$tokens" --ignore-eos --temperature 0.8 --policy full)
"$program" "${eval[@]}" --results "$scratch/undisturbed" >/dev/null
"$program" "${eval[@]}" --results "$scratch/results" >/dev/null 2>&1 &
job=$!
journal=$scratch/results.journal
until grep -q ids "$journal" 2>/dev/null; do
    kill -0 $job || break
    sleep 0.01
done
kill -9 $job
wait $job 2>/dev/null || true
[ "$(wc -l <"$scratch/results")" = 1 ] || fail "the sample was done before it was killed: give it more tokens"
# It is looked at: a false token is found out.
cp "$journal" "$scratch/kept"
sed -i '2s/"ids":\[[0-9]*/"ids":[77/' "$journal" # the line may hold one token alone
"$program" "${eval[@]}" --results "$scratch/results" >/dev/null 2>"$scratch/err" && fail "a false token is taken"
grep -q "^caucus: $journal: token 0 of the answer is 77, but " "$scratch/err" || fail "$(cat "$scratch/err")"
cp "$scratch/kept" "$journal"
mpirun -n 2 "$program" "${eval[@]}" --results "$scratch/results" >/dev/null
[ ! -e "$journal" ] || fail "the journal is left"
/usr/bin/python3 - "$scratch/undisturbed" "$scratch/results" <<'END' || fail "see above"
import json, sys
def sample(path):
    header, line = map(json.loads, open(path))
    points = [(context, kv_bytes) for context, seconds, kv_bytes in line["series"]]
    return {key: line[key] for key in line if "seconds" not in key} | {"series": points}
undisturbed, gone_on_with = sample(sys.argv[1]), sample(sys.argv[2])
assert gone_on_with == undisturbed, (undisturbed, gone_on_with)
END
echo "eval: killed with $(grep -c ids "$scratch/kept") lines of tokens kept, the same sample"
