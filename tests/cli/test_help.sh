#!/usr/bin/env bash
# --help and --version.
set -euo pipefail
. "$(dirname "$0")/harness.sh"

prints "caucus 0.1.0" --version
prints "caucus 0.1.0" run --version
shows help.txt --help
for command in run score bench scale eval tokenize plan inspect trace calibrate supervise simulate; do
    shows "help_$command.txt" "$command" --help
done
CAUCUS_NONSENSE=1 shows help_plan.txt plan -h

output=$(mpirun -n 2 "$program" --help)
[ "$output" = "$(cat "$expected/help.txt")" ] || fail "two ranks print other help than one"
