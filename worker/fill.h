/* worker/fill.h - random keys and values, so that a long context can be timed without being read first.
 *
 * Each row of a key or value is a stretch of one table of normal numbers, at a place that is hashed from
 * seed, layer, KV head and token: made at the speed of memory, and the same whatever ranks and threads there
 * are.
 *
 * Memory:  a table of 256 KiB while it runs.
 * Threads: main thread; OpenMP inside.
 * Ranks:   local; every rank fills its own KV heads. */
#pragma once

#include <stdint.h>

#include "base/status.h"
#include "cluster/heartbeat.h"
#include "cluster/step_plan.h"
#include "kvshard/kv_cache.h"
#include "kvshard/kv_policy.h"
#include "worker/probe.h"

struct fill_shape {
    int32_t n_layers;
    int32_t first_kv_head; /* global number of local KV head 0 */
    int32_t n_kv_heads_local;
    int32_t head_dim;
    struct heartbeat *heartbeat; /* counts heads; NULL: nobody watches */
    struct kv_policy *policy;    /* is fed with the keys, too; NULL: there is none */
    struct probe *probe;         /* likewise gets them; NULL: none */
};

/* Tokens 0 to n_tokens - 1 of the slot, which were reserved. */
NODISCARD enum status fill_kv_cache(struct kv_cache *cache, const struct fill_shape *shape,
                                    const struct step_fill *fill);
