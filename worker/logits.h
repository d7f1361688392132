/* worker/logits.h - from the last hidden states to what the coordinator samples from.
 *
 * Each rank multiplies its rows of the output matrix and summarises: its best candidates, and per
 * canonical block of the vocabulary the maximum and the sums of exponentials. Rank 0 gathers the
 * summaries (never the whole row, unless asked) and combines them in block order, so that the numbers do
 * not depend on the rank count.
 *
 * Memory:  buffers come from the arena given to create.
 * Threads: main thread; OpenMP inside.
 * Ranks:   compute and fetch are collective. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "cluster/comm.h"
#include "cluster/step_plan.h"
#include "worker/batch.h"
#include "worker/linear.h"
#include "worker/model_shard.h"

struct logits;

NODISCARD enum status logits_create(struct comm *comm, const struct model_shard *shard, struct linear *linear,
                                    int32_t max_tokens, struct arena *memory, struct logits **logits_out);

/* The rows that the batch asks for; x [batch->n_rows, hidden_size] is the residual stream after the last
 * layer. On rank 0 the result's rows are filled; they live until the next call. */
void logits_compute(struct logits *logits, const struct batch *batch, const float *x, int32_t n_candidates,
                    struct step_result *result);

/* Row `index` of the last compute, whole, into row [vocab_size] on rank 0 (NULL elsewhere). */
void logits_fetch(struct logits *logits, int32_t index, float *row);
