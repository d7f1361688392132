#!/usr/bin/env bash
# kill_eval.sh PROGRAM [KILLS [PROBLEMS [SAMPLES [TOKENS]]]]: an eval under supervise of which mpirun or a rank is killed at
# random moments, so many times. No sample may be lost, none may be there twice, and each text must be that of an eval
# nobody disturbed. 6 kills take half a minute on two cores; `kill_eval.sh build/caucus 50 25 4 300` takes some minutes.
set -euo pipefail
. "$(dirname "$0")/../cli/harness.sh"
. "$(dirname "$0")/processes.sh"
kills=${2:-6} problems=${3:-6} samples=${4:-2} tokens=${5:-500}
RANDOM=${SEED:-1}

tools/lemma/problems --steps 16 --count "$problems" --seed 5 >"$scratch/problems"
options=(eval -m models/lemma -t 1 --problems "$scratch/problems" --samples "$samples" --temperature 0.8
    -n "$tokens" --ignore-eos --parallel 2)
export OMP_NUM_THREADS=1
ulimit -c 0

"$program" "${options[@]}" --results "$scratch/undisturbed" >/dev/null

"$program" supervise --max-restarts 1000 --backoff 0.01 -- mpirun -n 2 "$program" "${options[@]}" --timeout 5 \
    --results "$scratch/killed" >/dev/null 2>"$scratch/err" &
supervisor=$!

n=0
while [ $n -lt "$kills" ] && kill -0 $supervisor 2>/dev/null; do
    sleep $((RANDOM % 2)).$((RANDOM % 10))$((RANDOM % 10))
    mapfile -t family < <(below $supervisor)
    [ ${#family[@]} -gt 0 ] || continue
    kill -9 "${family[RANDOM % ${#family[@]}]}" 2>/dev/null || continue
    n=$((n + 1))
done
status=0
wait $supervisor || status=$?
[ $status = 0 ] || fail "exit status $status: $(cat "$scratch/err")"
restarts=$(grep -c "; restart" "$scratch/err" || true)
[ $n -ge $((kills / 2)) ] || fail "eval was done after $n kills of $kills: give it more tokens"

/usr/bin/python3 - "$scratch/undisturbed" "$scratch/killed" $((problems * samples)) <<'END' || fail "see above"
import json, sys
def samples(path):
    lines = [json.loads(line) for line in open(path)][1:]
    keys = [(s["policy"], s["problem"], s["sample"]) for s in lines]
    assert len(set(keys)) == len(keys), "a sample is there twice"
    return {key: (s["text"], s["tokens"], s["finish"]) for key, s in zip(keys, lines)}
undisturbed, killed = samples(sys.argv[1]), samples(sys.argv[2])
assert len(undisturbed) == int(sys.argv[3]), "the undisturbed eval has %d samples" % len(undisturbed)
assert killed.keys() == undisturbed.keys(), "samples were lost"
assert killed == undisturbed, "a text differs"
END
echo "$n kills, $restarts restarts, $((problems * samples)) samples: all there, once, with the same text"
