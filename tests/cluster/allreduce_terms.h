/* tests/cluster/allreduce_terms.h - what each rank contributes to sums and minima in tests.
 *
 * Ranks: local; every rank knows every other's. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"

static inline int64_t term_i64(int rank, size_t i) {
    uint32_t words[4];
    rng_philox(1, (uint32_t[4]){(uint32_t)i, (uint32_t)rank, 0, 0}, words);
    return ((int64_t)(int32_t)words[0] * INT32_MAX) / 64; /* 64 of them cannot overflow */
}

static inline float term_f32(int rank, size_t i) {
    return (float)(rng_uniform(2, (uint64_t)rank, i) * 2 - 1);
}

static inline uint32_t term_u32(int rank, size_t i) {
    uint32_t words[4];
    rng_philox(3, (uint32_t[4]){(uint32_t)i, (uint32_t)rank, 0, 0}, words);
    return words[0] | (words[1] & 1 ? UINT32_MAX : 0); /* half of them not proposed */
}
