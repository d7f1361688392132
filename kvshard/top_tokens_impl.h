/* kvshard/top_tokens_impl.h - the k best of n.
 *
 * A sample tells about where the k-th lies; what is clearly behind is passed over in one run, and the few
 * that are left are sorted. Ties go to the lower index, so an answer depends on the numbers alone: a sample
 * that misleads costs time.
 *
 * Memory:  none of its own; scratch is made once from an arena.
 * Threads: one at a time per scratch.
 * Ranks:   local. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "kernels/kernels.h"

struct top_scratch {
    const struct kernels *kernels;
    uint32_t *words;          /* [n_max] */
    int32_t *few;             /* [n_max] indices of those that were not passed over */
    struct ranked *ranked[2]; /* [n_max] each */
};

/* Of what is reserved for n_max, only what an answer needs is touched. */
NODISCARD enum status top_scratch_create(struct arena *memory, const struct kernels *kernels, int64_t n_max,
                                         struct top_scratch *scratch_out);

/* The k best tokens of scores [n] by score, best first; 0 <= k <= n. NaN is worse than any number. */
void top_tokens(const float *scores, int64_t n, int64_t k, const struct top_scratch *scratch,
                int32_t *tokens_out);

/* Indices of the k smallest of words [n], ascending (by index); 0 <= k <= n. */
void smallest_words(const uint32_t *words, int64_t n, int64_t k, const struct top_scratch *scratch,
                    int32_t *indices_out);
