/* worker/threads.h - splitting rows over the OpenMP threads of a rank.
 *
 * How rows are split never changes a result: every row is computed by itself (docs/numerics.md).
 *
 * Memory:  none.
 * Threads: called on the main thread; opens the parallel region itself.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* Is this much work more than waking the threads costs? For `#pragma omp parallel if(…)`. */
static inline bool threads_worthwhile(int64_t multiply_adds) {
    return multiply_adds >= 16384;
}

/* y[t, r] for all rows of w; x [n_tokens, w->cols], y [n_tokens, w->rows]. */
void threads_matmul(const struct kernels *kernels, const struct matrix *w, const float *x, int64_t n_tokens,
                    float *y);

/* sums[t, r] += …; x [n_tokens, w->cols], sums [n_tokens, w->rows], bad [n_tokens]. */
void threads_matmul_exact(const struct kernels *kernels, const struct matrix *w, int64_t block,
                          const float *x, const float *scale, int64_t n_tokens, int64_t *sums, int64_t *bad);
