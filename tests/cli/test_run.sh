#!/usr/bin/env bash
# caucus run and score: where prompts come from, what is printed, and what only the started model can refuse.
set -euo pipefail
. "$(dirname "$0")/harness.sh"
model=models/stories260K
export OMP_NUM_THREADS=1

text=", there was a little girl named Lily."
prints "$text" run -m $model -p "Once upon a time" -n 11
prints "$text" run -m tests/data/models/stories260K.gguf -p "Once upon a time" -n 11
printf 'Once upon a time' | prints "$text" run -m $model -n 11
printf 'Once upon a time' >"$scratch/prompt"
prints "$text" run -m $model -n 11 -f "$scratch/prompt"
prints ", there was" run -m $model -p "Once upon a time" -n 100 --stop " a little"
printf 'model: %s\nmax-tokens: 11\n' $model >"$scratch/run.yaml"
prints "$text" run --config "$scratch/run.yaml" -p "Once upon a time"

output=$(mpirun -n 2 "$program" run -m $model -p "Once upon a time" -n 11)
[ "$output" = "$text" ] || fail "two ranks: '$output'"

# The JSON object, without its times.
json=$("$program" run -m $model -p "Once upon a time" -n 3 --json | sed 's/, "logits_rows_fetched".*//')
[ "$json" = '{"prompt_ids": [1, 403, 407, 261, 378], "generated_ids": [432, 383, 286], "text": ", there was", "finish_reason": "length"' ] ||
    fail "--json: $json"

scores=$(echo '{"ids":[1,403,407,261]}' | "$program" score -m $model | grep -o '"argmax": [^]]*]')
[ "$scores" = '"argmax": [403, 407, 261, 378]' ] || fail "score: $scores"

# Behind random keys and values: the same for every number of ranks, in any slot, beside any other; another context
# gives another text.
filled=$("$program" run -m $model -p "Once upon a time" -n 11 --fill-kv 300 --seed 3)
if [ -z "$filled" ] || [ "$filled" = "$text" ]; then fail "--fill-kv changes nothing"; fi
[ "$filled" != "$("$program" run -m $model -p "Once upon a time" -n 11 --fill-kv 300 --seed 4)" ] ||
    fail "--fill-kv does not depend on the seed"
again=$(mpirun -n 3 "$program" run -m $model -p Lily -p The -p "Once upon a time" -n 11 --fill-kv 300 --seed 3 \
    --parallel 2 | sed '1,/answer 3 of 3/d')
[ "$again" = "$filled" ] || fail "--fill-kv on three ranks, in the second turn of a slot: '$again' instead of '$filled'"

# Threads that are more than the cores do not wait by looking: with what OpenMP does by itself this takes minutes.
again=$(env -u OMP_WAIT_POLICY timeout 60 mpirun -n 4 "$program" run -m models/lemma -p "1+1" -n 40 --ignore-eos -t 4) ||
    fail "4 ranks of 4 threads take too long"
[ "$again" = "$("$program" run -m models/lemma -p "1+1" -n 40 --ignore-eos -t 1)" ] || fail "4 ranks of 4 threads: '$again'"

# However the ranks add their parts, and where MPI has no shared memory for them, the text is the same.
for way in auto mpi shared; do
    again=$(mpirun -n 2 "$program" run -m $model -p "Once upon a time" -n 11 --allreduce $way)
    [ "$again" = "$output" ] || fail "--allreduce $way: '$again' instead of '$output'"
done
for way in auto leaders doubling ring direct scatter; do # rank 1 alone on a host of its own
    again=$(CAUCUS_TEST_HOSTS=0,1,0 mpirun -n 3 "$program" run -m $model -p "Once upon a time" -n 11 --allreduce $way)
    [ "$again" = "$output" ] || fail "--allreduce $way on two hosts: '$again' instead of '$output'"
done
again=$(OMPI_MCA_osc=^sm,ucx mpirun -n 2 "$program" run -m $model -p "Once upon a time" -n 11)
[ "$again" = "$output" ] || fail "without shared memory: '$again' instead of '$output'"

# Refused once the ranks know the model.
refuses "the prompt has 5 tokens, which leaves no room in the context of 5" run -m $model -p "Once upon a time" -c 5
refuses "the prompt has 5 tokens, which behind 500 of --fill-kv leaves no room in the context of 505" \
    run -m $model -p "Once upon a time" -c 505 --fill-kv 500
refuses_together "unknown policy 'fulll': choose one of full, lessismore, delta, h2o, rkv, refresh, quest, streaming, raas, tidal, sparsemax, sparsemax-select, tactic, multipole, emulate" run -m $model -p x --policy fulll
refuses "select layers must ascend: 2 comes after 3" run -m $model -p x --policy lessismore --select-layers 3,2
refused "--allreduce shared needs memory that all ranks see, but they are on several hosts, or /dev/shm is too small" \
    env OMPI_MCA_osc=^sm,ucx mpirun -n 2 "$program" run -m $model -p x --allreduce shared
refused "--allreduce shared needs memory that all ranks see, but they are on several hosts, or /dev/shm is too small" \
    env CAUCUS_TEST_HOSTS=0,1 mpirun -n 2 "$program" run -m $model -p x --allreduce shared
refused "CAUCUS_TEST_HOSTS=0: 2 numbers of hosts with commas between them are wanted" \
    env CAUCUS_TEST_HOSTS=0 mpirun -n 2 "$program" run -m $model -p x
refused "rank 1: cannot open $model: No such file or directory" \
    mpirun -n 1 "$program" run -m $model -p x : -n 1 -wdir / "$program" run
refused "2 of this program were started, but MPI connects none of them: add --mpi=pmix to srun, or use the mpirun of the MPI library that caucus was built with" \
    env SLURM_STEP_NUM_TASKS=2 "$program" run -m $model -p x
LC_ALL=C sed 's/sources [0-9a-f]/sources x/' "$program" >"$scratch/other"
chmod +x "$scratch/other"
refused "rank 1: disagrees with rank 0 on the program's sources: install one build on every host" \
    mpirun -n 1 "$program" run -m $model -p x : -n 1 "$scratch/other" run -m $model -p x
