#!/usr/bin/env bash
# lose_rank.sh PROGRAM INJECTOR [KILLS]: ranks end, and the others go on (--lost-ranks). In every phase, of runs, evals and scores,
# on one host and on several that are pretended, the output must be that of one rank which nobody disturbed. Skipped where MPI
# has no fault tolerance.
set -euo pipefail
injector=$(realpath "$2")
. "$(dirname "$0")/../cli/harness.sh"
. "$(dirname "$0")/processes.sh"
kills=${3:-6} timeout=3
RANDOM=${SEED:-1}
export OMP_NUM_THREADS=1
ulimit -c 0
mpirun=(mpirun --with-ft ulfm)
model=(-m models/lemma -t 1 --temperature 0.8)
run=("$program" run "${model[@]}" -p "a=3;b=a+4;b?" -n 200 --ignore-eos)
survive=(--lost-ranks 2 --timeout "$timeout")

mpirun -n 2 "$program" run "${model[@]}" -p a -n 1 --lost-ranks 1 >"$scratch/out" 2>"$scratch/err" && fail "--lost-ranks without --with-ft"
if grep -q "needs an MPI library with fault tolerance" "$scratch/err"; then
    echo "skipped: this MPI library has no fault tolerance (ULFM)"
    exit 77
fi
grep -q "^caucus: --lost-ranks needs mpirun --with-ft ulfm" "$scratch/err" || fail "$(cat "$scratch/err")"

# same NAME EXPECTED: what was printed, and that somebody was lost.
same() {
    cmp "$2" "$scratch/out" || fail "$1: another text; $(cat "$scratch/err")"
    grep -aq "ranks go on: the model is dealt anew" "$scratch/err" || fail "$1: nobody was lost; $(cat "$scratch/err")"
    echo "$1: the same, after: $(grep -aE "caucus: rank .* (has ended|has made)" "$scratch/err" | tr '\n' ' ')"
}

# ---- at chosen moments ----
declare -A place=(
    [load]="the load of the model"
    [prefill]="step 0, layer 1, the all-reduce of attention"
    [decode]="step 8, layer 1, the all-reduce of attention"
    [select]="step [0-9]*, layer [0-9]*, the agreement on the selected set"
)
declare -A verb=([kill]="has ended unexpectedly: it was" [stop]="has ended unexpectedly: it was" [hang]="has made no progress for [2-6]\.[0-9] s: it is")
"${run[@]}" --policy lessismore --budget 8 >"$scratch/expected"

# struck RANK PHASE ACTION
struck() {
    local name="rank $1, $2, $3" status=0
    FAULT_RANK=$1 FAULT_PHASE=$2 FAULT_ACTION=$3 timeout -k 1 40 \
        "${mpirun[@]}" -n 3 -x "LD_PRELOAD=$injector" -x FAULT_RANK -x FAULT_PHASE -x FAULT_ACTION \
        "${run[@]}" --policy lessismore --budget 8 --allreduce mpi "${survive[@]}" >"$scratch/out" 2>"$scratch/err" || status=$?
    [ $status = 0 ] || fail "$name: status $status: $(cat "$scratch/err")"
    same "$name" "$scratch/expected"
    grep -aq "caucus: rank $1 (host .*) ${verb[$3]} in ${place[$2]}" "$scratch/err" || fail "$name: $(cat "$scratch/err")"
}
for phase in load prefill decode select; do
    struck 1 $phase kill
done
struck 2 decode kill
struck 2 decode stop
struck 1 load hang

# ---- at any moment ----

# lives JOB: the ranks but for rank 0.
lives() {
    local process
    for process in $(below "$1"); do
        [ "$(cat "/proc/$process/comm" 2>/dev/null)" = caucus ] || continue
        grep -qzx "OMPI_COMM_WORLD_RANK=[1-9]*" "/proc/$process/environ" 2>/dev/null && echo "$process"
    done || true
}

# begun JOB: the model is loaded; MPI itself does not survive a loss before.
begun() {
    until grep -aq "vocabulary rows" "$scratch/err"; do
        kill -0 "$1" 2>/dev/null || fail "$(cat "$scratch/err")"
        sleep 0.02
    done
}

# killed N RANKS COMMAND...: of which N are killed, one after the other; $status is what came of it.
killed() {
    local n=$1 ranks=$2 job victims
    shift 2
    status=0
    : >"$scratch/err"
    timeout -k 1 60 "${mpirun[@]}" -n "$ranks" "$@" -v >"$scratch/out" 2>"$scratch/err" &
    job=$!
    begun $job
    for ((; n > 0; n--)); do
        sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
        mapfile -t victims < <(lives $job)
        [ ${#victims[@]} = 0 ] || kill -9 "${victims[RANDOM % ${#victims[@]}]}" 2>/dev/null || true
    done
    wait $job || status=$?
}

# outlives NAME N RANKS HOSTS OPTION...: a run; HOSTS are pretended, "" for what there is.
outlives() {
    local name="$1, $2 of $3 ranks killed${4:+, hosts $4}" n=$2 ranks=$3 hosts=$4
    shift 4
    killed "$n" "$ranks" ${hosts:+-x "CAUCUS_TEST_HOSTS=$hosts"} "${run[@]}" -n 600 "$@" "${survive[@]}"
    "${run[@]}" -n 600 "$@" >"$scratch/expected"
    [ "$status" = 0 ] || fail "$name: status $status: $(cat "$scratch/err")"
    same "$name" "$scratch/expected"
}
cases=(
    "full|1|2||--policy full"
    "lessismore|2|4||--policy lessismore --budget 64"
    "quest, more ranks than KV heads|1|6||--policy quest --budget 64"
    "whole rows of logits|1|3||--policy h2o --budget 64 --repetition-penalty 1.1"
    "full|1|4|0,1,0,1|--policy full"
    "tidal|2|6|0,1,2,3,1,2|--policy tidal --budget 64"
)
for ((i = 0; i < kills; i++)); do
    IFS='|' read -r name n ranks hosts options <<<"${cases[i % ${#cases[@]}]}"
    # shellcheck disable=SC2086 # words
    outlives "$name" "$n" "$ranks" "$hosts" $options
done

# Two that are stopped, one after the other; each is ended when it has been silent.
: >"$scratch/err"
timeout -k 1 60 "${mpirun[@]}" -n 4 "${run[@]}" -n 600 "${survive[@]}" -v >"$scratch/out" 2>"$scratch/err" &
job=$!
begun $job
mapfile -t victims < <(lives $job)
kill -STOP "${victims[0]}"
sleep 0.9
kill -STOP "${victims[1]}"
wait $job || fail "two stopped: status $?: $(cat "$scratch/err")"
"${run[@]}" -n 600 >"$scratch/expected"
same "two stopped" "$scratch/expected"

# Several sequences, with corrections; results and scores.
eval=("$program" eval "${model[@]}" --problems tests/data/eval/lemma.jsonl -n 150 --ignore-eos --parallel 3 --policy lessismore --budget 64
    --correct-every 32)
"${eval[@]}" --results "$scratch/undisturbed" >/dev/null
killed 1 3 "${eval[@]}" --results "$scratch/results" "${survive[@]}"
[ "$status" = 0 ] || fail "eval: status $status: $(cat "$scratch/err")"
/usr/bin/python3 - "$scratch/undisturbed" "$scratch/results" <<'END' || fail "eval: see above"
import json, sys
def samples(path):
    def text(line):
        return {key: line[key] for key in ("problem", "sample", "policy", "text") if key in line}
    return sorted((text(json.loads(line)) for line in open(path).readlines()[1:]), key=str)
expected, came = map(samples, sys.argv[1:])
assert expected == came, (expected, came)
END
echo "eval: the same samples"

# ---- what cannot be outlived ----
killed 2 4 "${run[@]}" -n 600 --lost-ranks 1 --timeout $timeout
[[ $status != 0 && $status != 124 ]] || fail "two lost of one allowed: status $status"
grep -aqE "caucus: (2 ranks are lost, and --lost-ranks allows 1|rank [0-9] .* has ended unexpectedly)" "$scratch/err" ||
    fail "two lost of one allowed: $(cat "$scratch/err")"
status=0
FAULT_RANK=0 FAULT_PHASE=decode FAULT_ACTION=kill timeout -k 1 40 \
    "${mpirun[@]}" -n 3 -x "LD_PRELOAD=$injector" -x FAULT_RANK -x FAULT_PHASE -x FAULT_ACTION \
    "${run[@]}" --allreduce mpi "${survive[@]}" >"$scratch/out" 2>"$scratch/err" || status=$?
[[ $status != 0 && $status != 124 ]] || fail "rank 0 lost: status $status"
grep -aq "caucus: rank 0 (host .*) has ended unexpectedly: it was in ${place[decode]}" "$scratch/err" || fail "rank 0 lost: $(cat "$scratch/err")"
