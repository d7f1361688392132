/* kvshard/kv_stripes.h - a KV head's rows in stripes, so that several ranks can share the head.
 *
 * The rows of a table are dealt in units of KV_UNIT_ROWS: units 0, 8, 16, … to one stripe, 1, 9, 17, … to
 * another. Attention sums each stripe by itself and then merges the stripes as a tree, neighbours first
 * (docs/numerics.md). Stripes are numbered so that neighbours in the tree are far apart in the table: unit u
 * is in the stripe whose number is u % 8 with its bits in reverse, 0 4 2 6 1 5 3 7. Ranks that share a head
 * own neighbouring stripes, of 2 ranks each every other unit, of 4 every fourth: nearly equal shares of any
 * number of rows, and what each has summed is whole subtrees.
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local; the same on every rank. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernels/kernels.h"

enum { KV_STRIPES = 8, KV_UNIT_ROWS = ATTEND_CHUNK };

/* The place, in each 8 units, of the stripe's unit; and the stripe of the unit at that place. */
static inline int32_t kv_stripe_reversed(int32_t number) {
    return (number & 1) << 2 | (number & 2) | (number & 4) >> 2;
}

static inline int32_t kv_stripe_of(int64_t row) {
    return kv_stripe_reversed((int32_t)((uint64_t)row / KV_UNIT_ROWS % KV_STRIPES));
}

/* How many of the first n_rows rows are in the stripe. */
static inline int64_t kv_stripe_rows(int32_t stripe, int64_t n_rows) {
    const int64_t round = (int64_t)KV_STRIPES * KV_UNIT_ROWS;
    const int64_t left = n_rows % round - (int64_t)kv_stripe_reversed(stripe) * KV_UNIT_ROWS;
    return n_rows / round * KV_UNIT_ROWS + (left < 0 ? 0 : left < KV_UNIT_ROWS ? left : KV_UNIT_ROWS);
}

/* Stripes of the largest subtree that begins with stripe `first` and ends before `end`. */
static inline int32_t kv_stripe_subtree(int32_t first, int32_t end) {
    int32_t size = 1;
    while (size < KV_STRIPES && first % (2 * size) == 0 && first + 2 * size <= end)
        size *= 2;
    return size;
}
