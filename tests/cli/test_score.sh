#!/usr/bin/env bash
# caucus score: what is written up to a bad line, and what is refused before and after the model is loaded.
set -euo pipefail
. "$(dirname "$0")/harness.sh"
model=models/stories260K
export OMP_NUM_THREADS=1

# The text is read as the tokenizer reads it; ids are repeated.
printf '%s\n' '{"ids": [1, 403, 407, 261, 378], "id": "a"}' '' '{"text": "Once upon a time", "id": 2}' >"$scratch/same.jsonl"
"$program" score -m $model --input "$scratch/same.jsonl" --logits 0,4 --output "$scratch/out"
[ "$(wc -l <"$scratch/out")" = 2 ] || fail "two lines give $(wc -l <"$scratch/out")"
grep -q '^{"id": "a", "tokens": 5, "prompt_tokens": 5, .*"argmax": \[403, 407, 261, 378, 432\], "perplexity": 1\.' \
    "$scratch/out" || fail "ids: $(head -c 500 "$scratch/out")"
[ "$(sed -n '1s/"id": "a"//p' "$scratch/out")" = "$(sed -n '2s/"id": 2//p' "$scratch/out")" ] || fail "text is not ids"

# Lines before a bad one are written, whoever runs beside them; those after it are not.
for parallel in 1 2 3; do
    printf '%s\n' '{"ids": [1, 403, 407, 261, 378, 432], "prompt_tokens": 2}' '{"ids": [1, 403]}' '{"ids": [512]}' \
        '{"ids": [1, 403]}' >"$scratch/bad.jsonl"
    status=0
    "$program" score -m $model --input "$scratch/bad.jsonl" --parallel $parallel >"$scratch/bad.$parallel" \
        2>"$scratch/err" || status=$?
    [ $status = 2 ] || fail "a bad line: exit status $status"
    [ "$(cat "$scratch/err")" = "caucus: input line 3: ids[0] is no token of this model (0 to 511)" ] ||
        fail "a bad line: $(cat "$scratch/err")"
    [ "$(wc -l <"$scratch/bad.$parallel")" = 2 ] || fail "a bad line: $(cat "$scratch/bad.$parallel")"
    cmp "$scratch/bad.1" "$scratch/bad.$parallel" || fail "a bad line at --parallel $parallel"
done

# More short lines behind a long one than may wait for it.
{
    echo '{"ids": [1, 403, 407, 261, 378, 432, 383, 286, 261, 262, 423, 388], "prompt_tokens": 1, "id": 0}'
    for i in $(seq 20); do echo "{\"ids\": [1], \"id\": $i}"; done
} >"$scratch/slow.jsonl"
ids=$("$program" score -m $model --input "$scratch/slow.jsonl" --parallel 2 | grep -o '^{"id": [0-9]*' | tr -dc '0-9\n')
[ "$ids" = "$(seq 0 20)" ] || fail "order behind a slow line: $ids"

# Between hosts a long step goes in parts whose sums are begun early: the same bits as one process; and in fast numerics the
# same from one run to the next, whichever way sums take.
echo "{\"ids\": [1$(for i in $(seq 299); do printf ', %d' $((403 + i * i % 97)); done)]}" >"$scratch/long.jsonl"
"$program" score -m $model --input "$scratch/long.jsonl" --output "$scratch/alone"
for hosts in 0,1,2 0,1,0; do
    CAUCUS_TEST_HOSTS=$hosts mpirun -n 3 "$program" score -m $model --input "$scratch/long.jsonl" --output "$scratch/apart"
    cmp "$scratch/alone" "$scratch/apart" || fail "scores of 300 tokens on hosts $hosts"
    for way in direct scatter; do
        CAUCUS_TEST_HOSTS=$hosts mpirun -n 3 "$program" score -m $model --input "$scratch/long.jsonl" \
            --numerics fast --wire bf16 --allreduce $way --output "$scratch/fast.$way"
    done
    cmp "$scratch/fast.direct" "$scratch/fast.scatter" || fail "fast scores of 300 tokens on hosts $hosts"
    ! cmp -s "$scratch/alone" "$scratch/fast.direct" || fail "bf16 between hosts rounds nothing"
done

# Files are missed before the model is.
refuses_together "cannot open $scratch/none: No such file or directory" score -m none --input "$scratch/none"
refuses "cannot write $scratch/none/out: No such file or directory" score -m none --input "$scratch/bad.jsonl" \
    --output "$scratch/none/out"
refuses "--logits names position 1 more than once" score -m none --logits 1,0,1
refuses "cannot open $scratch/none: No such file or directory" run -m none -f "$scratch/none"

# What only writing shows.
refuses_together "cannot write the scores: No space left on device" score -m $model --input "$scratch/bad.jsonl" \
    --output /dev/full
refuses "--logits asks for position 5, but input line 2 has 5 tokens" score -m $model --input <(
    echo
    sed -n 1p "$scratch/same.jsonl"
) --logits 5

# Damaged weights: NaN in the embedding of token 9. Lines without it are scored, whoever runs beside them, and run
# uses the same words.
tensors=tests/data/models/tiny_qwen3/model.safetensors
mkdir "$scratch/model"
cp tests/data/models/tiny_qwen3/config.json $tensors "$scratch/model"
chmod u+w "$scratch/model"/*
printf '\xff\x7f' |
    dd of="$scratch/model/model.safetensors" bs=1 seek=$((8 + 2530 + 135936 + 9 * 64 * 2)) conv=notrunc status=none
printf '%s\n' '{"ids": [1, 2, 3, 4, 5, 6], "prompt_tokens": 2}' '{"ids": [3, 9]}' '{"ids": [1]}' >"$scratch/damaged.jsonl"
sentence="the logits at position 1 hold NaN or infinity; the weights may be damaged, or try --numerics fast"
for parallel in 1 3; do
    status=0
    "$program" score -m "$scratch/model" --input "$scratch/damaged.jsonl" --parallel $parallel \
        >"$scratch/damaged.$parallel" 2>"$scratch/err" || status=$?
    [ $status = 2 ] || fail "damaged weights: exit status $status"
    [ "$(cat "$scratch/err")" = "caucus: input line 2: $sentence" ] || fail "damaged weights: $(cat "$scratch/err")"
    [ "$(wc -l <"$scratch/damaged.$parallel")" = 1 ] || fail "damaged weights: $(cat "$scratch/damaged.$parallel")"
    cmp "$scratch/damaged.1" "$scratch/damaged.$parallel" || fail "damaged weights at --parallel $parallel"
done
cp $model/{config.json,tokenizer.json,tokenizer_config.json} "$scratch/model"
{ head -c -4 $model/model.safetensors; printf '\xff\xff\xff\x7f'; } >"$scratch/model/model.safetensors"
refuses "the logits at position 4 hold NaN or infinity; the weights may be damaged, or try --numerics fast" \
    run -m "$scratch/model" -p "Once upon a time"
