#!/usr/bin/env bash
# test_matrix.sh hosts|host PROGRAM INJECTOR: ranks that are killed or stopped, cables that are pulled, step plans that are
# damaged and disks that fill up, on rank 0 and on another, while the model is loaded, the prompt is read, a token is
# decoded and a set is agreed on. Of each: one sentence, which names rank, host and place; a status that is not 0; the
# end of all ranks within the timeout and 5 seconds of the fault; nothing left behind.
#
# Left out, as they have no meaning:
#   damaged plans while loading (there are none yet) and in select (the agreement is no plan)
#   full disks of other ranks (rank 0 alone writes), while loading (nothing is written) and in select
# A rank that computes something else is found by --check.
# Where nobody reads standard error, no sentence is seen, but the end is.
# A full disk is met when results or a journal are begun (prefill), and when a sample or tokens are written (decode).
set -euo pipefail
where=$1
shift
injector=$(realpath "$2")
hosts_script=$(realpath "$(dirname "$0")")/../hosts/hosts.sh
if [ "$where" = hosts ]; then "$hosts_script" can || exit 77; fi
. "$(dirname "$0")/../cli/harness.sh"
export OMP_NUM_THREADS=1
ulimit -c 0
timeout=2 at_once=6

# What FAULT_PHASE means in a sentence.
declare -A place=(
    [load]="the load of the model"
    [prefill]="step 0, layer 1, the all-reduce of attention"
    [decode]="step 8, layer 1, the all-reduce of attention"
    [select]="step [0-9]+, layer [0-9]+, the agreement on the selected set"
)
run=("$program" run -m models/lemma -p "a=3;b=a+4;b?" -n 100 --ignore-eos -t 1 --policy lessismore --budget 8
    --allreduce mpi --timeout "$timeout")
# A host that is out of reach does not keep mpirun waiting.
keepalive=(-x OMPI_MCA_oob_tcp_keepalive_time)
export OMPI_MCA_oob_tcp_keepalive_time=1 OMPI_MCA_oob_tcp_keepalive_intvl=1 OMPI_MCA_oob_tcp_keepalive_probes=2
export PRTE_MCA_oob_tcp_keepalive_time=1 PRTE_MCA_oob_tcp_keepalive_intvl=1 PRTE_MCA_oob_tcp_keepalive_probes=2

# The second that mpirun leaves the others when a rank dies, which the tests' environment takes away.
grace=(env OMPI_MCA_odls_base_sigkill_timeout=1)

# processes FILES NAME: those of a row, on all its hosts.
processes() {
    local process
    for process in /proc/[0-9]*; do
        [ "$(cat "$process/comm" 2>/dev/null)" = "$2" ] || continue
        ! grep -qzxF "FAULT_MARK=$1.mark" "$process/environ" 2>/dev/null || echo "${process#/proc/}"
    done
}

# watch FILES: notes when the last rank ends behind the fault, then spares mpirun its wait for a daemon that it cannot
# reach, which keepalive shortens only in most cases.
watch() {
    local process
    until [ -e "$1.mark" ]; do sleep 0.1; done
    while [ -n "$(processes "$1" caucus)" ]; do sleep 0.1; done
    date +%s.%N >"$1.ranks"
    sleep 1
    for process in $(processes "$1" mpirun); do kill -KILL "$process" 2>/dev/null || true; done
}

# perform FILES: runs a row, whose arguments are there.
perform() {
    local arguments status=0 watcher=
    mapfile -d '' -t arguments <"$1.arguments"
    # shellcheck disable=SC1090,SC1091 # made by row
    . "$1.environment"
    rm -f "$1.mark" "$1.ranks"
    if [[ ${arguments[0]} = "link down"* ]]; then
        watch "$1" &
        watcher=$!
    fi
    FAULT_RANK=${arguments[2]} FAULT_PHASE=${arguments[3]} FAULT_ACTION=${arguments[4]} FAULT_MARK=$1.mark \
        timeout -k 1 30 "${arguments[@]:5}" >"$1.out" 2>"$1.err" </dev/null || status=$?
    [ -z "$watcher" ] || { kill $watcher && wait $watcher; } 2>/dev/null || true
    [ -e "$1.ranks" ] || date +%s.%N >"$1.ranks"
    echo "$status $(cat "$1.ranks")" >"$1.end"
}

# row NAME SENTENCE RANK PHASE ACTION COMMAND...: runs beside some others; what came of it is looked at in the end.
rows=()
row() {
    local files="$scratch/row${#rows[@]}"
    printf '%s\0' "$@" >"$files.arguments"
    printf 'export FAULT_FILE=%q FAULT_COMMAND=%q\n' "${FAULT_FILE:-}" "${FAULT_COMMAND:-}" >"$files.environment"
    rows+=("$files")
    while [ "$(jobs -rp | wc -l)" -ge $at_once ]; do wait -n || true; done
    perform "$files" &
}

# On one host: three ranks, of which one looks on.
inject=(-x "LD_PRELOAD=$injector" -x FAULT_RANK -x FAULT_PHASE -x FAULT_ACTION -x FAULT_MARK -x FAULT_FILE -x FAULT_COMMAND)
ranks=("${grace[@]}" mpirun -n 3 "${inject[@]}")

rows_of_one_host() {
    local rank phase host
    host=$(hostname)
    mkfifo "$scratch/unread"
    exec 9<>"$scratch/unread"
    dd if=/dev/zero of=/dev/fd/9 oflag=nonblock bs=4096 count=64 2>/dev/null || true
    for phase in load prefill decode select; do
        for rank in 0 1; do
            row "kill, rank $rank, $phase" "rank $rank \(host $host\) has ended unexpectedly: it was in ${place[$phase]}; rank $((rank == 0)) .*" \
                $rank $phase kill "${ranks[@]}" "${run[@]}"
            row "stop, rank $rank, $phase" "rank $rank \(host $host\) has not been heard of for [2-4]\.[0-9] s: it was in ${place[$phase]}; rank $((rank == 0)) .*" \
                $rank $phase stop "${ranks[@]}" "${run[@]}"
        done
    done
    # shellcheck disable=SC2016 # the ranks' own
    row "stop, rank 1, decode, nobody reads" "" 1 decode stop \
        "${ranks[@]}" sh -c 'exec "$@" 2>'"$scratch/unread" sh "${run[@]}"
    row "hang, rank 1, load" "rank 1 \(host $host\) has made no progress for [2-4]\.[0-9] s: it is in ${place[load]}; rank 0 waits for it in .*" \
        1 load hang "${ranks[@]}" "${run[@]}"
    for plan in 0 8; do
        row "plan $plan damaged on its way to rank 1" "rank 1: a step plan was changed on its way: its checksum is wrong" \
            1 plan:$plan corrupt "${ranks[@]}" "${run[@]}"
        row "plan $plan damaged on rank 0" "rank [12]: a step plan was changed on its way: its checksum is wrong" \
            0 plan:$plan corrupt "${ranks[@]}" "${run[@]}"
    done
    row "hidden state altered, rank 1" "rank 0: rank 1 differs from most ranks in the hidden state of layer 1 in step 8" \
        1 decode alter "${ranks[@]}" "${run[@]}" --check every=4
    row "selected set altered, rank 2" "rank 0: rank 2 differs from most ranks in the selected set of layer [0-9]+ in step 3" \
        2 select alter "${ranks[@]}" "${run[@]}" --check every=1
    row "hidden state altered, rank 0" "rank 0: rank 0 differs from most ranks in the hidden state of layer 1 in step 0" \
        0 prefill alter "${ranks[@]}" "${run[@]}" --check every=4
    for n in 1 2; do
        FAULT_FILE=$scratch/results$n row "disk full, write $n of results" \
            "cannot write $scratch/results$n: No space left on device" 0 write:$n full "${ranks[@]}" \
            "$program" eval -m models/lemma -t 1 --problems tests/data/eval/lemma.jsonl -n 20 --results "$scratch/results$n"
    done
    for n in 1 2; do
        FAULT_FILE=$scratch/journal$n row "disk full, write $n of a journal" \
            "cannot write $scratch/journal$n: No space left on device" 0 write:$n full "${ranks[@]}" \
            "${run[@]}" --journal "$scratch/journal$n"
    done
    row "disk full, answer" "cannot write the answer: No space left on device" 0 none none \
        mpirun -n 2 sh -c 'exec "$@" >/dev/full' sh "${run[@]}"
    row "disk full, trace" "cannot write /dev/full: No space left on device" 0 none none \
        mpirun -n 2 "$program" trace -m models/lemma -t 1 -p "a=3;b=a+4;b?" -n 20 --output /dev/full
}

# Two hosts, each row with its own. mpirun is on host a; the rank that is struck, on b.
rows_of_two_hosts() {
    local rank phase order
    for rank in 0 1; do
        order=a,b
        [ $rank = 1 ] || order=b,a
        local ranks=("$hosts_script" run 2 "${grace[@]}" mpirun -n 2 --map-by seq -H "$order" "${keepalive[@]}" -x HOSTS "${inject[@]}")
        for phase in load prefill decode select; do
            # shellcheck disable=SC2016 # the ranks' own
            FAULT_COMMAND='"$HOSTS" link b down' row "link down, rank $rank, $phase" \
                "rank $rank \(host b\) has not been heard of for [0-9.]+ s: it was in .*; rank $((1 - rank)) .*" \
                $rank $phase command "${ranks[@]}" "${run[@]}"
        done
        row "kill on another host, rank $rank" "rank $rank \(host b\) has (not been heard of for [0-9.]+ s|ended unexpectedly): .*" \
            $rank decode kill "${ranks[@]}" "${run[@]}"
        row "stop on another host, rank $rank" "rank $rank \(host b\) has not been heard of for [2-4]\.[0-9] s: .*" \
            $rank decode stop "${ranks[@]}" "${run[@]}"
    done
}

# Those of other hosts are seen by nobody any more.
nothing_left() {
    [ ! -s "$1" ] || ! compgen -G "$(cat "$1").*" >/dev/null
}

# check FILES: one line of ours that is the sentence, a status, and the time from the fault to the end.
check() {
    local arguments name sentence status end begun=0 seconds
    mapfile -d '' -t arguments <"$1.arguments"
    name=${arguments[0]} sentence=${arguments[1]}
    read -r status end <"$1.end"
    [ ! -e "$1.mark" ] || begun=$(date +%s.%N -r "$1.mark")
    seconds=$(awk "BEGIN {print $begun ? $end - $begun : 0}")
    printf '%-45s status %3d after %5.2f s: %s\n' "$name" "$status" "$seconds" "$(grep -a caucus: "$1.err" | head -n 1)"
    [[ $status != 0 && $status != 124 ]] || fail "$name: status $status: $(cat "$1.err")"
    awk "BEGIN {exit !($seconds <= $timeout + 5)}" || fail "$name: $seconds s"
    [[ $name = "disk full"* ]] || [ "$begun" != 0 ] || fail "$name: the fault was not made: $(cat "$1.err")"
    nothing_left "$1.mark" || fail "$name: files are left in /dev/shm"
    [[ $name != *"nobody reads"* ]] || return 0
    grep -aqE "caucus: $sentence\$" "$1.err" || fail "$name: not '$sentence' but: $(cat "$1.err")"
    # Where rank 0 damages a plan, each of the others refuses it.
    [ "$(grep -ac caucus: "$1.err")" = 1 ] || [[ $name = *"on rank 0" ]] || fail "$name: several speak: $(cat "$1.err")"
}

if [ "$where" = hosts ]; then rows_of_two_hosts; else rows_of_one_host; fi
wait
for files in "${rows[@]}"; do
    (check "$files") && continue
    # Where many more threads than cores are busy, the second that mpirun leaves the ranks can be too short to speak.
    echo "once more, alone:"
    perform "$files"
    check "$files"
done
echo "${#rows[@]} rows"
