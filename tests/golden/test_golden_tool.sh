#!/usr/bin/env bash
# test_golden_tool.sh TOOL: the comparison must fail where something differs, is missing, or nothing is compared.
set -euo pipefail
tool=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# compares STATUS GOLDEN OUTPUT [TOLERANCE]
compares() {
    local status=0
    echo "$2" >"$scratch/golden"
    echo "$3" >"$scratch/output"
    "$tool" compare "$scratch/golden" "$scratch/output" "${@:4}" >"$scratch/said" || status=$?
    if [ $status != "$1" ]; then
        echo "FAILED: status $status, not $1, for $2 and $3: $(cat "$scratch/said")"
        exit 1
    fi
}

scores='"argmax": [3, 4], "logprobs": [-0.0001], "perplexity": 1.0001'
output='"argmax": [3, 4], "logprobs": [-0.0001, null], "perplexity": 1.0001'
compares 0 "{$scores}" "{$output}"
compares 0 '{"argmax": [4], "logits": [[1, 2]], "positions": [1]}' "{$output, \"logits\": {\"1\": [1, 2.001]}}"
compares 0 '{"argmax": [3], "logits": [[1, 2]]}' '{"argmax": [3], "logits": {"0": [1, 2]}, "perplexity": null}'

# Nothing, or too little, to compare.
compares 1 '{}' "{$output}"
compares 1 '{"argmax": [3, 4]}' "{$output}"
compares 1 '{"argmax": [3, 4], "logits": [], "logprobs": []}' "{$output}"
compares 1 '{"argmax": [], "logprobs": [-0.0001]}' "{$output}"
compares 1 '{"logits": [[1, 2]]}' '{"logits": {"0": [1, 2]}}'
compares 1 '{"argmax": [3], "logits": [[]]}' '{"argmax": [3], "logits": {"0": []}}'

# Missing from the output.
compares 1 "{$scores}" '{}'
compares 1 "{$scores}" "$(echo "{$output}" | sed 's/, "perplexity".*/}/')"
compares 1 "{$scores}" "$(echo "{$output}" | sed 's/"perplexity": .*/"perplexity": null}/')"
compares 1 "{$scores}" "{${output/-0.0001/null}}"
compares 1 "{$scores}" "{${output/-0.0001, null/-0.0001}}"
compares 1 "{$scores}" "{${output/, 4/}}"
compares 1 "{$scores, \"logits\": [[1, 2]]}" "{$output}"
compares 1 "{$scores, \"logits\": [[1, 2]]}" "{$output, \"logits\": {\"1\": [1, 2]}}"
compares 1 "{$scores, \"logits\": [[1, 0]]}" "{$output, \"logits\": {\"0\": [1, null]}}"

# Different.
compares 1 "{$scores}" "{${output/3/4}}"
compares 1 "{$scores}" "{${output/-0.0001/-0.1}}"
compares 1 "{$scores}" "{${output/1.0001/1.1}}"
compares 1 "{$scores, \"logits\": [[1, 2]]}" "{$output, \"logits\": {\"0\": [1, 2.1]}}"

# With a tolerance of its own, argmax has one too: 1.9 may have become the best, 1.5 not.
compares 0 '{"argmax": [1], "logits": [[1.9, 2, 1.5]]}' '{"argmax": [0], "logits": {"0": [1.97, 1.95, 1.5]}}' 0.05
compares 1 '{"argmax": [1], "logits": [[1.9, 2, 1.5]]}' '{"argmax": [0], "logits": {"0": [1.97, 1.95, 1.5]}}' 0.03
compares 1 '{"argmax": [1], "logits": [[1.9, 2, 1.5]]}' '{"argmax": [2], "logits": {"0": [1.9, 2, 1.5]}}' 0.05
compares 1 '{"argmax": [1], "logits": [[1.9, 2, 1.5]]}' '{"argmax": [0], "logits": {"0": [1.9, 2, 1.5]}}'
compares 1 '{"argmax": [1], "logits": [[1.9, 2, 1.5]]}' '{"argmax": [3], "logits": {"0": [1.9, 2, 1.5]}}' 0.05
