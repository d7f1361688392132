/* worker/residual.h - sums over ranks that flow into the residual stream.
 *
 * A row-parallel product (attention output, MLP down) has its summed dimension spread over the ranks. In
 * reproducible numerics every canonical block of that dimension is rounded to a fixed grid of int64, so
 * the sum is exact and the same for any rank count; in fast numerics the ranks' f32 products are summed
 * as they are. See docs/numerics.md.
 *
 * Memory:  buffers come from the arena given to create.
 * Threads: main thread; OpenMP inside.
 * Ranks:   finish is collective; the rest is local. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "cluster/comm.h"
#include "cluster/engine.h"
#include "kernels/kernels.h"
#include "worker/linear.h"

struct residual;

NODISCARD enum status residual_create(struct comm *comm, const struct kernels *kernels, struct linear *linear,
                                      enum numerics numerics, int32_t max_tokens, int32_t hidden_size,
                                      struct arena *memory, struct residual **residual_out);

/* A new sum of n_tokens rows, all zero. */
void residual_begin(struct residual *residual, int32_t n_tokens);

/* Adds w x, w [hidden_size, cols], x [n_tokens, cols], in canonical blocks of `block` columns. */
void residual_add_product(struct residual *residual, const struct matrix *w, int64_t block, const float *x);

/* The same for some tokens only: adds scale[i] * (w x[i]) to row rows[i], i < n_rows. Each row at most once.
 */
void residual_add_scaled(struct residual *residual, const struct matrix *w, int64_t block, const float *x,
                         const float *scale, const int32_t *rows, int32_t n_rows);

/* Sums over the ranks and adds to x [n_tokens, hidden_size]. A row whose exact sum overflowed becomes NaN. */
void residual_finish(struct residual *residual, float *x);

/* Seconds spent waiting in finish's collective since the last call of this function. */
double residual_take_sync_seconds(struct residual *residual);
