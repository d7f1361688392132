#!/usr/bin/env bash
# test_transport.sh PROGRAM...: cluster/'s own tests under mpirun, on hosts that hold one, two and three of the ranks
# each, in rank order and by turns.
set -euo pipefail
n_hosts=4
. "$(dirname "$0")/harness.sh"
export CMOCKA_TEST_ABORT=1

for test in "$@"; do
    for placement in "-n 2 -H a,b" "-n 4 -H a:3,b:1" "-n 4 -H a:2,b:2 --map-by node" "-n 4 -H a,b,c,d"; do
        # shellcheck disable=SC2086 # several words
        timeout 100 mpirun $placement "$test" >"$scratch/out" 2>&1 </dev/null ||
            fail "$(basename "$test") $placement: $(cat "$scratch/out")"
    done
done
