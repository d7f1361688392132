/* worker/probe.h - how much of dense attention a set of tokens covers.
 *
 * For a query head at a decode token, of the softmax over all tokens so far, those that the policy has
 * evicted included:
 *   recall   the share that falls on the set's tokens
 *   peak     1 less the largest share that falls on one token outside of it: what a head looks up and
 *            misses counts for more than what it spreads over many
 * Which sets are looked at:
 *   PROBE_RECALL  what the policy had the head read
 *   PROBE_MATRIX  under the policy full: at each layer, those that lessismore would have chosen there and
 *                 at every layer before; the ranks agree on them as they do for lessismore
 *
 * A probe changes nothing of what is computed. A NULL probe is none: every function does nothing.
 *
 * Memory:  the keys of all tokens, as the cache holds them but in an array for every slot that never shrinks:
 *          half of what the cache holds under the policy full. Untouched memory costs nothing.
 * Threads: main thread, OpenMP inside; append may run in parallel for different tokens and KV heads.
 * Ranks:   local, but for layer (of PROBE_MATRIX) and gather. What is gathered does not depend on how many
 *          there are. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cluster/comm.h"
#include "cluster/engine.h"
#include "cluster/shard_map.h"
#include "cluster/step_plan.h"
#include "kvshard/kv_cache.h"
#include "kvshard/kv_policy.h"
#include "worker/batch.h"

struct probe;

struct probe_config {
    enum probe_kind kind;
    int32_t every; /* looks at tokens whose N is a multiple of this */
    enum dtype kv_dtype;
    const struct kv_policy_config *policy; /* the run's; shapes, budget and shares of lessismore */
    const struct shard_map *map;
    struct comm *comm;
};

/* PROBE_NONE gives NULL. Nothing of `config` but comm and kernels is kept. */
NODISCARD enum status probe_create(const struct probe_config *config, struct probe **probe_out);
void probe_destroy(struct probe *probe);

/* The key [head_dim] of a token of the slot's sequence; it may come anew. */
void probe_append(struct probe *probe, int32_t slot, int32_t layer, int32_t kv_head_local, int64_t token,
                  const float *key);

/* Looks at the decode tokens of the batch in a layer whose attention is done. q [n_rows, n_heads_local *
 * head_dim], rotated. */
void probe_layer(struct probe *probe, const struct kv_policy *policy, const struct batch *batch,
                 int32_t layer, const float *q);

/* Collective. What was seen of a slot, -1: of all of them, since it was last asked for; on rank 0, valid
 * until the next call; NULL elsewhere. */
const struct step_probe *probe_gather(struct probe *probe, int32_t slot);
