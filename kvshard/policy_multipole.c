/* Multipole attention (Hooper et al., arXiv 2506.13059): near tokens exactly, far ones by the centre of their
 * cluster.
 *
 * Keys are kept in clusters of about 16 (key_clusters_impl.h). A KV head's list is
 *
 *   the first tokens (sinks); the best clusters' tokens; the newest, which are not clustered yet
 *
 * K at most. Every other cluster, of n tokens with mean key c and mean value v, adds n exp(q.c) to the
 * softmax's sum and n exp(q.c) v to the values. That is exact where a cluster's keys are one.
 *
 * The order of clusters is that of the largest share that a cluster's tokens have under any of the g query
 * heads: exp(q.c) / sum over clusters of n exp(q.c). A cluster that does not fit what is left of K is passed
 * over.
 *
 * Cost per layer, KV head and token: g N / 16 products with centroids, as many mean values, K tokens.
 * Clustering takes 10 x N_segment^2 / 16 multiply-adds of head_dim every 128 tokens. */
#include <math.h>
#include <string.h>

#include "kvshard/head_lists_impl.h"
#include "kvshard/key_clusters_impl.h"
#include "kvshard/kv_policy_impl.h"
#include "kvshard/token_marks_impl.h"
#include "kvshard/top_tokens_impl.h"

enum { SINKS, RECLUSTER, FIRST_LAYER };

static const struct kv_policy_option options[] = {
    [SINKS] = {"sinks", 10, 0, 65536, true, "first tokens, which are always attended to exactly"},
    [RECLUSTER] = {"recluster", 128, CLUSTER_TOKENS, CLUSTER_SEGMENT, true,
                   "cluster anew every so many tokens; lowered to a power of 2 of at most K / 2"},
    [FIRST_LAYER] = {"first-layer", 0, 0, 65535, true, "layers before it are dense"},
    {0},
};

struct scratch {
    float *scores; /* [g, max_clusters] */
    float *shares; /* [max_clusters] */
    float *sizes;  /* [max_clusters] logarithms */
    int32_t *order;
    bool *is_near; /* [max_clusters] */
    struct top_scratch top;
    struct token_marks marks;
    float *weights;   /* [g, ATTEND_CHUNK] */
    float *max, *sum; /* [g] of one chunk */
    float *acc;       /* [g, head_dim] */
};

struct far {
    float *max, *sum; /* [g] */
    float *acc;       /* [g, head_dim] */
};

struct multipole {
    const struct kernels *kernels;
    int64_t budget, n_sinks, max_clusters, head_dim;
    int32_t n_kv_heads, group;
    struct head_lists lists;
    struct key_clusters clusters;
    struct far *far;         /* [n_slots, n_kv_heads] */
    struct scratch *scratch; /* [n_threads] */
};

static enum status create_scratch(const struct kv_policy_config *config, const struct multipole *policy,
                                  struct arena *memory, struct scratch *scratch) {
    const size_t group = (size_t)policy->group, n = (size_t)policy->max_clusters;
    TRY(ARENA_TAKE(memory, group * n, &scratch->scores));
    TRY(ARENA_TAKE(memory, n, &scratch->shares));
    TRY(ARENA_TAKE(memory, n, &scratch->sizes));
    TRY(ARENA_TAKE(memory, n, &scratch->order));
    TRY(ARENA_TAKE(memory, n, &scratch->is_near));
    TRY(top_scratch_create(memory, config->kernels, policy->max_clusters, &scratch->top));
    TRY(token_marks_create(memory, config->context_length, &scratch->marks));
    TRY(ARENA_TAKE(memory, group * ATTEND_CHUNK, &scratch->weights));
    TRY(ARENA_TAKE(memory, group, &scratch->max));
    TRY(ARENA_TAKE(memory, group, &scratch->sum));
    return ARENA_TAKE(memory, group * (size_t)policy->head_dim, &scratch->acc);
}

static enum status create_far(const struct kv_policy_config *config, const struct multipole *policy,
                              struct arena *memory, struct far **far_out) {
    const size_t n = (size_t)config->n_slots * (size_t)policy->n_kv_heads, group = (size_t)policy->group;
    struct far *far;
    TRY(ARENA_TAKE(memory, n, &far));
    for (size_t i = 0; i < n; i++) {
        TRY(ARENA_TAKE(memory, group, &far[i].max));
        TRY(ARENA_TAKE(memory, group, &far[i].sum));
        TRY(ARENA_TAKE(memory, group * (size_t)policy->head_dim, &far[i].acc));
    }
    *far_out = far;
    return STATUS_OK;
}

/* The newest tokens, up to a step, must leave room: at most half of K, and a power of 2 divides the segment.
 */
static int32_t clustering_step(double recluster, int64_t budget) {
    int32_t step = CLUSTER_TOKENS;
    while (step * 2 <= recluster && step * 2 <= budget / 2)
        step *= 2;
    return step;
}

static enum status multipole_check(const struct kv_policy_config *config, const double *values) {
    const int32_t step = clustering_step(values[RECLUSTER], config->budget);
    if (config->budget <= (int64_t)values[SINKS] + step)
        return FAIL(STATUS_BAD_INPUT,
                    "budget %d is too small for multipole: with %d sinks it must be at least %lld",
                    config->budget, (int)values[SINKS], (long long)values[SINKS] + CLUSTER_TOKENS + 1);
    return STATUS_OK;
}

static enum status multipole_create(const struct kv_policy_config *config, const double *values,
                                    struct arena *memory, void **state_out) {
    struct multipole *policy;
    const int32_t step = clustering_step(values[RECLUSTER], config->budget);
    TRY(ARENA_TAKE(memory, 1, &policy));
    *policy = (struct multipole){
        .kernels = config->kernels,
        .budget = config->budget,
        .n_sinks = (int64_t)values[SINKS],
        .max_clusters = config->context_length / CLUSTER_TOKENS + 1,
        .head_dim = config->head_dim,
        .n_kv_heads = config->n_kv_heads_local,
        .group = config->n_heads_local / config->n_kv_heads_local,
    };
    TRY(head_lists_create(config, values[FIRST_LAYER], memory, &policy->lists));
    TRY(key_clusters_create(config, policy->lists.first_layer, policy->n_sinks, step, true, memory,
                            &policy->clusters));
    TRY(create_far(config, policy, memory, &policy->far));
    TRY(ARENA_TAKE(memory, (size_t)config->n_threads, &policy->scratch));
    for (int32_t i = 0; i < config->n_threads; i++)
        TRY(create_scratch(config, policy, memory, &policy->scratch[i]));
    *state_out = policy;
    return STATUS_OK;
}

static void multipole_rewind(void *state, int32_t slot, int64_t n) {
    const struct multipole *policy = state;
    key_clusters_rewind(&policy->clusters, slot, n);
    head_lists_clear(&policy->lists, slot);
}

static enum kv_attention multipole_layer(const void *state, int32_t slot, int32_t layer, int64_t n_cached) {
    const struct multipole *policy = state;
    (void)slot;
    if (n_cached <= policy->budget || layer < policy->lists.first_layer) return KV_ATTEND_ALL;
    return KV_CHOOSE | KV_ATTEND_SET | KV_ADD_PARTIAL;
}

/* scores become those of whole clusters, q.c + log n; a cluster's share is that of one of its tokens, under
 * the query head that gives it most. */
static void find_shares(const struct multipole *policy, const struct cluster_table *table,
                        const struct scratch *scratch) {
    const int64_t n = table->n_clusters;
    for (int64_t c = 0; c < n; c++) {
        scratch->sizes[c] = (float)log(cluster_size(table, c));
        scratch->shares[c] = -INFINITY;
    }
    for (int32_t head = 0; head < policy->group; head++) {
        float *scores = scratch->scores + head * policy->max_clusters;
        float max, sum;
        policy->kernels->add(scratch->sizes, n, scores);
        policy->kernels->exp_sum(scores, n, 1, &max, &sum);
        const float log_sum = max + (float)log(sum);
        for (int64_t c = 0; c < n; c++) {
            const float share = scores[c] - scratch->sizes[c] - log_sum;
            if (share > scratch->shares[c]) scratch->shares[c] = share;
        }
    }
}

/* Takes the best clusters while they fit in `room` tokens, and marks them. */
static void take_near(const struct cluster_table *table, int64_t room, const struct scratch *scratch) {
    memset(scratch->is_near, 0, (size_t)table->n_clusters * sizeof *scratch->is_near);
    top_tokens(scratch->shares, table->n_clusters, table->n_clusters, &scratch->top, scratch->order);
    for (int64_t i = 0; i < table->n_clusters && room > 0; i++) {
        const int32_t c = scratch->order[i];
        if (cluster_size(table, c) > room) continue;
        room -= cluster_size(table, c);
        scratch->is_near[c] = true;
        for (int32_t j = table->begins[c]; j < table->begins[c + 1]; j++)
            mark_token(&scratch->marks, table->tokens[j]);
    }
}

static void list_tokens(const struct multipole *policy, const struct cluster_table *table, int64_t n_cached,
                        const struct scratch *scratch, struct head_list *list) {
    const int64_t begin_new = policy->n_sinks + table->n_tokens;
    take_near(table, policy->budget - policy->n_sinks - (n_cached - begin_new), scratch);
    for (int64_t token = 0; token < policy->n_sinks; token++)
        mark_token(&scratch->marks, token);
    for (int64_t token = begin_new; token < n_cached; token++)
        mark_token(&scratch->marks, token);
    list->n = take_marked(&scratch->marks, n_cached, list->tokens);
}

/* One chunk of clusters. */
static void add_chunk(const struct multipole *policy, const void *const *values, int64_t n,
                      const struct scratch *scratch, const struct far *far) {
    policy->kernels->attend_chunk(scratch->weights, ATTEND_CHUNK, policy->group, NULL, values, NULL,
                                  DTYPE_F32, n, policy->head_dim, scratch->max, scratch->sum, scratch->acc);
    for (int32_t head = 0; head < policy->group; head++)
        policy->kernels->attend_merge(&far->max[head], &far->sum[head], far->acc + head * policy->head_dim,
                                      scratch->max[head], scratch->sum[head],
                                      scratch->acc + head * policy->head_dim, policy->head_dim);
}

/* Attention to the centres of all clusters that are not near, in ascending order. */
static void attend_to_far(const struct multipole *policy, const struct cluster_table *table,
                          const struct scratch *scratch, const struct far *far) {
    const void *values[ATTEND_CHUNK];
    int64_t n = 0;
    for (int32_t head = 0; head < policy->group; head++) {
        far->max[head] = -INFINITY;
        far->sum[head] = 0;
    }
    memset(far->acc, 0, (size_t)(policy->group * policy->head_dim) * sizeof *far->acc);
    for (int64_t c = 0; c < table->n_clusters; c++) {
        if (scratch->is_near[c]) continue;
        values[n] = table->values + c * policy->head_dim;
        for (int32_t head = 0; head < policy->group; head++)
            scratch->weights[head * ATTEND_CHUNK + n] = scratch->scores[head * policy->max_clusters + c];
        if (++n < ATTEND_CHUNK) continue;
        add_chunk(policy, values, n, scratch, far);
        n = 0;
    }
    if (n > 0) add_chunk(policy, values, n, scratch, far);
}

static const struct far *far_of(const struct multipole *policy, int32_t slot, int32_t kv_head) {
    return &policy->far[slot * policy->n_kv_heads + kv_head];
}

static void multipole_choose(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                             int32_t kv_head, const float *q) {
    const struct multipole *policy = state;
    const struct scratch *scratch = &policy->scratch[thread];
    const struct cluster_table *table =
        key_clusters_update(&policy->clusters, thread, slot, layer, kv_head, n_cached - 1);
    key_clusters_score(&policy->clusters, table, q, policy->group, scratch->scores, policy->max_clusters);
    find_shares(policy, table, scratch);
    list_tokens(policy, table, n_cached, scratch, head_list_of(&policy->lists, slot, layer, kv_head));
    attend_to_far(policy, table, scratch, far_of(policy, slot, kv_head));
}

static struct kv_set multipole_set(const void *state, int32_t slot, int32_t layer, int32_t head) {
    const struct multipole *policy = state;
    return head_list_set(head_list_of(&policy->lists, slot, layer, head / policy->group));
}

static struct kv_partial multipole_partial(const void *state, int32_t slot, int32_t layer, int32_t kv_head) {
    const struct far *far = far_of(state, slot, kv_head);
    (void)layer;
    return (struct kv_partial){.max = far->max, .sum = far->sum, .acc = far->acc};
}

const struct kv_policy_vtable kv_policy_multipole = {
    .name = "multipole",
    .summary = "the best clusters of keys exactly, K tokens, all others by their centres",
    .options = options,
    .check = multipole_check,
    .create = multipole_create,
    .whole_heads = true,
    .rewind = multipole_rewind,
    .layer = multipole_layer,
    .choose = multipole_choose,
    .set = multipole_set,
    .partial = multipole_partial,
};
