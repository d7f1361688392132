/* worker/linear.h - products of this rank's weights with rows of activations.
 *
 * The rows are named once and then met by several matrices: where these are quantised, so are the rows, once.
 * Threads take pieces of rows, each its own part of the matrix first and then what slower ones have left. How
 * rows are split never changes a result: every row is computed by itself (docs/numerics.md).
 *
 * Memory:  the activations in 8 bits are in the arena given to create.
 * Threads: main thread; opens the parallel regions itself.
 * Ranks:   local. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "kernels/kernels.h"

struct linear;

/* No input will have more rows or columns. */
NODISCARD enum status linear_create(const struct kernels *kernels, int32_t n_threads, int32_t max_tokens,
                                    int64_t max_cols, struct arena *memory, struct linear **linear_out);

/* What the next products multiply: x [n_tokens, cols], unchanged until the last of them. */
void linear_input(struct linear *linear, const float *x, int64_t cols, int32_t n_tokens);

struct linear_product {
    const struct matrix *w; /* [rows, cols of the input] */
    float *y;               /* [n_tokens, rows] = w x */
};
void linear_run(struct linear *linear, const struct linear_product *products, int32_t n_products);

/* sums[t, r] += w x in blocks of `block` columns on the exact grid, times scale[t] (NULL: 1);
 * sums [n_tokens, w->rows], bad [n_tokens]. */
void linear_run_exact(struct linear *linear, const struct matrix *w, int64_t block, const float *scale,
                      int64_t *sums, int64_t *bad);
