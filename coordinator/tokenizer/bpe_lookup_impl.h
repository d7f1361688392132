/* coordinator/tokenizer/bpe_lookup_impl.h - the table of merges, shared by filling and encoding.
 *
 * Memory:  none of its own.
 * Threads: any, while nobody adds.
 * Ranks:   local. */
#pragma once

#include "coordinator/tokenizer/bpe_impl.h"

static inline uint64_t bpe_pair(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* The slot of the pair, or the empty one where it belongs. */
static inline struct bpe_merge *bpe_merge_slot(const struct bpe *bpe, uint64_t pair) {
    uint64_t hash = pair * 0x9E3779B97F4A7C15u; /* Fibonacci hashing; the high bits are the good ones */
    uint32_t at = (uint32_t)(hash >> 32) & bpe->merge_mask;
    while (bpe->merges[at].pair != pair && bpe->merges[at].pair != UINT64_MAX)
        at = (at + 1) & bpe->merge_mask;
    return &bpe->merges[at];
}
