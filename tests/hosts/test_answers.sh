#!/usr/bin/env bash
# Every command that runs the model, on two and four hosts over TCP, with the ranks placed evenly, unevenly, by turns
# and more of them than there are KV heads: the same bytes as from one rank.
set -euo pipefail
n_hosts=4
. "$(dirname "$0")/harness.sh"
problem="given gx=0,vb=6. hx*ei=hi;wb-hw=ei;hw+fx=wb;hi+fx=jg;gl+gx=kc;ei+hw=hx;kc+fx=kn;jg*gx=mb;vb+gx=fx;fx+vb=hw; find mb"
placements=("-n 2 -H a,b" "-n 3 -H a:2,b:1" "-n 4 -H a:2,b:2 --map-by node" "-n 4 -H a,b,c,d")

# over PLACEMENT COMMAND...: standard error has to be empty, but for a race in mpirun's start of its daemons, which
# harms nobody.
over() {
    local placement=$1
    shift
    # shellcheck disable=SC2086 # several words
    timeout 60 mpirun $placement "$@" 2>"$scratch/err" </dev/null || fail "$placement $*: $(cat "$scratch/err")"
    ! grep -v "plm:[rs]sh: Warning: setpgid" "$scratch/err" || fail "$placement $*: $(cat "$scratch/err")"
}

# what PLACEMENT: where the ranks are, and how many share their host.
found=$(for placement in "${placements[@]}"; do
    # shellcheck disable=SC2016 # every rank's own
    over "$placement" sh -c 'echo "$OMPI_COMM_WORLD_RANK$(hostname)$OMPI_COMM_WORLD_LOCAL_SIZE"' | sort | tr '\n' ' '
done)
[ "$found" = "0a1 1b1 0a2 1a2 2b1 0a2 1b2 2a2 3b2 0a1 1b1 2c1 3d1 " ] || fail "the ranks are not where they belong: $found"

score() {
    printf '{"ids": [1, 5, 9, 13, 17, 21, 25, 29, 33, 37, 41, 45, 49, 53, 57, 61, 65, 69], "prompt_tokens": 5}\n' \
        >"$scratch/ids"
    over "$1" "$program" score -m models/stories260K --input "$scratch/ids" --logits 0,9,17 --output "$2"
}

run_sparse() {
    over "$1" "$program" run -m models/lemma -t 1 -p "$problem" -n 40 --logprobs 1 --json --policy lessismore --budget 64 |
        sed 's/, "times": {[^}]*}//' >"$2"
}

# All but the times, in one order.
evaluate() {
    over "$1" "$program" eval -m models/lemma -t 1 --policy raas --budget 128 -n 24 --problems tests/data/eval/lemma.jsonl \
        --results "$scratch/results" >/dev/null
    sed -E 's/"(share_)?seconds":[0-9.e-]+//g; s/(\[[0-9]+,)[0-9.e-]+,/\1/g' "$scratch/results" | sort >"$2"
    rm "$scratch/results"
}

calibrate() {
    printf '{"ids": [%s], "prompt_tokens": 20}\n' "$(seq -s ', ' 3 62)" >"$scratch/ids"
    over "$1" "$program" calibrate -m models/stories260K --budget 24 --input "$scratch/ids" --output "$2" >/dev/null
}

trace() {
    over "$1" "$program" trace -m models/lemma -t 1 -p "$problem" -n 20 --policy quest --budget 64 --output "$2" >/dev/null
}

# answers_are_the_same COMMAND PLACEMENT...
answers_are_the_same() {
    local command=$1 placement
    $command "-n 1 -H a" "$scratch/one"
    [ -s "$scratch/one" ] || fail "$command: nothing"
    for placement in "${@:2}"; do
        $command "$placement" "$scratch/several"
        cmp "$scratch/one" "$scratch/several" || fail "$command: $placement"
    done
}

answers_are_the_same score "${placements[@]}" # the way between hosts is what each start measures to be fastest,
# from here on each of them in turn
CAUCUS_ALLREDUCE=ring answers_are_the_same run_sparse "-n 3 -H a:2,b:1"
CAUCUS_ALLREDUCE=direct answers_are_the_same run_sparse "-n 4 -H a:2,b:2 --map-by node"
CAUCUS_ALLREDUCE=doubling answers_are_the_same run_sparse "-n 8 -H a:2,b:2,c:2,d:2"
CAUCUS_ALLREDUCE=doubling answers_are_the_same evaluate "-n 4 -H a,b,c,d"
CAUCUS_ALLREDUCE=scatter answers_are_the_same calibrate "-n 2 -H b,a"
CAUCUS_ALLREDUCE=leaders answers_are_the_same trace "-n 3 -H c,b:2"

CAUCUS_ALLREDUCE=mpi over "-n 4 -H a,b,c,d" "$program" bench -m models/stories260K -t 1 -p 8 -n 4 -r 1 -o json >"$scratch/bench"
[ "$(grep -c '"n_ranks": 4' "$scratch/bench")" = 2 ] || fail "bench: $(cat "$scratch/bench")"
