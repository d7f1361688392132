/* RefreshKV (Xu, Goyal & Choi, arXiv 2411.05787): attend to a small set, and make it anew when the question
 * has changed.
 *
 * Each KV head of each layer has a set of K tokens. Every `every` steps since its last full one it compares
 * its queries with those of that step:
 *
 *   similarity = mean over the g query heads of cosine(q now, q then)
 *
 * Below the option `similarity` the step is a full one: it attends to all tokens, and the set becomes the K
 * with the greatest sum of softmax weights over the g heads, ties to the lower token. At other steps the new
 * token takes the place of the worst that is left of those. Nothing is evicted. The first step, and one
 * behind tokens that were not decoded sparsely, is full.
 *
 * Deviations: the paper decides for a layer as a whole; a KV head that decides for itself needs no word with
 * the others, on this rank or another, and reads all tokens only where it must. The prompt's last query is
 * not seen, so the first set is the first decode step's. Weights are not pooled over neighbours.
 *
 * Cost: O(K) a step; a full one O(N), with N exp a query head. */
#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/numbers.h"
#include "kvshard/head_rows_impl.h"
#include "kvshard/kv_policy_impl.h"
#include "kvshard/softmax_impl.h"
#include "kvshard/top_tokens_impl.h"

enum { EVERY, SIMILARITY };

static const struct kv_policy_option options[] = {
    [EVERY] = {"every", 10, 1, 65536, true, "steps from one look at the queries to the next"},
    [SIMILARITY] = {"similarity", 0.85, -1, 1, false, "cosine of queries below which the set is made anew"},
    {0},
};

/* A KV head's set at a layer, for a slot. */
struct head_set {
    int32_t *ranking; /* [budget] what the last full step chose, best first */
    int32_t *tokens;  /* [budget] the set, ascending */
    float *q;         /* [g, head_dim] of the last full step */
    int64_t n_full;   /* tokens cached at that step; 0: there was none */
    int64_t n_cached; /* at the last step */
};

/* Of one thread. */
struct scratch {
    struct top_scratch top;
    float *sums;     /* [context_length] of weights */
    uint32_t *words; /* likewise */
};

struct refresh {
    const struct kernels *kernels;
    int64_t budget, every, head_dim;
    double similarity;
    int32_t n_layers, n_kv_heads;
    struct head_rows weights; /* of query heads at a full step, all tokens */
    struct head_set *sets;    /* [n_slots, n_layers, n_kv_heads] */
    struct scratch *scratch;  /* [n_threads] */
};

static enum status create_sets(struct refresh *policy, size_t n_sets, struct arena *memory) {
    const size_t budget = (size_t)policy->budget;
    const size_t q_size = (size_t)policy->weights.group * (size_t)policy->head_dim;
    void *tokens, *queries; /* [n_sets, 2, budget], [n_sets, g, head_dim] */
    TRY(ARENA_TAKE(memory, n_sets, &policy->sets));
    TRY(arena_take(memory, n_sets, 2 * budget * sizeof *policy->sets->tokens, &tokens));
    TRY(arena_take(memory, n_sets, q_size * sizeof *policy->sets->q, &queries));
    for (size_t i = 0; i < n_sets; i++) {
        int32_t *ranking = (int32_t *)tokens + 2 * i * budget;
        policy->sets[i] = (struct head_set){
            .ranking = ranking, .tokens = ranking + budget, .q = (float *)queries + i * q_size};
    }
    return STATUS_OK;
}

static enum status create_scratch(const struct kv_policy_config *config, struct arena *memory,
                                  struct refresh *policy) {
    const size_t n = (size_t)config->context_length;
    TRY(ARENA_TAKE(memory, (size_t)config->n_threads, &policy->scratch));
    for (int32_t i = 0; i < config->n_threads; i++) {
        TRY(top_scratch_create(memory, config->kernels, config->context_length, &policy->scratch[i].top));
        TRY(ARENA_TAKE(memory, n, &policy->scratch[i].sums));
        TRY(ARENA_TAKE(memory, n, &policy->scratch[i].words));
    }
    return STATUS_OK;
}

static enum status refresh_check(const struct kv_policy_config *config, const double *values) {
    (void)values;
    if (config->budget < 1)
        return FAIL(STATUS_BAD_INPUT, "budget %d is too small: policy refresh needs a token", config->budget);
    return STATUS_OK;
}

static enum status refresh_create(const struct kv_policy_config *config, const double *values,
                                  struct arena *memory, void **state_out) {
    struct refresh *policy;
    TRY(ARENA_TAKE(memory, 1, &policy));
    policy->kernels = config->kernels;
    policy->budget = smaller_i64(config->budget, config->context_length); /* more costs no memory */
    policy->every = (int64_t)values[EVERY];
    policy->similarity = values[SIMILARITY];
    policy->head_dim = config->head_dim;
    policy->n_layers = config->n_layers;
    policy->n_kv_heads = config->n_kv_heads_local;
    TRY(head_rows_create(config, memory, &policy->weights));
    TRY(create_sets(policy,
                    (size_t)config->n_slots * (size_t)config->n_layers * (size_t)config->n_kv_heads_local,
                    memory));
    TRY(create_scratch(config, memory, policy));
    *state_out = policy;
    return STATUS_OK;
}

static struct head_set *set_at(const struct refresh *policy, int32_t slot, int32_t layer, int32_t kv_head) {
    return &policy->sets[((int64_t)slot * policy->n_layers + layer) * policy->n_kv_heads + kv_head];
}

/* The next step is full. */
static void refresh_rewind(void *state, int32_t slot, int64_t n) {
    const struct refresh *policy = state;
    (void)n;
    for (int32_t layer = 0; layer < policy->n_layers; layer++)
        for (int32_t kv_head = 0; kv_head < policy->n_kv_heads; kv_head++)
            set_at(policy, slot, layer, kv_head)->n_full = 0;
}

static enum kv_attention refresh_layer(const void *state, int32_t slot, int32_t layer, int64_t n_cached) {
    const struct refresh *policy = state;
    (void)slot;
    (void)layer;
    return n_cached <= policy->budget ? KV_ATTEND_ALL : KV_ATTEND_SET | KV_CHOOSE | KV_RANK;
}

static double cosine(const float *a, const float *b, int64_t n) {
    double dot = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < n; i++) {
        dot += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return dot / sqrt(aa * bb);
}

/* NaN is not alike. */
static bool is_alike(const struct refresh *policy, const float *now, const float *then) {
    double sum = 0;
    for (int64_t head = 0; head < policy->weights.group; head++)
        sum += cosine(now + head * policy->head_dim, then + head * policy->head_dim, policy->head_dim);
    return sum / policy->weights.group >= policy->similarity;
}

static bool must_refresh(const struct refresh *policy, const struct head_set *set, int64_t n_cached,
                         const float *q) {
    if (set->n_full == 0 || n_cached != set->n_cached + 1) return true;
    return (n_cached - set->n_full) % policy->every == 0 && !is_alike(policy, q, set->q);
}

/* Where the token, which is there, is in the set. */
static int64_t place_of(const struct head_set *set, int64_t n, int32_t token) {
    int64_t begin = 0, end = n - 1;
    while (begin < end) {
        const int64_t middle = (begin + end) / 2;
        if (set->tokens[middle] < token)
            begin = middle + 1;
        else
            end = middle;
    }
    CHECK(set->tokens[begin] == token);
    return begin;
}

/* The current token comes; the worst of those chosen goes, or, where none is left, the oldest. */
static void take_in(struct head_set *set, int64_t budget, int64_t n_cached) {
    const int64_t n_new = n_cached - set->n_full;
    const int64_t gone = n_new <= budget ? place_of(set, budget, set->ranking[budget - n_new]) : 0;
    memmove(set->tokens + gone, set->tokens + gone + 1, (size_t)(budget - gone - 1) * sizeof *set->tokens);
    set->tokens[budget - 1] = (int32_t)(n_cached - 1);
}

static void refresh_choose(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                           int32_t kv_head, const float *q) {
    const struct refresh *policy = state;
    struct head_set *set = set_at(policy, slot, layer, kv_head);
    (void)thread;
    if (must_refresh(policy, set, n_cached, q)) {
        set->n_full = n_cached;
        memcpy(set->q, q, (size_t)(policy->weights.group * policy->head_dim) * sizeof *q);
    } else {
        take_in(set, policy->budget, n_cached);
    }
    set->n_cached = n_cached;
}

static struct kv_set refresh_set(const void *state, int32_t slot, int32_t layer, int32_t head) {
    const struct refresh *policy = state;
    const struct head_set *set = set_at(policy, slot, layer, head / policy->weights.group);
    CHECK(set->n_full > 0);
    if (set->n_cached == set->n_full) return (struct kv_set){.n_tokens = set->n_cached};
    return (struct kv_set){.tokens = set->tokens, .n_tokens = policy->budget};
}

/* The set of the steps to come, from the weights of a full one. */
static void make_set(const struct refresh *policy, const struct scratch *scratch, int32_t slot,
                     int32_t kv_head, struct head_set *set) {
    const int64_t n = set->n_full;
    memset(scratch->sums, 0, (size_t)n * sizeof *scratch->sums);
    head_rows_add(&policy->weights, slot, kv_head, n, scratch->sums);
    top_tokens(scratch->sums, n, policy->budget, &scratch->top, set->ranking);
    policy->kernels->words_of_scores(scratch->sums, n, scratch->words);
    smallest_words(scratch->words, n, policy->budget, &scratch->top, set->tokens);
}

static void refresh_rank(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                         int32_t head, const float *scores) {
    const struct refresh *policy = state;
    const int32_t kv_head = head / policy->weights.group;
    struct head_set *set = set_at(policy, slot, layer, kv_head);
    if (set->n_full != n_cached) return;
    softmax_weights(policy->kernels, scores, n_cached, head_rows_at(&policy->weights, slot, head));
    if (head_rows_complete(&policy->weights, slot, head))
        make_set(policy, &policy->scratch[thread], slot, kv_head, set);
}

const struct kv_policy_vtable kv_policy_refresh = {
    .name = "refresh",
    .summary = "K tokens for each KV head, chosen anew when its queries have changed",
    .options = options,
    .check = refresh_check,
    .create = refresh_create,
    .rewind = refresh_rewind,
    .layer = refresh_layer,
    .choose = refresh_choose,
    .set = refresh_set,
    .rank = refresh_rank,
};
