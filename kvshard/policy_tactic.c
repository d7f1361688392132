/* Tactic (Zhu et al., arXiv 2502.12216): the fewest tokens that hold a share p of the softmax's mass,
 * estimated.
 *
 * The newest `window` tokens are always attended to. Older keys are kept in clusters (key_clusters_impl.h),
 * and each query head puts these in the order of q.centroid, best first. Along this order, token by token,
 * the mass exp(score) falls about as
 *
 *   y(x) = a / x + b            x = 1 … n, the token's place
 *
 * which is fitted to two samples of SAMPLE_TOKENS tokens, from the places n / 10 and 6 n / 10 on, whose
 * scores are computed. The first tokens are no part of the curve: the scores of n / 50 of them, HEAD_TOKENS
 * at least, are computed, too, as are the window's. Clusters are taken in order until what they hold, with
 * the window, is p of everything. A KV head's list is the union over its query heads. There is no budget.
 *
 * Cost per layer, KV head and token: g N / 16 products with centroids and their sorting; a second product for
 * the window, samples and first tokens; clustering as key_clusters.c. */
#include <math.h>

#include "base/numbers.h"
#include "kvshard/head_lists_impl.h"
#include "kvshard/key_clusters_impl.h"
#include "kvshard/kv_policy_impl.h"
#include "kvshard/token_marks_impl.h"
#include "kvshard/top_tokens_impl.h"

enum { MASS, WINDOW, FIRST_LAYER };
enum { STEP = 128, HEAD_TOKENS = 64, SAMPLE_TOKENS = 32 };

static const struct kv_policy_option options[] = {
    [MASS] = {"p", 0.9, 0, 1, false, "share of the softmax's mass to attend to; 1: all tokens"},
    [WINDOW] = {"window", 2048, 1, 1 << 30, true, "newest tokens, which are always attended to"},
    [FIRST_LAYER] = {"first-layer", 2, 0, 65535, true, "layers before it are dense"},
    {0},
};

struct scratch {
    float *cluster_scores; /* [g, max_clusters] */
    int32_t *order;        /* [max_clusters] */
    float *scores;         /* [context_length] of tokens, then their masses */
    double *masses;        /* [max_clusters] in that order */
    struct top_scratch top;
    struct token_marks marks;
};

struct tactic {
    const struct kernels *kernels;
    const struct kv_cache *cache;
    double mass;
    int64_t window, max_clusters, head_dim;
    int32_t group;
    struct head_lists lists;
    struct key_clusters clusters;
    struct scratch *scratch; /* [n_threads] */
};

/* One query head's choice being made. */
struct query {
    const struct tactic *policy;
    const struct cluster_table *table;
    const struct scratch *scratch;
    const float *q;
    int32_t slot, layer, kv_head;
    int64_t n_cached;
    float max; /* masses are exp(score - max) */
};

/* A mean mass, and the place that it stands for. */
struct sample {
    double x, y;
};

static enum status create_scratch(const struct kv_policy_config *config, const struct tactic *policy,
                                  struct arena *memory, struct scratch *scratch) {
    const size_t n = (size_t)policy->max_clusters;
    TRY(ARENA_TAKE(memory, (size_t)policy->group * n, &scratch->cluster_scores));
    TRY(ARENA_TAKE(memory, n, &scratch->order));
    TRY(ARENA_TAKE(memory, (size_t)config->context_length, &scratch->scores));
    TRY(ARENA_TAKE(memory, n, &scratch->masses));
    TRY(top_scratch_create(memory, config->kernels, policy->max_clusters, &scratch->top));
    return token_marks_create(memory, config->context_length, &scratch->marks);
}

static enum status tactic_create(const struct kv_policy_config *config, const double *values,
                                 struct arena *memory, void **state_out) {
    struct tactic *policy;
    TRY(ARENA_TAKE(memory, 1, &policy));
    *policy = (struct tactic){
        .kernels = config->kernels,
        .cache = config->cache,
        .mass = values[MASS],
        .window = (int64_t)values[WINDOW],
        .max_clusters = config->context_length / CLUSTER_TOKENS + 1,
        .head_dim = config->head_dim,
        .group = config->n_heads_local / config->n_kv_heads_local,
    };
    TRY(head_lists_create(config, values[FIRST_LAYER], memory, &policy->lists));
    TRY(key_clusters_create(config, policy->lists.first_layer, 0, STEP, false, memory, &policy->clusters));
    TRY(ARENA_TAKE(memory, (size_t)config->n_threads, &policy->scratch));
    for (int32_t i = 0; i < config->n_threads; i++)
        TRY(create_scratch(config, policy, memory, &policy->scratch[i]));
    *state_out = policy;
    return STATUS_OK;
}

static void tactic_rewind(void *state, int32_t slot, int64_t n) {
    const struct tactic *policy = state;
    key_clusters_rewind(&policy->clusters, slot, n);
    head_lists_clear(&policy->lists, slot);
}

static enum kv_attention tactic_layer(const void *state, int32_t slot, int32_t layer, int64_t n_cached) {
    const struct tactic *policy = state;
    (void)slot;
    if (n_cached < policy->window + STEP || layer < policy->lists.first_layer) return KV_ATTEND_ALL;
    return KV_CHOOSE | KV_ATTEND_SET;
}

/* scores_out [n] of the tokens listed, or from `first` on where tokens is NULL. */
static void score_tokens(const struct query *query, const int32_t *tokens, int64_t first, int64_t n,
                         float *scores_out) {
    const struct tactic *policy = query->policy;
    const void *keys[ATTEND_CHUNK], *values[ATTEND_CHUNK];
    const float scale = attention_scale(policy->head_dim);
    for (int64_t begin = 0; begin < n; begin += ATTEND_CHUNK) {
        const int64_t count = smaller_i64(n - begin, ATTEND_CHUNK);
        kv_cache_rows(policy->cache, query->slot, query->layer, query->kv_head,
                      tokens ? tokens + begin : NULL, first + begin, count, keys, values);
        policy->kernels->score(query->q, 1, keys, NULL, kv_cache_dtype(policy->cache), count,
                               policy->head_dim, scale, scores_out + begin, count);
    }
}

static float largest(const float *scores, int64_t n, float max) {
    for (int64_t i = 0; i < n; i++)
        max = scores[i] > max ? scores[i] : max;
    return max;
}

/* scores become masses; their sum, in ascending order. */
static double sum_masses(const struct query *query, float *scores, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        scores[i] -= query->max;
    query->policy->kernels->exp(scores, n, scores);
    for (int64_t i = 0; i < n; i++)
        sum += scores[i];
    return sum;
}

static void score_cluster(const struct query *query, int32_t cluster) {
    score_tokens(query, query->table->tokens + query->table->begins[cluster], 0,
                 cluster_size(query->table, cluster), query->scratch->scores);
}

static double mass_of_cluster(const struct query *query, int32_t cluster) {
    score_cluster(query, cluster);
    return sum_masses(query, query->scratch->scores, cluster_size(query->table, cluster));
}

/* Masses are measured by the best score of the window and of the best cluster: no other should be so much
 * better that its mass overflows. */
static double mass_of_window(struct query *query) {
    float *scores = query->scratch->scores;
    const int32_t best = query->scratch->order[0];
    const int64_t n = query->n_cached - query->table->n_tokens;
    score_cluster(query, best);
    query->max = largest(scores, cluster_size(query->table, best), -INFINITY);
    score_tokens(query, NULL, query->table->n_tokens, n, scores);
    query->max = largest(scores, n, query->max);
    return sum_masses(query, scores, n);
}

/* The mean mass of SAMPLE_TOKENS tokens, in whole clusters, from `place` of the order on. */
static struct sample take_sample(const struct query *query, int64_t place) {
    const struct cluster_table *table = query->table;
    int64_t begin = 0, n = 0;
    double mass = 0;
    for (int64_t i = 0; i < table->n_clusters && n < SAMPLE_TOKENS; i++) {
        const int32_t cluster = query->scratch->order[i], size = cluster_size(table, cluster);
        if (begin < place) {
            begin += size;
            continue;
        }
        mass += mass_of_cluster(query, cluster);
        n += size;
    }
    return (struct sample){(double)begin + (double)(n + 1) / 2, n > 0 ? mass / (double)n : 0};
}

struct curve {
    double a, b;
};

/* Through both samples. Two at one place are no line: then it is flat. */
static struct curve fit(struct sample first, struct sample second) {
    if (second.x <= first.x) return (struct curve){0, first.y};
    const double a = (first.y - second.y) / (1 / first.x - 1 / second.x);
    return (struct curve){a, first.y - a / first.x};
}

/* What the `size` tokens behind `place` hold by the curve, which may end below 0. */
static double estimate(struct curve curve, int64_t place, int32_t size) {
    const double y = curve.a / ((double)place + (size + 1) / 2.0) + curve.b;
    return y > 0 ? y * size : 0;
}

static void mark_cluster(const struct query *query, int32_t cluster) {
    const struct cluster_table *table = query->table;
    for (int32_t i = table->begins[cluster]; i < table->begins[cluster + 1]; i++)
        mark_token(&query->scratch->marks, table->tokens[i]);
}

/* Fills scratch->masses: the first clusters' are computed, the others estimated. Returns the sum of `mass`
 * and them. */
static double add_clusters(const struct query *query, double mass) {
    const int64_t n = query->table->n_tokens, n_head = larger_i64(n / 50, HEAD_TOKENS);
    const struct curve curve = fit(take_sample(query, n / 10), take_sample(query, n * 6 / 10));
    int64_t place = 0;
    for (int64_t i = 0; i < query->table->n_clusters; i++) {
        const int32_t cluster = query->scratch->order[i], size = cluster_size(query->table, cluster);
        query->scratch->masses[i] =
            place < n_head ? mass_of_cluster(query, cluster) : estimate(curve, place, size);
        mass += query->scratch->masses[i];
        place += size;
    }
    return mass;
}

/* Marks the clusters of one query head. Where the mass is no number, all. */
static void choose_clusters(struct query *query) {
    const struct scratch *scratch = query->scratch;
    double held = mass_of_window(query);
    const double total = add_clusters(query, held), share = query->policy->mass;
    const bool all = share == 1 || !isfinite(total);
    for (int64_t i = 0; i < query->table->n_clusters && (all || held < share * total); i++) {
        mark_cluster(query, scratch->order[i]);
        held += scratch->masses[i];
    }
}

static void tactic_choose(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                          int32_t kv_head, const float *q) {
    const struct tactic *policy = state;
    const struct scratch *scratch = &policy->scratch[thread];
    const struct cluster_table *table =
        key_clusters_update(&policy->clusters, thread, slot, layer, kv_head, n_cached - policy->window);
    struct head_list *list = head_list_of(&policy->lists, slot, layer, kv_head);
    key_clusters_score(&policy->clusters, table, q, policy->group, scratch->cluster_scores,
                       policy->max_clusters);
    for (int32_t head = 0; head < policy->group; head++) {
        struct query query = {.policy = policy,
                              .table = table,
                              .scratch = scratch,
                              .q = q + head * policy->head_dim,
                              .slot = slot,
                              .layer = layer,
                              .kv_head = kv_head,
                              .n_cached = n_cached};
        top_tokens(scratch->cluster_scores + head * policy->max_clusters, table->n_clusters,
                   table->n_clusters, &scratch->top, scratch->order);
        choose_clusters(&query);
    }
    for (int64_t token = table->n_tokens; token < n_cached; token++)
        mark_token(&scratch->marks, token);
    list->n = take_marked(&scratch->marks, n_cached, list->tokens);
}

static struct kv_set tactic_set(const void *state, int32_t slot, int32_t layer, int32_t head) {
    const struct tactic *policy = state;
    return head_list_set(head_list_of(&policy->lists, slot, layer, head / policy->group));
}

const struct kv_policy_vtable kv_policy_tactic = {
    .name = "tactic",
    .summary = "the clusters of keys that hold a share p of the attention, estimated; no budget",
    .options = options,
    .create = tactic_create,
    .whole_heads = true,
    .rewind = tactic_rewind,
    .layer = tactic_layer,
    .choose = tactic_choose,
    .set = tactic_set,
};
