/* worker/linear.h - products of this rank's weights with rows of activations.
 *
 * The rows are named once and then met by several matrices: where these are quantised, so are the rows, once;
 * and where fast numerics multiply bf16 with bf16, prompts' rows are rounded to that, once.
 * Threads take pieces of rows, each its own part of the matrix first and then what slower ones have left. How
 * rows are split never changes a result: every row is computed by itself (docs/numerics.md).
 *
 * Memory:  the activations in 8 or 16 bits are in the arena given to create.
 * Threads: main thread; opens the parallel regions itself.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "cluster/heartbeat.h"
#include "kernels/kernels.h"

struct linear;

struct linear_shape {
    int32_t n_threads;
    int32_t max_tokens;          /* no input will have more rows … */
    int64_t max_cols;            /* … or columns */
    struct heartbeat *heartbeat; /* counts pieces of products of several tokens; NULL: nothing does */
};

/* in_bf16: for prompts' products with bf16 weights, in fast numerics; NULL: the kernels do these, too. */
NODISCARD enum status linear_create(const struct kernels *kernels, matmul_bf16 *in_bf16,
                                    const struct linear_shape *shape, struct arena *memory,
                                    struct linear **linear_out);

/* A step begins; in_prompt, as batch's, stays until the next: these rows may be rounded to bf16, and no
 * others ever, whatever else the step has. */
void linear_step(struct linear *linear, const bool *in_prompt);

/* Calls this on the main thread, with the argument, again and again while products of several tokens are
 * formed.
 */
void linear_between(struct linear *linear, void (*call)(void *argument), void *argument);

/* What the next products multiply: x [n_tokens, cols], unchanged until the last of them; rows [n_tokens],
 * too, says which rows of the step these are (NULL: the first ones). */
void linear_input(struct linear *linear, const float *x, int64_t cols, int32_t n_tokens, const int32_t *rows);

struct linear_product {
    const struct matrix *w; /* [rows, cols of the input] */
    float *y;               /* [n_tokens, rows] = w x */
};
void linear_run(struct linear *linear, const struct linear_product *products, int32_t n_products);

/* What all ranks compute, and must not differ in: never rounded to bf16. */
void linear_run_replicated(struct linear *linear, const struct linear_product *product);

/* sums[t, r] += w x in blocks of `block` columns on the exact grid, times scale[t] (NULL: 1);
 * sums [n_tokens, sums_stride], bad [n_tokens]. */
void linear_run_exact(struct linear *linear, const struct matrix *w, int64_t block, const float *scale,
                      int64_t *sums, int64_t sums_stride, int64_t *bad);
