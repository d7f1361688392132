/* kernels/simd_select_impl.h - the few of many words. */
#pragma once

#include "kernels/kernels_impl.h"

static int64_t words_at_most(const uint32_t *words, int64_t n, uint32_t limit, int32_t *indices_out) {
    int64_t n_found = 0, i = 0;
    /* An index is never beyond the place it is written to, so 16 at a time fit wherever i + 16 <= n. */
    for (; i + LANES <= n; i += LANES)
        n_found += v16_indices_at_most(words + i, limit, (int32_t)i, indices_out + n_found);
    for (; i < n; i++) {
        indices_out[n_found] = (int32_t)i;
        n_found += words[i] <= limit;
    }
    return n_found;
}
