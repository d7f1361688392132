/* kernels/simd_target_impl.h - where the products of a tile go: stored as they are, or added on the grid of
 * exact sums. */
#pragma once

#include <math.h>
#include <string.h>

#include "kernels/simd_vector_impl.h"

struct target {
    float *y;      /* [n_tokens, stride]; NULL: on the grid */
    int64_t *sums; /* [n_tokens, stride] */
    int64_t stride;
    const float *scale; /* [n_tokens]; NULL: 1 */
    int64_t *bad;       /* [n_tokens] */
};

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Rounds n products to the grid and adds them; returns how many did not fit. */
static int64_t add_to_grid(const float *dots, int64_t n, float scale, int64_t *sums) {
    int64_t n_bad = 0, r = 0;
    for (; r + LANES <= n; r += LANES) {
        const vec16 value = v16_mul(v16_load(dots + r), v16_set(scale));
        if (!v16_all_below(value, EXACT_BLOCK_LIMIT)) break;
        v16_add_to_grid(value, sums + r);
    }
    for (; r < n; r++)
        add_block_exact(dots[r], scale, &sums[r], &n_bad);
    return n_bad;
}

/* dots [n_tokens, dots_stride], of which n_rows count -> rows from `row`, tokens from `token` on. */
static void target_take(const struct target *target, int64_t row, int64_t n_rows, int64_t token,
                        int64_t n_tokens, const float *dots, int64_t dots_stride) {
    for (int64_t t = 0; t < n_tokens; t++, dots += dots_stride) {
        const int64_t first = (token + t) * target->stride + row;
        if (target->y) {
            memcpy(target->y + first, dots, (size_t)n_rows * sizeof *dots);
            continue;
        }
        const float scale = target->scale ? target->scale[token + t] : 1;
        const int64_t n_bad = add_to_grid(dots, n_rows, scale, target->sums + first);
        if (n_bad) __atomic_fetch_add(&target->bad[token + t], n_bad, __ATOMIC_RELAXED);
    }
}

static __attribute__((noinline)) void add_rest_to_grid(const struct target *target, int64_t first,
                                                       int64_t n_rows, int64_t token, float scale, vec16 v) {
    float dots[LANES];
    v16_store(dots, v);
    for (int64_t r = 0; r < n_rows; r++)
        add_block_exact(dots[r], scale, &target->sums[first + r], &target->bad[token]);
}

/* The same for one token and the up to sixteen of n_rows rows from `row` on, one a lane. */
INLINE void target_take_lanes(const struct target *target, int64_t row, int64_t n_rows, int64_t token,
                              vec16 dots) {
    const int64_t first = token * target->stride + row;
    if (target->y) {
        v16_store_upto(target->y + first, n_rows, dots);
        return;
    }
    const float scale = target->scale ? target->scale[token] : 1;
    const vec16 value = v16_mul(dots, v16_set(scale));
    if (n_rows >= LANES && v16_all_below(value, EXACT_BLOCK_LIMIT))
        v16_add_to_grid(value, target->sums + first);
    else
        add_rest_to_grid(target, first, smaller(n_rows, LANES), token, scale, dots);
}
