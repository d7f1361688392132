/* kvshard/key_clusters_impl.h - cached keys in clusters of 16 on average, per slot, layer and KV head.
 *
 * Tokens from `first_token` on are clustered CLUSTER_SEGMENT by CLUSTER_SEGMENT, each segment by itself:
 * k-means over N keys would cost N^2 / 16, over segments of S keys it is N S / 16. The last segment is still
 * growing and is clustered anew for every `step` tokens more. So clusters are a function of keys and of how
 * many are clustered alone: not of when that was asked for.
 *
 * Memory:  from the arena given: per token and table head_dim / 4 bytes of centroids, the same again for mean
 *          values, and 5; untouched, it costs nothing. Scratch per thread.
 * Threads: different tables at the same time, if each names another `thread`.
 * Ranks:   local; the same bits on every machine. */
#pragma once

#include "base/arena.h"
#include "kvshard/k_means_impl.h"
#include "kvshard/kv_policy.h"

enum { CLUSTER_TOKENS = 16, CLUSTER_SEGMENT = 1024 };

struct cluster_table {
    int64_t n_tokens;   /* so many from first_token on are clustered */
    int64_t n_clusters; /* none of which is empty */
    float *centroids;   /* [n_clusters, head_dim] means of keys */
    float *values;      /* [n_clusters, head_dim] means of values, where they are asked for */
    int32_t *begins;    /* [n_clusters + 1] where a cluster's tokens begin in … */
    int32_t *tokens;    /* [n_tokens] cluster by cluster, ascending in each */
    int32_t *segments;  /* [n_tokens / CLUSTER_SEGMENT + 1] each segment's first cluster */
};

struct key_clusters {
    struct kv_policy_config config; /* its pointers but cache and kernels are not used */
    int32_t first_layer, step;
    int64_t first_token;
    struct cluster_table *tables;    /* [n_slots, n_layers - first_layer, n_kv_heads] */
    struct cluster_scratch *scratch; /* [n_threads] */
};

/* step: a multiple of CLUSTER_TOKENS that divides CLUSTER_SEGMENT. first_layer < n_layers. */
NODISCARD enum status key_clusters_create(const struct kv_policy_config *config, int32_t first_layer,
                                          int64_t first_token, int32_t step, bool values,
                                          struct arena *memory, struct key_clusters *clusters_out);

/* The clusters of tokens first_token … end - 1, as far as these are whole steps; lives until the next update
 * of the table. */
const struct cluster_table *key_clusters_update(const struct key_clusters *clusters, int32_t thread,
                                                int32_t slot, int32_t layer, int32_t kv_head, int64_t end);

/* Tokens from n on will come anew. */
void key_clusters_rewind(const struct key_clusters *clusters, int32_t slot, int64_t n);

/* scores[j, c] = dot(q[j], centroid c) / sqrt(head_dim).  q [n_queries, head_dim], scores [n_queries, stride]
 */
void key_clusters_score(const struct key_clusters *clusters, const struct cluster_table *table,
                        const float *q, int32_t n_queries, float *scores, int64_t stride);

static inline int32_t cluster_size(const struct cluster_table *table, int64_t cluster) {
    return table->begins[cluster + 1] - table->begins[cluster];
}
