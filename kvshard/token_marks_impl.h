/* kvshard/token_marks_impl.h - a set of tokens being collected in any order, which becomes an ascending list.
 *
 * Memory:  a bit for each token of the context, from the arena given.
 * Threads: one at a time.
 * Ranks:   local. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"

struct token_marks {
    uint64_t *words;
};

/* Nothing is marked. */
NODISCARD enum status token_marks_create(struct arena *memory, int64_t context_length,
                                         struct token_marks *marks_out);

static inline void mark_token(const struct token_marks *marks, int64_t token) {
    marks->words[token / 64] |= (uint64_t)1 << token % 64;
}

/* The marked ones of the first n tokens, ascending; returns how many. Nothing is marked any more. */
int64_t take_marked(const struct token_marks *marks, int64_t n, int32_t *tokens_out);
