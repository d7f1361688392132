/* base/numbers.h - arithmetic that C has no name for.
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdint.h>

static inline int64_t smaller_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline int64_t larger_i64(int64_t a, int64_t b) {
    return a > b ? a : b;
}
