/* worker/traffic.h - the bytes of weights and of keys and values that a step reads, counted from what the
 * layers do rather than measured.
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdint.h>

#include "kvshard/kv_policy.h"
#include "worker/batch.h"
#include "worker/memory_read.h"
#include "worker/model_shard.h"

/* All that this rank keeps. */
int64_t traffic_weights_held(const struct model_shard *shard);

/* The matrices among them, one after the other; returns how many. `regions_out` NULL: only counts. */
int64_t traffic_matrices(const struct model_shard *shard, struct memory_region *regions_out);

/* What a step of n_rows tokens reads: everything once, a row of the embedding for each token and the experts
 * that they use, as if no two tokens shared one. */
int64_t traffic_weights_read(const struct model_shard *shard, int32_t n_rows);

/* Keys and values that the decode tokens of a batch attend to in one layer: what query heads of one KV head
 * share is read once. `row_bytes` is one key or value; `window` 0: none. */
struct kv_traffic {
    const struct kv_policy *policy;
    const struct batch *batch;
    int32_t n_kv_heads_local;
    int32_t group; /* query heads of a KV head */
    int64_t row_bytes;
    int64_t window;
    const struct kv_cache *cache; /* only rows that this rank owns are counted; NULL: it has whole heads */
};
int64_t traffic_kv_read(const struct kv_traffic *traffic, int32_t layer);
