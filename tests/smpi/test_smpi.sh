#!/usr/bin/env bash
# test_smpi.sh PROGRAM FOLDER: builds the preset smpi in FOLDER, but for debugging, which takes two thirds of the time
# and may not change a bit. Simulated ranks write what PROGRAM alone writes, and `simulate` makes the collectives that a
# real step makes.
set -euo pipefail
program=$1 folder=$2
root=$(realpath "$(dirname "$0")/../..")
if ! command -v smpirun >/dev/null || ! [ -f /usr/include/smpi/mpi.h ]; then
    echo "skipped: SimGrid is not installed (libsimgrid-dev)"
    exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() {
    echo "$1" >&2
    exit 1
}

model=$root/models/stories260K
platform=$root/configs/platforms/ethernet-10g.xml
if [ -z "${SMPI_PROGRAM:-}" ]; then
    cmake -S "$root" -B "$folder" -DCMAKE_BUILD_TYPE=Debug -DCAUCUS_SMPI=ON -DCAUCUS_BUILD_TESTS=OFF >"$scratch/log"
    cmake --build "$folder" -j 2 --target caucus >>"$scratch/log" 2>&1 || fail "$(tail -n 30 "$scratch/log")"
fi
export CAUCUS=${SMPI_PROGRAM:-$folder/caucus}
ranks() { # ranks P ARGUMENT...: of caucus
    (cd "$scratch" && "$root/tools/simulate" "$platform" "$@" 2>"$scratch/err") || fail "$* fails: $(cat "$scratch/err")"
}

# The text of one process, at any number of simulated ranks.
printf 'Once upon a time' >"$scratch/prompt"
text=(run -m "$model" -f "$scratch/prompt" -n 40 --temperature 0 -t 1 --policy lessismore --budget 24)
"$program" "${text[@]}" >"$scratch/alone" 2>/dev/null
[ -s "$scratch/alone" ] || fail "no text"
for n in 2 4 7; do
    ranks "$n" "${text[@]}" >"$scratch/out"
    cmp "$scratch/alone" "$scratch/out" || fail "$n simulated ranks write something else than one process"
done

# A prompt that is long enough for sums to be looked after while they travel: narrow integers, whose width is known by
# how long a message is.
printf 'Anna has three red apples and Ben has twice as many. They buy five more and give two to Clara. %.0s' 1 2 3 \
    >"$scratch/problem"
problem=(run -m "$root/models/lemma" -f "$scratch/problem" -n 12 --temperature 0 -t 1)
"$program" "${problem[@]}" >"$scratch/alone" 2>/dev/null
for n in 3 6; do
    ranks "$n" "${problem[@]}" --allreduce doubling >"$scratch/out"
    cmp "$scratch/alone" "$scratch/out" || fail "$n simulated ranks that add by messages write something else"
done

# The collectives of one decode step, as rank 1 makes them, and to whom it sends the messages of its own sums. How many words
# an agreement has and how many candidates rank 0 gets depend on what else is asked; everything else must be the same, what
# a group gathers byte by byte.
collectives() { # collectives NAME
    awk '/ bcast 1024 / { n = 0; inside = 1 }
         inside && $2 ~ /bcast|allreduce|gatherv|isend/ {
             size = $2 == "allgatherv" ? $0 : $2 == "isend" || ($2 == "allreduce" && $5 == 20) ? $3 : ""
             line[++n] = $2 " " size
         }
         inside && $2 == "gatherv" { if (n > 3) { step = ""; for (i = 1; i <= n; i++) step = step line[i] "\n" } inside = 0 }
         END { printf "%s", step }' "$scratch/$1.ti_files"/*rank-1.txt
}
compare() { # compare P WAY: a step of run and of simulate
    SMPI_OPTIONS="-trace-ti -trace-file run$1.ti" ranks "$1" "${text[@]}" --allreduce "$2" >/dev/null
    SMPI_OPTIONS="-trace-ti -trace-file sim$1.ti" ranks "$1" simulate -m "$model" -d 40 --allreduce "$2" --weights q8 \
        --policy lessismore --budget 24 --costs "$root/tests/data/smpi/costs.json" >/dev/null
    collectives "run$1" >"$scratch/run"
    collectives "sim$1" >"$scratch/sim"
    [ "$(grep -c 'allreduce\|isend' "$scratch/run")" -ge 11 ] ||
        fail "the trace of a step at $1 ranks, $2, shows $(cat "$scratch/run")"
    cmp "$scratch/run" "$scratch/sim" ||
        fail "at $1 ranks, $2, simulate makes other collectives: $(diff "$scratch/run" "$scratch/sim")"
}
compare 3 mpi
compare 6 mpi
compare 4 doubling

# The same simulation takes the same time; not without the simulated MPI.
times=(simulate -m "$model" -d "40,400" --weights q8 --policy "full,raas,lessismore" --budget 32 -o csv
    --costs "$root/tests/data/smpi/costs.json")
ranks 4 "${times[@]}" >"$scratch/first"
ranks 4 "${times[@]}" >"$scratch/second"
cmp "$scratch/first" "$scratch/second" || fail "two simulations differ"
[ "$(wc -l <"$scratch/first")" -eq 7 ] || fail "simulate prints $(cat "$scratch/first")"
if "$program" "${times[@]}" 2>"$scratch/err" >/dev/null; then fail "simulate runs without smpirun"; fi
grep -q 'needs the simulated MPI' "$scratch/err" || fail "simulate without smpirun: $(cat "$scratch/err")"

# Started by hand the program says by what it is to be started.
code=0
"$CAUCUS" --version >"$scratch/out" 2>"$scratch/err" || code=$?
[ "$code" = 2 ] || fail "without smpirun the program ends with status $code"
grep -q '^caucus: this build is for the simulated MPI: start it with tools/simulate' "$scratch/err" ||
    fail "without smpirun: $(cat "$scratch/err")"
