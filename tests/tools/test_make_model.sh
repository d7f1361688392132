#!/usr/bin/env bash
# tools/make-model: the same bytes for the same seed, and models that caucus runs: a folder and a GGUF file of one type
# give the same logits, quantised ones nearly those of f32.
set -euo pipefail
. "$(dirname "$0")/../cli/harness.sh"

make_model() {
    tools/make-model "$@" >"$scratch/made" || fail "make-model $*"
}

# logits MODEL: of every token of a line, a part of them decoded one by one.
logits() {
    echo '{"text": "hello world", "prompt_tokens": 3}' | "$program" score -m "$1" --logits 0,5
}

# off FILE FILE: the root of the mean squared difference between two outputs' logits, which are about 1.
off() {
    /usr/bin/python3 - "$@" <<'PYTHON'
import json, sys
a, b = (json.load(open(path))["logits"] for path in sys.argv[1:])
squares = [(x - y) ** 2 for row in a for x, y in zip(a[row], b[row], strict=True)]
print((sum(squares) / len(squares)) ** 0.5)
PYTHON
}

for shape in tiny-llama Tiny-Qwen3; do
    for type in f32 f16 bf16; do
        make_model $shape "$scratch/$shape.$type" --type "$type"
        [ -e "$scratch/$shape.$type.gguf" ] || make_model $shape "$scratch/$shape.$type.gguf" --type "$type"
        logits "$scratch/$shape.$type" >"$scratch/$shape.$type.json"
        logits "$scratch/$shape.$type.gguf" | cmp - "$scratch/$shape.$type.json" || fail "$shape $type: GGUF differs"
    done
    while read -r type limit; do
        [ -e "$scratch/$shape.$type.gguf" ] || make_model $shape "$scratch/$shape.$type.gguf" --type "$type"
        logits "$scratch/$shape.$type.gguf" >"$scratch/$shape.$type.json"
        difference=$(off "$scratch/$shape.f32.json" "$scratch/$shape.$type.json")
        awk "BEGIN { exit !($difference > 0 && $difference < $limit) }" || fail "$shape $type is off by $difference"
    done <<<$'f16 0.003\nbf16 0.03\nq8_0 0.1\nq4_0 0.8'
done

# K types. Bits that were packed wrongly would be off by about the logits themselves, 1.
make_model wide-llama "$scratch/wide.f32.gguf" --type f32
logits "$scratch/wide.f32.gguf" >"$scratch/wide.f32.json"
while read -r type limit; do
    make_model wide-llama "$scratch/wide.$type.gguf" --type "$type"
    logits "$scratch/wide.$type.gguf" >"$scratch/wide.$type.json"
    difference=$(off "$scratch/wide.f32.json" "$scratch/wide.$type.json")
    awk "BEGIN { exit !($difference > 0 && $difference < $limit) }" || fail "wide-llama $type is off by $difference"
done <<<$'q6_k 0.1\nq5_k 0.2\nq4_k 0.4'

make_model tiny-llama "$scratch/again.gguf" --type q4_0
cmp "$scratch/again.gguf" "$scratch/tiny-llama.q4_0.gguf" || fail "the same seed gives other bytes"
make_model tiny-llama "$scratch/other.gguf" --type q4_0 --seed 1
! cmp -s "$scratch/other.gguf" "$scratch/again.gguf" || fail "another seed gives the same bytes"

make_model tiny-qwen3 "$scratch/one" --layers 1
"$program" inspect -m "$scratch/one" | grep -qE '^layers +1$' || fail "--layers: $("$program" inspect -m "$scratch/one")"
text=$("$program" tokenize -m "$scratch/one" --decode -p "$("$program" tokenize -m "$scratch/one" -p "ah, Ünicode")")
[ "$text" = "ah, Ünicode" ] || fail "the tokenizer makes '$text' of its own tokens"

for wrong in "tiny-qwen3 $scratch/q --type q8_0" "tiny-qwen3 $scratch/q.gguf --type q4_k" "tiny-qwen3 $scratch/one" "gpt-2 $scratch/new" \
    "tiny-qwen3 $scratch/new --layers 0"; do
    # shellcheck disable=SC2086 # several arguments
    tools/make-model $wrong >"$scratch/made" 2>&1 && fail "make-model $wrong is accepted"
    grep -q '^make-model: error: ' "$scratch/made" || fail "make-model $wrong: $(cat "$scratch/made")"
done
