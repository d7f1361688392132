/* DELTA, dynamic layer-aware token attention (2025): a few layers choose pages for the layers behind them.
 *
 * At a selecting layer, with p the softmax of each query head's scores,
 *
 *   s[t]        = max of p[t] over all heads of all ranks
 *   score(page) = sum of s[t] over its tokens, ascending
 *
 * and the set is the newest pages (the current, unfilled one among them) and of the others those with the
 * best score, ties to the older page: floor(K / 16) pages in all, one set for all heads.
 *
 * A weight is not negative, so its bits ascend with it, and the complement of its bits descends: the
 * elementwise MIN over the ranks' messages is the MAX over their weights, without rounding.
 *
 * Cost per selection: rank O(N) exp a head, propose O(H_local N), take O(N), a message of 4 N bytes. */
#include <string.h>

#include "base/check.h"
#include "base/numbers.h"
#include "kvshard/budget_impl.h"
#include "kvshard/head_rows_impl.h"
#include "kvshard/kv_policy_impl.h"
#include "kvshard/select_plan_impl.h"
#include "kvshard/softmax_impl.h"
#include "kvshard/top_tokens_impl.h"

enum { NEWEST };

static const struct kv_policy_option options[] = {
    [NEWEST] = {"newest", 8, 1, 65536, true, "pages at the end that are always in the set"},
    {0},
};

/* Of take. */
struct slot {
    struct top_scratch scratch;
    float *page_scores; /* [pages of the context] */
    uint32_t *words;    /* likewise */
    int32_t *pages;     /* [n_best] */
    int32_t *set;       /* [n_best + n_newest, KV_PAGE_TOKENS] */
    int64_t n_set;      /* 0: nothing was taken yet */
};

struct delta {
    const struct kernels *kernels;
    int64_t budget;
    int32_t n_best, n_newest;      /* pages */
    const enum kv_attention *plan; /* [n_layers] */
    struct head_rows weights;      /* of every head, all tokens */
    struct slot *slots;            /* [n_slots] */
};

/* 2, the middle and four fifths of the way, as far as these are different layers behind the second. */
static int32_t default_layers(int32_t n_layers, int32_t layers_out[3]) {
    const int32_t wanted[] = {2, n_layers / 2, (int32_t)((int64_t)n_layers * 4 / 5)};
    int32_t n = 0;
    for (int i = 0; i < 3 && n_layers > 2; i++)
        if (n == 0 || wanted[i] > layers_out[n - 1]) layers_out[n++] = wanted[i];
    return n;
}

static enum status create_plan(const struct kv_policy_config *config, struct arena *memory,
                               const enum kv_attention **plan_out) {
    int32_t layers[3];
    struct kv_policy_config with_layers = *config;
    if (config->n_select_layers == 0) {
        with_layers.n_select_layers = default_layers(config->n_layers, layers);
        with_layers.select_layers = layers;
    }
    return select_plan_create(&with_layers, memory, plan_out);
}

static enum status create_slot(const struct kv_policy_config *config, const struct delta *policy,
                               struct arena *memory, struct slot *slot) {
    const int64_t n_pages = kv_pages_of(config->context_length);
    TRY(top_scratch_create(memory, config->kernels, n_pages, &slot->scratch));
    TRY(ARENA_TAKE(memory, (size_t)n_pages, &slot->page_scores));
    TRY(ARENA_TAKE(memory, (size_t)n_pages, &slot->words));
    TRY(ARENA_TAKE(memory, (size_t)policy->n_best, &slot->pages));
    return ARENA_TAKE(memory, (size_t)(policy->n_best + policy->n_newest) * KV_PAGE_TOKENS, &slot->set);
}

static enum status delta_check(const struct kv_policy_config *config, const double *values) {
    (void)values;
    return budget_check_pages(config, 1);
}

static enum status delta_create(const struct kv_policy_config *config, const double *values,
                                struct arena *memory, void **state_out) {
    struct delta *policy;
    TRY(ARENA_TAKE(memory, 1, &policy));
    policy->kernels = config->kernels;
    policy->budget = smaller_i64(config->budget, config->context_length); /* more costs no memory */
    const int64_t n_pages = policy->budget / KV_PAGE_TOKENS;
    policy->n_newest = (int32_t)smaller_i64((int64_t)values[NEWEST], n_pages);
    policy->n_best = (int32_t)n_pages - policy->n_newest;
    TRY(create_plan(config, memory, &policy->plan));
    TRY(head_rows_create(config, memory, &policy->weights));
    TRY(ARENA_TAKE(memory, (size_t)config->n_slots, &policy->slots));
    for (int32_t i = 0; i < config->n_slots; i++)
        TRY(create_slot(config, policy, memory, &policy->slots[i]));
    *state_out = policy;
    return STATUS_OK;
}

static enum kv_attention delta_layer(const void *state, int32_t slot, int32_t layer, int64_t n_cached) {
    const struct delta *policy = state;
    (void)slot;
    return n_cached <= policy->budget ? KV_ATTEND_ALL : policy->plan[layer];
}

/* Pages before the newest. N > K leaves more than n_best of them, at least one. */
static int64_t n_candidates(const struct delta *policy, int64_t n_cached) {
    return kv_pages_of(n_cached) - policy->n_newest;
}

static size_t delta_message_words(const void *state, int32_t slot, int32_t layer, int64_t n_cached) {
    (void)slot;
    (void)layer;
    return (size_t)(n_candidates(state, n_cached) * KV_PAGE_TOKENS);
}

static void delta_rank(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                       int32_t head, const float *scores) {
    const struct delta *policy = state;
    (void)thread;
    (void)layer;
    softmax_weights(policy->kernels, scores, n_cached, head_rows_at(&policy->weights, slot, head));
}

static uint32_t word_of_weight(float weight) {
    uint32_t bits;
    memcpy(&bits, &weight, sizeof bits);
    return ~bits;
}

static float weight_of_word(uint32_t word) {
    const uint32_t bits = ~word;
    float weight;
    memcpy(&weight, &bits, sizeof weight);
    return weight;
}

static void delta_propose(void *state, int32_t slot, int32_t layer, int64_t n_cached, uint32_t *message_out) {
    const struct delta *policy = state;
    const int64_t n = n_candidates(policy, n_cached) * KV_PAGE_TOKENS;
    (void)layer;
    memset(message_out, 0xFF, (size_t)n * sizeof *message_out); /* of weight 0 */
    for (int32_t head = 0; head < policy->weights.n_heads; head++) {
        const float *weights = head_rows_at(&policy->weights, slot, head);
        for (int64_t i = 0; i < n; i++) {
            const uint32_t word = word_of_weight(weights[i]);
            message_out[i] = word < message_out[i] ? word : message_out[i];
        }
    }
}

static void score_pages(const uint32_t *agreed, int64_t n_pages, float *scores) {
    for (int64_t page = 0; page < n_pages; page++) {
        scores[page] = 0;
        for (int64_t i = page * KV_PAGE_TOKENS; i < (page + 1) * KV_PAGE_TOKENS; i++)
            scores[page] += weight_of_word(agreed[i]);
    }
}

/* Puts the page's tokens behind those in the set. */
static void add_page(struct slot *slot, int64_t page, int64_t n_cached) {
    const int64_t begin = page * KV_PAGE_TOKENS, end = begin + KV_PAGE_TOKENS;
    for (int64_t token = begin; token < end && token < n_cached; token++)
        slot->set[slot->n_set++] = (int32_t)token;
}

static void delta_take(void *state, int32_t slot_index, int32_t layer, int64_t n_cached,
                       const uint32_t *agreed) {
    struct delta *policy = state;
    struct slot *slot = &policy->slots[slot_index];
    const int64_t n = n_candidates(policy, n_cached);
    (void)layer;
    score_pages(agreed, n, slot->page_scores);
    policy->kernels->words_of_scores(slot->page_scores, n, slot->words);
    smallest_words(slot->words, n, policy->n_best, &slot->scratch, slot->pages);
    slot->n_set = 0;
    for (int32_t i = 0; i < policy->n_best; i++)
        add_page(slot, slot->pages[i], n_cached);
    for (int64_t page = n; page < n + policy->n_newest; page++)
        add_page(slot, page, n_cached);
}

static struct kv_set delta_set(const void *state, int32_t slot_index, int32_t layer, int32_t head) {
    const struct delta *policy = state;
    const struct slot *slot = &policy->slots[slot_index];
    (void)layer;
    (void)head;
    CHECK(slot->n_set > 0);
    return (struct kv_set){.tokens = slot->set, .n_tokens = slot->n_set};
}

const struct kv_policy_vtable kv_policy_delta = {
    .name = "delta",
    .summary = "a few layers choose one set of pages, by the greatest weight under any head",
    .options = options,
    .check = delta_check,
    .create = delta_create,
    .layer = delta_layer,
    .message_words = delta_message_words,
    .rank = delta_rank,
    .propose = delta_propose,
    .take = delta_take,
    .set = delta_set,
};
