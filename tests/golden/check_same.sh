#!/usr/bin/env bash
# check_same.sh MPIEXEC CAUCUS DATA: answers and logits must be the same bytes whatever the number of ranks and
# threads, and whoever else is in the batch.
set -euo pipefail
mpiexec=$1 caucus=$2 data=$3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0 compared=0

same() { # same WHAT FILE REFERENCE
    compared=$((compared + 1))
    if [ ! -s "$3" ] || ! cmp -s "$2" "$3"; then
        echo "differs: $1" >&2
        failed=1
    fi
}

# run_caucus RANKS THREADS ARGUMENT…: 0 ranks are one without mpirun, which takes longer to start than most of these answers.
run_caucus() {
    local mpirun=("$mpiexec" -n "$1")
    [ "$1" != 0 ] || mpirun=()
    "${mpirun[@]}" env OMP_NUM_THREADS="$2" "$caucus" "${@:3}" --threads "$2"
}

# The parts of a --json answer that may not depend on the machine: everything but the times.
answer() {
    sed 's/, "times": {[^}]*}//'
}

compare_model() { # compare_model MODEL "RANKS…" OPTION…
    local model=$1 rank_counts=$2 name ranks threads
    shift 2
    name="$(basename "$model") $*"
    # Lines of different lengths, so that chunks and positions interleave when they run side by side.
    printf '%s\n' '{"ids": [1, 5, 9, 13, 17, 21, 25, 29, 33, 37, 41, 45, 49, 53, 57, 61, 65, 69, 73, 77, 81, 85, 89, 93, 97, 101, 105, 109, 113, 117, 121, 125, 129, 133, 137, 141], "prompt_tokens": 20}' \
        >"$scratch/one.jsonl"
    printf '%s\n' '{"ids": [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40], "prompt_tokens": 1}' \
        '{"ids": [7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]}' \
        '{"ids": [100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 100, 90, 80, 70, 60, 50], "prompt_tokens": 33}' \
        >"$scratch/others.jsonl"
    run_caucus 0 1 score -m "$model" --input "$scratch/one.jsonl" --logits 0,19,20,35 "$@" >"$scratch/reference"
    for ranks in $rank_counts; do
        for threads in 1 2; do
            run_caucus "$ranks" "$threads" score -m "$model" --input "$scratch/one.jsonl" --logits 0,19,20,35 "$@" \
                >"$scratch/out"
            same "$name: score, $ranks ranks x $threads threads" "$scratch/out" "$scratch/reference"
        done
        # Third of four in the same plans, with small chunks; only its own line is compared.
        { sed -n 1,2p "$scratch/others.jsonl"; cat "$scratch/one.jsonl"; sed -n 3p "$scratch/others.jsonl"; } \
            >"$scratch/four.jsonl"
        run_caucus "$ranks" 2 score -m "$model" --input "$scratch/four.jsonl" --logits 0,19,20,35 --parallel 4 \
            --batch-tokens 24 "$@" | sed -n 3p >"$scratch/out"
        same "$name: score beside three others, $ranks ranks" "$scratch/out" "$scratch/reference"
    done
}

# Nine lines of 1 to 33 tokens that share two slots: they join and leave while their neighbours are in the middle of
# theirs, and every slot is used again. Chunks of 1 and 5 tokens cut all prompts differently.
compare_neighbours() { # compare_neighbours MODEL OPTION…
    local model=$1 i length
    shift
    for i in 0 1 2 3 4 5 6 7 8; do
        length=$((1 + i * 4 % 9 * 4))
        printf '{"ids": [%s], "prompt_tokens": %d, "id": %d}\n' \
            "$(seq -s ', ' $((3 + i)) $((5 + i)) $((3 + i + (5 + i) * (length - 1))))" $((1 + length * (i % 4) / 4)) "$i"
    done >"$scratch/nine.jsonl"
    run_caucus 0 1 score -m "$model" --input "$scratch/nine.jsonl" --logits 0 --parallel 1 "$@" >"$scratch/reference"
    [ "$(wc -l <"$scratch/reference")" = 9 ] || failed=1
    for ranks in 1 2 3 4; do
        for batch in 1 5; do
            run_caucus "$ranks" 1 score -m "$model" --input "$scratch/nine.jsonl" --logits 0 --parallel 2 \
                --batch-tokens "$batch" "$@" >"$scratch/out"
            same "$(basename "$model") $*: nine lines in two slots, $ranks ranks, batches of $batch" "$scratch/out" \
                "$scratch/reference"
        done
    done
}

compare_answers() { # compare_answers MODEL OPTION…
    local model=$1
    shift
    run_caucus 0 1 run -m "$model" --raw -p "Once upon a time" -n 100 --json "$@" | answer >"$scratch/reference"
    for ranks in 1 2 3 5 8; do # of 4 KV heads
        run_caucus "$ranks" 2 run -m "$model" --raw -p "Once upon a time" -n 100 --json "$@" | answer >"$scratch/out"
        same "$(basename "$model") $*: run, $ranks ranks" "$scratch/out" "$scratch/reference"
        run_caucus "$ranks" 1 run -m "$model" --raw -p "Once upon a time" -p "Lily" -p "The big dog" -p "A" -n 100 \
            --json "$@" | sed -n 1p | answer >"$scratch/out"
        same "$(basename "$model") $*: run beside three others, $ranks ranks" "$scratch/out" "$scratch/reference"
    done
}

# However unevenly the ranks share; with 100,1,… one of two has all rows of its head.
compare_shares() { # compare_shares "SHARES…" MODEL OPTION…
    local all=$1 model=$2 shares ranks
    shift 2
    run_caucus 0 1 run -m "$model" --raw -p "Once upon a time" -n 60 --json --logprobs 1 "$@" | answer >"$scratch/reference"
    for shares in $all; do
        ranks=$(tr -cd , <<<"$shares" | wc -c)
        ranks=$((ranks == 0 ? 2 : ranks + 1))
        run_caucus "$ranks" 1 run -m "$model" --raw -p "Once upon a time" -n 60 --json --logprobs 1 "$@" --shares "$shares" |
            answer >"$scratch/out"
        same "$(basename "$model") $*: run, shares $shares" "$scratch/out" "$scratch/reference"
    done
}

differs() { # differs WHAT FILE REFERENCE
    compared=$((compared + 1))
    if [ ! -s "$2" ] || [ ! -s "$3" ] || cmp -s <(without_attended <"$2") <(without_attended <"$3"); then
        echo "does not differ: $1" >&2
        failed=1
    fi
}

without_attended() {
    sed 's/"attended_tokens": [0-9]*/"attended_tokens": N/'
}

# Every policy there is, on answers long enough that pages fill, sets move and tokens are evicted. With log-probabilities,
# so that a difference shows before it changes a token. 500 tokens of budget are more than any sequence here has, 64 fewer:
# with these each policy must leave something out. The windows of two are by default longer than that.
compare_policies() { # compare_policies MODEL
    local model=$1 policy ranks problem
    problem='given wf=3,bj=8. mq+ma=rn;rf-bj=ma;bj-wf=rf;rn-ma=zt;zt+rf=np; find np'
    short='given ab=1,cd=2. ab+cd=ef;ef-ab=gh; find gh'
    answers() { # answers RANKS THREADS OPTION…
        run_caucus "$1" "$2" run -m "$model" --json --logprobs 1 --ignore-eos -p "$problem" "${@:3}" -n 150 \
            --policy-options tactic.window=32,delta.newest=1
    }
    answers 0 1 | answer >"$scratch/full"
    for policy in $(policies "$model"); do
        answers 1 2 --policy "$policy" --budget 500 | answer | without_attended >"$scratch/out"
        case $policy in
        full | emulate | sparsemax* | tactic) ;; # other weights, or no budget
        *) same "$policy with the budget of all tokens: run" "$scratch/out" "$scratch/full" ;;
        esac
        answers 0 1 --policy "$policy" --budget 64 | answer >"$scratch/reference"
        [ "$policy" = full ] || differs "$policy with a budget of 64 from full" "$scratch/reference" "$scratch/full"
        for ranks in 3 "$(most_ranks "$policy")"; do
            answers "$ranks" $((ranks == 3 ? 2 : 1)) --policy "$policy" --budget 64 | answer >"$scratch/out"
            same "$policy: run, $ranks ranks" "$scratch/out" "$scratch/reference"
        done
        answers 2 1 --policy "$policy" --budget 64 -p "$short" -p "$problem $short" | sed -n 1p | answer >"$scratch/out"
        same "$policy: run beside two others, 2 ranks" "$scratch/out" "$scratch/reference"
    done
}

# Two ranks to each of the 4 KV heads, or to one of them.
most_ranks() {
    case $1 in
    lessismore | quest | rkv | multipole) echo 8 ;;
    *) echo 5 ;;
    esac
}

# A text of several units of 128 rows, so that every rank of a KV head has its part of most lists; 13 ranks are groups of
# 4 and 3.
compare_long() { # compare_long MODEL OPTION…
    local model=$1 ranks
    shift
    printf '{"ids": [%s], "prompt_tokens": 680}\n' "$(seq -s ', ' 5 704)" >"$scratch/long.jsonl"
    run_caucus 0 1 score -m "$model" --input "$scratch/long.jsonl" --logits 0,400,699 "$@" >"$scratch/reference"
    for ranks in 6 13; do
        run_caucus "$ranks" 1 score -m "$model" --input "$scratch/long.jsonl" --logits 0,400,699 --batch-tokens 96 "$@" \
            >"$scratch/out"
        same "$(basename "$model") $*: a long line, $ranks ranks" "$scratch/out" "$scratch/reference"
    done
}

# policies MODEL: their names, from the sentence that refuses an unknown one.
policies() {
    "$caucus" run -m "$1" -p x --policy unknown 2>&1 | sed -n 's/.*choose one of //p' | tr -d ','
}

sparse=(--policy lessismore --budget 16 "--select-layers=1,3")
case $4 in
stories)
    compare_model "$data/models/stories260K" "1 2 3 4"
    compare_model "$data/models/stories260K" "1 2 3 4" "${sparse[@]}"
    compare_neighbours "$data/models/stories260K"
    compare_neighbours "$data/models/stories260K" "${sparse[@]}"
    compare_answers "$data/models/stories260K"
    compare_answers "$data/models/stories260K" "${sparse[@]}"
    # Large enough that a decode step's rows and heads are really split over the threads.
    compare_answers "$data/../../models/lemma" "${sparse[@]}"
    compare_answers "$data/models/stories260K" --temperature 0.8 --top-p 0.9 --seed 7
    compare_shares "1,3 5,1,2 auto 1,1,6,1,2,3" "$data/../../models/lemma" "${sparse[@]}"
    compare_shares 100,1,100,1,100,1,100,1 "$data/models/stories260K" --policy quest --budget 48 --correct-every 5
    ;;
types) # every type of weights and pages
    for type in f32 f16 bf16 q8_0 q4_0; do
        compare_model "$data/models/small_llama.$type.gguf" "1 4" --policy lessismore --budget 16 --select-layers 1,2
    done
    # The lemma model's products have many panels and blocks, and are split over the threads.
    compare_model "$data/../../models/lemma" "1 3" --weights q8
    compare_model "$data/../../models/lemma" "1 3" --weights q4
    # 172 columns of the MLP are no whole blocks: that matrix stays as it is.
    compare_model "$data/models/stories260K" "1 4" --weights q8
    compare_model "$data/models/wide_llama.q4_k_m.gguf" "1 4"
    compare_model "$data/models/wide_llama.q5_k.gguf" "1 4"
    compare_model "$data/models/small_llama" "1 4" --kv-type f32
    compare_model "$data/models/small_llama" "1 4" --kv-type bf16
    compare_model "$data/../../models/lemma" "1 2" --kv-type q8
    ;;
policies)
    [ "$(policies "$data/../../models/lemma" | wc -w)" -ge 2 ] || failed=1
    compare_policies "$data/../../models/lemma"
    compare_long "$data/../../models/lemma" --policy quest --budget 128
    compare_long "$data/../../models/lemma" --policy lessismore --budget 32 # so few that the best travel, not all scores
    compare_long "$data/../../models/lemma" --policy tidal --budget 32
    ;;
architectures)
    for model in tiny_qwen2 tiny_qwen3_tf5 tiny_qwen3_moe tiny_mistral_window tiny_llama3_yarn; do
        compare_model "$data/models/$model" "1 2"
    done
    ;;
esac
echo "$compared comparisons"
exit $failed
