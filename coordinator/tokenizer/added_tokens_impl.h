/* coordinator/tokenizer/added_tokens_impl.h - tokens that are found in the text before anything else is
 * done to it, such as "<|im_end|>".
 *
 * Leftmost, then longest. The tokens are sorted; at each position the run of those that share the text's
 * next bytes is narrowed by bisection, so the cost does not grow with their number.
 *
 * Memory:  the table comes from the arena; texts belong to the caller and must live as long.
 * Threads: read-only once built.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "coordinator/tokenizer/pattern_impl.h"

enum { ADDED_TOKEN_MAX_BYTES = 1024 };

struct added_token {
    const char *text; /* not empty */
    uint32_t size;
    int32_t id;
    bool special;          /* recognised only when asked for */
    bool takes_left_space; /* swallows white space before it */
    bool takes_right_space;
    bool single_word; /* only where no word character touches it */
};

struct added_tokens {
    struct added_token *sorted; /* [n] by bytes */
    size_t n;
    size_t first[257]; /* sorted[first[b] .. first[b + 1]) begin with byte b */
};

/* Takes over `tokens` [n], from the arena, and sorts them. Of equal texts the largest id counts. */
void added_tokens_build(struct added_token *tokens, size_t n, struct added_tokens *added_out);

/* The next token in text[from, size): its id and span (with the white space it takes, but nothing before
 * `from`). False: none. */
bool added_tokens_find(const struct added_tokens *added, const char *text, size_t size, size_t from,
                       bool parse_special, int32_t *id_out, struct span *match_out);
