/* kvshard/top_tokens_impl.h - the k best of n.
 *
 * Ties go to the lower index, so an answer depends on the numbers alone.
 *
 * Memory:  none of its own; scratch is made once from an arena.
 * Threads: one at a time per scratch.
 * Ranks:   local. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"

struct top_scratch {
    uint32_t *words;          /* [n_max] */
    struct ranked *ranked[2]; /* [k_max] each */
};

NODISCARD enum status top_scratch_create(struct arena *memory, int64_t n_max, int64_t k_max,
                                         struct top_scratch *scratch_out);

/* The k best tokens of scores [n] by score, best first; 0 <= k <= n. NaN is worse than any number.
 * Time O(n + k). */
void top_tokens(const float *scores, int64_t n, int64_t k, const struct top_scratch *scratch,
                int32_t *tokens_out);

/* Indices of the k smallest of words [n], ascending (by index); 0 <= k <= n. Time O(n). */
void smallest_words(const uint32_t *words, int64_t n, int64_t k, int32_t *indices_out);
