#!/usr/bin/env bash
# The table of symptoms in docs/cluster.md: each is provoked on two hosts, and is worded as it stands there.
set -euo pipefail
n_hosts=2
. "$(dirname "$0")/harness.sh"
model=$scratch/model
cp -r models/stories260K "$model"
cp "$program" "$scratch/caucus" # what is mounted on a file is seen by all who open it
unset OMPI_MCA_orte_execute_quiet # mpirun's own words are wanted here
caucus=("$scratch/caucus" run -m "$model" -t 1 -p "Once upon a time" -n 11)

# symptom TEXT ARGUMENT...: mpirun with these arguments fails with this text, which the table has. "TEXT|TEXT" is what
# Open MPI 4.1 says, and 5.
symptom() {
    local texts text
    IFS='|' read -ra texts <<<"$1"
    shift
    for text in "${texts[@]}"; do
        grep -qF "$text" docs/cluster.md || fail "docs/cluster.md does not know: $text"
    done
    ! timeout 60 mpirun "$@" >"$scratch/out" 2>&1 </dev/null || fail "$*: no failure"
    for text in "${texts[@]}"; do
        ! tr '\n' ' ' <"$scratch/out" | grep -qF "$text" || return 0
    done
    fail "$*: $(cat "$scratch/out")"
}

# answers ARGUMENT...: and this is the cure.
answers() {
    local output
    output=$(timeout 60 mpirun "$@" "${caucus[@]}" 2>"$scratch/err" </dev/null) || fail "$*: $(cat "$scratch/err")"
    [ "$output" = ", there was a little girl named Lily." ] || fail "$*: $output"
}

answers -n 2 -H a,b

# What mpirun says before any rank runs.
(
    unset OMPI_ALLOW_RUN_AS_ROOT
    symptom "has detected an attempt to run as root" -n 2 -H a,b true
)
(
    unset OMPI_MCA_rmaps_base_oversubscribe PRTE_MCA_rmaps_default_mapping_policy
    symptom "There are not enough slots available in the system" -n 3 -H a,b true
    answers -n 3 -H a:2,b
)
symptom "ORTE was unable to reliably start one or more daemons|A daemon failed to report back" -n 2 -H a,elsewhere true
symptom "Your job has requested more processes than the ppr for this topology can support" \
    -n 99 -H a,b --map-by ppr:1:node true
symptom "it could not access or execute an executable|it could not access an executable" -n 2 -H a,b "$scratch/nothing"
symptom "was unable to complete a TCP connection to another process|No network interfaces were found for out-of-band communications" \
    -n 2 -H a,b --mca oob_tcp_if_include lo true

# What the ranks say.
symptom "MPI_Comm_dup failed: MPI_ERR_INTERN: internal error" -n 2 -H a,b --mca btl_tcp_if_include eth7 "${caucus[@]}"
"$HOSTS" exec b mount -t tmpfs empty "$model"
symptom "cannot open" -n 2 -H a,b "${caucus[@]}"
grep -qxF "caucus: rank 1: cannot open $model/config.json: No such file or directory" "$scratch/out" || fail "$(cat "$scratch/out")"
"$HOSTS" exec b umount "$model"
"$HOSTS" exec b mount --bind tests/data/models/tiny_qwen3 "$model"
symptom "disagrees with rank 0 on the model's files" -n 2 -H a,b "${caucus[@]}"
"$HOSTS" exec b umount "$model"
LC_ALL=C sed 's/sources [0-9a-f]/sources x/' "$program" >"$scratch/other"
chmod +x "$scratch/other"
"$HOSTS" exec b mount --bind "$scratch/other" "$scratch/caucus"
symptom "disagrees with rank 0 on the program's sources: install one build on every host" -n 2 -H a,b "${caucus[@]}"
"$HOSTS" exec b umount "$scratch/caucus"

# A container's /dev/shm: slower, but it answers.
grep -qF "the ranks of a host share no memory: MPI adds their parts" docs/cluster.md || fail "docs/cluster.md does not know a small /dev/shm"
"$HOSTS" exec b mount -t tmpfs -o size=256k small /dev/shm
answers -n 3 -H a,b:2
"$HOSTS" exec b umount /dev/shm

# What runs, but slowly: two threads of one rank on one core, which is mpirun's choice for two ranks.
if [ "$(nproc --all)" -gt 1 ]; then
    grep -qF "this rank was bound to 1 of" docs/cluster.md || fail "docs/cluster.md does not know the warning of binding"
    mpirun -n 2 -H a,b --bind-to core "$program" run -m "$model" -p x -n 1 >"$scratch/out" 2>&1
    grep -q "^caucus: this rank was bound to 1 of .* cores, but it could use " "$scratch/out" ||
        fail "bound to a core: $(cat "$scratch/out")"
    answers -n 2 -H a,b --map-by ppr:1:node --bind-to none
    answers -n 2 -H a,b --map-by slot:PE=2 --bind-to core
    answers -n 2 -H a,b --map-by numa --bind-to numa
    answers -H a,b --map-by ppr:1:socket --bind-to socket
fi
