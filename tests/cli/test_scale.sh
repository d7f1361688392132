#!/usr/bin/env bash
# caucus scale: starts its ranks, takes every test in every round, and the figures hold together. No time is held
# to anything.
set -euo pipefail
. "$(dirname "$0")/harness.sh"
export LC_ALL=C # in which gnuplot knows no degree sign, unless it is told otherwise
export OMP_NUM_THREADS=1
options=(-m models/stories260K -t 1 -p 0 -n 4)
pictures=()
if command -v gnuplot >/dev/null; then
    pictures=(--plot "$scratch/pictures")
fi

"$program" scale "${options[@]}" --np 1-3 -r 2 -d 0,40 --policy full,lessismore --budget 16 -o jsonl "${pictures[@]}" >"$scratch/out" 2>"$scratch/err" ||
    fail "$(cat "$scratch/err")"
[ ! -s "$scratch/err" ] || fail "$(cat "$scratch/err")"
/usr/bin/python3 - "$scratch/out" <<'END' || fail "$(cat "$scratch/out")"
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
cells = [(r["policy"], r["budget"], r["test"], r["n_ranks"]) for r in rows]
tests = [("tg4", 0), ("tg4 @ d40", 40)]
assert cells == [(p, k, t, n) for p, k in (("full", None), ("lessismore", 16)) for t, _ in tests for n in (1, 2, 3)]
for r in rows:
    base = [b for b in rows if (b["policy"], b["test"], b["n_ranks"]) == (r["policy"], r["test"], 1)][0]
    assert r["n_threads"] == 1 and r["n_samples"] == 2 and r["n_depth"] == dict(tests)[r["test"]]
    assert r["samples_ts"] == sorted(r["samples_ts"]) and abs(r["median_ts"] - sum(r["samples_ts"]) / 2) < 1e-6 * r["max_ts"]
    assert abs(r["speed_up"] - r["median_ts"] / base["median_ts"]) < 1e-9
    assert abs(r["efficiency"] * r["n_ranks"] - r["speed_up"]) < 1e-9
    assert r["compute_ms"] > 0 and r["sync_ms"] > 0
END

if [ ${#pictures[@]} -gt 0 ]; then
    for name in speedup efficiency shares; do
        for ending in svg png; do
            [ -s "$scratch/pictures/$name.$ending" ] || fail "$name.$ending was not drawn"
        done
    done
fi

"$program" scale "${options[@]}" --np 1,2 -r 1 -d 20 --weak -o csv >"$scratch/out" 2>"$scratch/err" || fail "$(cat "$scratch/err")"
/usr/bin/python3 - "$scratch/out" <<'END' || fail "$(cat "$scratch/out")"
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
assert [(r["scaling"], r["test"], r["n_ranks"], r["n_depth"]) for r in rows] == [
    ("weak", "tg4 @ d20/rank", str(n), str(20 * n)) for n in (1, 2)]
END

# A number of ranks that fails ends the study, and what was measured before is not lost.
status=0
"$program" scale -m models/stories260K --np 1,2 --launcher "tests/cli/fail_on_two.sh" -t 1 -p 0 -n 4 -r 1 >"$scratch/out" 2>"$scratch/err" || status=$?
[ "$status" = 1 ] || fail "exit status $status: $(cat "$scratch/err")"
[ "$(wc -l <"$scratch/out")" = 3 ] || fail "not a title, a rule and a row: $(cat "$scratch/out")"
grep -q "exit status 7 of tests/cli/fail_on_two.sh -n 2 " "$scratch/err" || fail "$(cat "$scratch/err")"

refuses "cannot run 'none'; name what starts MPI programs with --launcher" scale -m none --launcher none
refuses "--shares has 2 numbers, but --np 1 ranks: give it auto" scale -m none --shares 3,1 --np 1,2
refuses "--np has 2 twice" scale -m none --np 2,4,2
refuses "--launcher has no words" scale -m none --launcher " "
refuses "bench on 1 rank printed no measurement: does 'echo' show what its ranks print?" scale -m none --launcher echo
refuses "--weak gives each rank the same depth: name it with -d, above 0" scale -m none --weak
refuses "--weak and --sweep-depth both choose the depths: leave one out" scale -m none --weak --sweep-depth
refuses_together "scale starts its ranks itself: run it without mpirun; how it starts them is said by --launcher" scale -m none
