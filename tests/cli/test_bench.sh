#!/usr/bin/env bash
# caucus bench: all formats can be read back and hold together, on one rank and on two. No time is held to anything.
set -euo pipefail
. "$(dirname "$0")/harness.sh"
model=models/stories260K
export OMP_NUM_THREADS=1

check() {
    /usr/bin/python3 tests/cli/check_bench.py "$@"
}

tests=(-m "$model" -p 8 -n 4 -pg "6,3" -d "0,40" -r 2 -t 1 --policy "full,lessismore" --budget 16)
for format in md csv json jsonl; do # each reads half a gigabyte, to say how fast memory is: seconds
    launch=() ranks=1
    [ $format != json ] || launch=(mpirun -n 2) ranks=2
    "${launch[@]}" "$program" bench "${tests[@]}" -o $format >"$scratch/out" 2>"$scratch/err" || fail "$format: $(cat "$scratch/err")"
    check $format $ranks <"$scratch/out" || fail "$format: $(cat "$scratch/out")"
    [ ! -s "$scratch/err" ] || fail "$format: $(cat "$scratch/err")"
done
"$program" bench -m $model --sweep-depth -c 300 -n 2 -r 1 --no-warmup -o jsonl >"$scratch/out"
grep -o '"test":"[^"]*"' "$scratch/out" | cmp - <(echo '"test":"tg2 @ d298"') || fail "sweep: $(cat "$scratch/out")"

# Refused before the model is looked for, and after.
refuses_together "there is nothing to measure: -p and -n are 0" bench -m none -p 0 -n 0
refuses "cannot open none: No such file or directory" bench -m none
refuses "--sweep-depth chooses the depths and generates only: leave out -d, --pg and --n-parallel" bench -m none --sweep-depth -d 1
refuses "1000 tokens at depth 0 do not fit a context of 512" bench -m $model -c 512 -p 1000
