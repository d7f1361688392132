"""Log probabilities and perplexity of a text under stories260K."""

import numpy as np

import oracle
from sample_text import stories_tokens

MODEL = "stories260K"
N_TOKENS = 200


def log_softmax(rows):
    shifted = rows - rows.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def main():
    ids = stories_tokens(N_TOKENS)
    rows = oracle.logits(oracle.load(oracle.MODELS / MODEL), ids)
    logprobs = log_softmax(rows)[np.arange(N_TOKENS - 1), ids[1:]]
    perplexity = float(np.exp(-logprobs.mean()))
    best_two = np.sort(rows, axis=-1)[:, -2:]
    print(f"perplexity {perplexity:.6f}; best logit leads by {(best_two[:, 1] - best_two[:, 0]).min():.1e} at worst")
    oracle.write_json(oracle.GOLDEN / f"score_{MODEL}.json", {
        "note": oracle.NOTE + "; logprobs[i] is that of token_ids[i + 1] after token_ids[0…i], natural"
                " logarithm; perplexity = exp(-mean(logprobs)); argmax[i] is the best token after token_ids[0…i]",
        "model": MODEL, "token_ids": ids, "logprobs": [float(f"{p:.10g}") for p in logprobs],
        "perplexity": float(f"{perplexity:.10g}"), "argmax": [int(row.argmax()) for row in rows]})


if __name__ == "__main__":
    main()
