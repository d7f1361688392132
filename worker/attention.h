/* worker/attention.h - this rank's heads attend to their cached tokens.
 *
 * Attention of a query runs over a list of cached rows, stripe by stripe (kvshard/kv_stripes.h): a stripe's
 * entries in chunks of ATTEND_CHUNK, each of which gives a partial (max, sum, accumulator), merged in
 * ascending order; then the stripes as a tree. So a query's result depends on its list alone: not on the rest
 * of the batch, on threads or on ranks.
 *
 * Memory:  scratch per thread and the scores of selecting layers are made by create.
 * Threads: main thread; OpenMP inside, over blocks of rows and KV heads; a lone row's list, as in
 *          decode, is split at its chunks, too, that of several rows is not.
 * Ranks:   local, but where several share a KV head: there attention_run is collective over its group. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "cluster/head_group.h"
#include "kernels/kernels.h"
#include "kvshard/kv_cache.h"
#include "kvshard/kv_policy.h"
#include "worker/batch.h"

struct attention_shape {
    int32_t n_heads_local;
    int32_t n_kv_heads_local;
    int32_t head_dim;
    int32_t sliding_window; /* 0: none */
    int64_t context_length;
    int32_t max_tokens; /* rows of a batch */
    int32_t n_threads;
    bool selects;  /* some layer may look at scores (KV_RANK): room for those of one sequence is made */
    bool rescores; /* some may replace them (KV_RESCORE) */
    enum dtype kv_dtype;
    struct head_group *group; /* the ranks that share this rank's KV head; NULL, or one: it has whole heads */
    struct heartbeat *heartbeat; /* counts what is attended to; NULL: nothing does */
};

struct attention;

NODISCARD enum status attention_create(const struct attention_shape *shape, const struct kernels *kernels,
                                       struct arena *memory, struct attention **attention_out);

/* q, out [batch->n_rows, n_heads_local * head_dim]. The rows' keys and values are in the cache already.
 * Decode rows follow the policy; where it has the ranks agree, each one's message is written to
 * messages + message_offsets[d], d counting the decode tokens. */
struct attention_call {
    const struct batch *batch;
    const struct kv_cache *cache;
    struct kv_policy *policy;
    int32_t layer;
    const float *q;
    float *out;
    uint32_t *messages;            /* unused at other layers */
    const size_t *message_offsets; /* [n_decodes] */
};
void attention_run(struct attention *attention, const struct attention_call *call);

/* Seconds spent in proposals, and in waiting for the group, since the last call of this function. */
double attention_take_propose_seconds(struct attention *attention);
double attention_take_sync_seconds(struct attention *attention);
