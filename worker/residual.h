/* worker/residual.h - sums over ranks that flow into the residual stream.
 *
 * A row-parallel product (attention output, MLP down) has its summed dimension spread over the ranks. In
 * reproducible numerics every canonical block of that dimension is rounded to a fixed grid of int64, so
 * the sum is exact and the same for any rank count; in fast numerics the ranks' f32 products are summed
 * as they are. See docs/numerics.md.
 *
 * A step may be cut into parts of rows. While one part's sum is under way the next one's product is formed:
 *
 *   begin, add…      part 0     send
 *   begin, add…      part 1     send        part 0 travels
 *   finish           part 0                 part 1 travels
 *
 * Memory:  buffers come from the arena given to create.
 * Threads: main thread; OpenMP inside.
 * Ranks:   send and finish are collective; the rest is local. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "cluster/allreduce.h"
#include "cluster/comm.h"
#include "cluster/engine.h"
#include "kernels/kernels.h"
#include "worker/linear.h"

struct residual;

/* Local; residual_connect, which is collective, makes it ready. */
NODISCARD enum status residual_create(struct comm *comm, const struct kernels *kernels, struct linear *linear,
                                      enum numerics numerics, int32_t max_tokens, int32_t hidden_size,
                                      struct arena *memory, struct residual **residual_out);

NODISCARD enum status residual_connect(struct residual *residual);

/* Rows of the step: all of them, or a part. */
struct residual_rows {
    int32_t first, n;
};

/* Into how many parts n_rows of a step are cut, the same on all ranks, and which these are. One, where
 * nothing is gained: on one host, or for few rows, since every part reads all weights. */
int32_t residual_n_parts(const struct residual *residual, int32_t n_rows);
struct residual_rows residual_part(int32_t n_rows, int32_t n_parts, int32_t index);

/* A new sum of these rows, all zero. At most RESIDUAL_PARTS may be under way, no row twice. */
enum { RESIDUAL_PARTS = ALLREDUCE_BEGUN_MAX };
void residual_begin(struct residual *residual, struct residual_rows rows);

/* To the sum begun last: adds w x to elements first_row … of its hidden states, w [rows, cols],
 * x [rows.n, cols], in canonical blocks of `block` columns. */
void residual_add_product(struct residual *residual, const struct matrix *w, int64_t first_row, int64_t block,
                          const float *x);

/* The same for some of its rows only: adds scale[i] * (w x[i]) to row rows[i], i < n_rows. Each row at most
 * once.
 */
void residual_add_scaled(struct residual *residual, const struct matrix *w, int64_t block, const float *x,
                         const float *scale, const int32_t *rows, int32_t n_rows);

/* Nothing is added any more to the sum begun last. `travels`, alike for all ranks and all sums of a layer:
 * there is something to do before it is finished, so it is under way from now on; else finish forms it, by
 * the way that was measured to be fastest. */
void residual_send(struct residual *residual, bool travels);

/* The oldest sum, over the ranks: adds it to its rows of x, those of the whole step [n_tokens, hidden_size].
 * A row whose exact sum overflowed becomes NaN. */
void residual_finish(struct residual *residual, float *x);

/* Seconds spent in send's and finish's collective since the last call of this function. */
double residual_take_sync_seconds(struct residual *residual);
