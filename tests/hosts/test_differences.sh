#!/usr/bin/env bash
# What may differ from host to host, and is refused with the rank that differs: no model, another one, another program.
set -euo pipefail
n_hosts=2
. "$(dirname "$0")/harness.sh"
model=$scratch/model
cp -r models/stories260K "$model"

refused_together() {
    refused "$1" mpirun -q -n 2 -H a,b "$scratch/caucus" run -m "$model" -p "Once upon a time" -n 11
}

# A copy of the program, since mounts on it are seen by all who run it.
cp "$program" "$scratch/caucus"
output=$(mpirun -q -n 2 -H a,b "$scratch/caucus" run -m "$model" -p "Once upon a time" -n 11)
[ "$output" = ", there was a little girl named Lily." ] || fail "two hosts: '$output'"

LC_ALL=C sed 's/sources [0-9a-f]/sources x/' "$program" >"$scratch/other"
chmod +x "$scratch/other"
"$HOSTS" exec b mount --bind "$scratch/other" "$scratch/caucus"
refused_together "rank 1: disagrees with rank 0 on the program's sources: install one build on every host"
"$HOSTS" exec b umount "$scratch/caucus"

"$HOSTS" exec b mount --bind tests/data/models/tiny_qwen3 "$model"
refused_together "rank 1: disagrees with rank 0 on the model's files"
"$HOSTS" exec b umount "$model"

"$HOSTS" exec b mount -t tmpfs empty "$model"
refused_together "rank 1: cannot open $model/config.json: No such file or directory"
"$HOSTS" exec b umount "$model"
