/* worker/mlp.h - this rank's columns of the feed-forward part, dense or a mixture of experts.
 *
 * Dense: down(silu(gate x) * up x). Mixture (Qwen3-MoE): a softmax router over all experts, the best
 * n_experts_used (ties to the lower expert), their weights rescaled to 1 where the model says so.
 *
 * Memory:  buffers come from the arena given to create.
 * Threads: main thread; OpenMP inside.
 * Ranks:   local; adds to the residual sum, which the caller finishes. */
#pragma once

#include "base/arena.h"
#include "base/status.h"
#include "worker/linear.h"
#include "worker/model_shard.h"
#include "worker/residual.h"

struct mlp;

NODISCARD enum status mlp_create(const struct model_shard *shard, struct linear *linear, int32_t max_tokens,
                                 struct arena *memory, struct mlp **mlp_out);

/* x [n_tokens, hidden_size], normed already. */
void mlp_run(struct mlp *mlp, const struct layer_shard *layer, const float *x, int32_t n_tokens,
             struct residual *residual);
