/* kvshard/emulate_impl.h - later layers attend more to what an early layer attended to (arXiv 2403.14932).
 *
 * Not a selection: it goes with any policy. With the attention A of a query head at layer l of L, and M what
 * the same head attended to at the emulated layer, in the same step:
 *
 *   A_l <- normalise(A_l + A_l (1 - l / L) M)           M = 0 for the first token and the current one
 *
 * which is the softmax of score + log(1 + (1 - l / L) M). The paper leaves M's scale open; as weights that
 * sum to 1, M would fade as sequences grow. Here M is the emulated layer's attention divided by the largest
 * of those tokens that it may boost: 0 to 1 at any length, so that no weight more than doubles. Tokens that
 * the emulated layer did not attend to have M = 0.
 *
 * Memory:  from the arena given: 4 bytes per slot, query head and token.
 * Threads: different heads and slots at the same time.
 * Ranks:   local. */
#pragma once

#include "base/arena.h"
#include "kvshard/kv_policy.h"

struct emulate;

/* layer: the emulated one. No layer behind it: STATUS_BAD_INPUT. */
NODISCARD enum status emulate_create(const struct kv_policy_config *config, int32_t layer,
                                     struct arena *memory, struct emulate **emulate_out);

/* Where nobody named one: 1, the last layer at which every policy attends to all tokens. */
int32_t emulate_default_layer(int32_t n_layers);

/* KV_RANK at the emulated layer, KV_RESCORE behind it, nothing before. */
enum kv_attention emulate_bits(const struct emulate *emulate, int32_t layer);

/* At the emulated layer: remembers what the head attends to. scores [set.n_tokens] */
void emulate_rank(struct emulate *emulate, int32_t slot, int64_t n_cached, int32_t head, struct kv_set set,
                  const float *scores);

/* Behind it: boosts the scores of a KV head's query heads. scores [g, stride] of the set */
void emulate_rescore(const struct emulate *emulate, int32_t slot, int32_t layer, int64_t n_cached,
                     int32_t kv_head, struct kv_set set, float *scores, int64_t stride);
