/* coordinator/score_line.h - one line of `caucus score`: what comes in, what goes out.
 *
 * In, a JSON object:  "ids": [int, …] or "text": string; "prompt_tokens": int, optional (all tokens, where
 * it is missing: everything is read densely); "id": a string or an integer, optional, repeated in the output.
 * Out: "id", "tokens": n, "prompt_tokens", "logprobs": [n] with logprobs[i] the log probability of token
 * i + 1 (null for the last), "argmax": [n] the likeliest successor of token i, "perplexity" over the n - 1
 * known successors (null for a single token), "recall" where it is probed (coordinator/recall.h), "logits":
 * {"I": [vocab_size], …} for the positions asked for.
 * Numbers that are not finite, as a perplexity beyond what a double holds, are null.
 *
 * Memory:  a line owns its arrays; score_line_free gives them back.
 * Threads: one at a time.
 * Ranks:   rank 0. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "coordinator/recall.h"
#include "coordinator/tokenizer/tokenizer.h"

/* What all lines have in common. */
struct score_context {
    const char *model;           /* path: its tokenizer is opened when the first "text" asks for it */
    struct tokenizer *tokenizer; /* NULL until then; the caller closes it */
    int64_t context_length;
    int32_t vocab_size;
    int32_t correct_every;           /* so many decoded tokens are computed again, densely; 0: none */
    const int64_t *logits_positions; /* [n_logits_positions], none twice */
    size_t n_logits_positions;
};

struct score_line {
    int64_t number; /* 1, 2, …: for messages */
    char *id_json;  /* encoded again; NULL: none */
    int32_t *ids;   /* [n + 1], the last 0: from the second on, each is the successor of the one before */
    int32_t n;
    int32_t n_prompt;

    float *logprobs; /* [n], the last unused */
    int32_t *argmax; /* [n] */
    float *logits;   /* [n_logits_positions, vocab_size] */
    struct recall recall;
};

/* `text`: one line of the input, `size` bytes. */
NODISCARD enum status score_line_parse(const char *text, size_t size, int64_t number,
                                       struct score_context *context, struct score_line *line_out);
void score_line_free(struct score_line *line);

/* Appends the output line, newline included. */
NODISCARD enum status score_line_print(const struct score_line *line, const struct score_context *context,
                                       struct bytes *text);
