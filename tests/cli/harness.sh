# What the tests of the command line share. Sourced; $1 is the program, the working directory becomes the root of the
# sources, so that paths in output and sentences are the same everywhere.
# shellcheck shell=bash
program=$(realpath "$1")
expected=$(realpath "$(dirname "$0")")/expected
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$(dirname "$0")/../.." || exit 1

set -a
. tests/open_mpi.sh
set +a
unset "${!CAUCUS_@}"

fail() {
    echo "FAILED: $*"
    exit 1
}

# The one number of the output that belongs to the machine.
hide_host() {
    sed -E "s/this host's [0-9]+/this host's N/; s/\"memory_bytes\": ?[0-9]+/\"memory_bytes\": N/"
}

# shows FILE ARGUMENT...: standard output equals expected/FILE, standard error is empty, the exit status is 0.
# With UPDATE=1 in the environment the file is written instead.
shows() {
    local file=$expected/$1
    shift
    "$program" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null || fail "$*: exit status $?: $(cat "$scratch/err")"
    hide_host <"$scratch/out" >"$scratch/shown"
    [ "${UPDATE:-}" = "" ] || cp "$scratch/shown" "$file"
    diff -u "$file" "$scratch/shown" || fail "$*"
    [ ! -s "$scratch/err" ] || fail "$*: $(cat "$scratch/err")"
}

# prints TEXT ARGUMENT...: likewise for a line or two; standard input is the caller's.
prints() {
    local text=$1 output
    shift
    output=$("$program" "$@") || fail "$*: exit status $?"
    [ "$output" = "$text" ] || fail "$*: '$output' instead of '$text'"
}

# said FILE: what the program wrote there. Open MPI 5's mpirun puts words of its own between two lines of dashes, and
# sometimes fails to tell a rank that is gone already.
said() {
    sed '/^-\{74\}$/,/^-\{74\}$/d; /^\[.*\] PMIX ERROR: /d' "$1"
}

# refused SENTENCE COMMAND...: exit status 2, nothing on standard output, exactly this sentence on standard error.
refused() {
    local sentence="caucus: $1" status=0
    shift
    timeout 60 "$@" >"$scratch/out" 2>"$scratch/err" </dev/null || status=$?
    [ "$status" = 2 ] || fail "$*: exit status $status: $(cat "$scratch/err")"
    [ "$(said "$scratch/err")" = "$sentence" ] || fail "$*: '$(cat "$scratch/err")' instead of '$sentence'"
    [ ! -s "$scratch/out" ] || fail "$*: output beside the sentence: $(cat "$scratch/out")"
}

# refuses SENTENCE ARGUMENT...: one process.
refuses() {
    local sentence=$1
    shift
    refused "$sentence" "$program" "$@"
}

# refuses_together SENTENCE ARGUMENT...: two ranks, of which only the first speaks.
refuses_together() {
    local sentence=$1
    shift
    refused "$sentence" mpirun -n 2 "$program" "$@"
}
