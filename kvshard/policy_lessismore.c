/* LessIsMore (Yang et al., arXiv 2508.07101): a few layers choose one set of tokens for all heads.
 *
 * The set of K tokens is the first n_sinks, the newest n_recent, and between them the k_mid that come
 * first when the heads' rankings are read aloud in turn: the best token of head 0, of head 1, …, then
 * everybody's second, skipping what was said before (first occurrence order). Only places in a head's
 * ranking are compared, never the scores of different heads.
 *
 * The place at which token t is first heard is a number, the smallest place * H + head over all heads
 * that rank it; so the order of all heads is the elementwise MIN over ranks of each rank's own, and the
 * winners are the k_mid smallest. Distinct tokens never tie: (place, head) names one token.
 *
 * Cost per selection: rank O(N + k_mid) a head, propose O(N + H_local k_mid), take O(N + k_mid), a message of
 * 4 (N - K + k_mid) bytes. */
#include <math.h>
#include <string.h>

#include "base/check.h"
#include "kvshard/budget_impl.h"
#include "kvshard/kv_policy_impl.h"
#include "kvshard/select_plan_impl.h"
#include "kvshard/top_tokens_impl.h"

#define NOT_PROPOSED UINT32_MAX

struct slot {
    struct top_scratch scratch; /* of take */
    int32_t *rankings;          /* [n_heads_local, k_mid] every head's tokens, best first */
    int32_t *set;               /* [budget] */
    bool is_set;
};

struct lessismore {
    int32_t budget, k_mid, n_sinks, n_recent; /* budget == k_mid + n_sinks + n_recent */
    uint32_t n_heads_global;
    int32_t n_heads_local, first_head;
    const enum kv_attention *plan; /* [n_layers] */
    struct slot *slots;            /* [n_slots] */
    struct top_scratch *scratch;   /* [n_threads] of rank */
};

static enum status lessismore_check(const struct kv_policy_config *config, const double *values) {
    (void)values;
    TRY(budget_check_sinks(config));
    if (!(config->recent_ratio >= 0 && config->recent_ratio <= 1)) /* catches NaN too */
        return FAIL(STATUS_BAD_INPUT, "recent-ratio must be from 0 to 1, not %g", config->recent_ratio);
    return STATUS_OK;
}

static int32_t smaller(int32_t a, int32_t b) {
    return a < b ? a : b;
}

/* k_mid = floor(K (1 - r)), then the sinks, the newest get the rest; but at least the current token has a
 * place, which a small budget takes from the sinks, or without sinks from k_mid. */
static void share_budget(const struct kv_policy_config *config, struct lessismore *policy) {
    /* A larger budget than the context is dense always; clamped, it costs no memory. */
    policy->budget =
        (int32_t)(config->budget < config->context_length ? config->budget : config->context_length);
    /* The small term makes floor(10 * (1 - 0.9)) 1: 1 - 0.9 is a little less than 0.1. */
    const int32_t share = (int32_t)floor(policy->budget * (1 - config->recent_ratio) + 1e-6);
    policy->k_mid = smaller(share, policy->budget - 1);
    policy->n_sinks = smaller(config->n_sinks, policy->budget - policy->k_mid - 1);
    policy->n_recent = policy->budget - policy->k_mid - policy->n_sinks;
}

static enum status create_slots(const struct kv_policy_config *config, struct arena *memory,
                                struct lessismore *policy) {
    TRY(ARENA_TAKE(memory, (size_t)config->n_slots, &policy->slots));
    for (int32_t i = 0; i < config->n_slots; i++) {
        struct slot *slot = &policy->slots[i];
        TRY(top_scratch_create(memory, config->kernels, config->context_length, &slot->scratch));
        TRY(ARENA_TAKE(memory, (size_t)policy->n_heads_local * (size_t)policy->k_mid, &slot->rankings));
        TRY(ARENA_TAKE(memory, (size_t)policy->budget, &slot->set));
    }
    return STATUS_OK;
}

static enum status lessismore_create(const struct kv_policy_config *config, const double *values,
                                     struct arena *memory, void **state_out) {
    struct lessismore *policy;
    (void)values;
    TRY(ARENA_TAKE(memory, 1, &policy));
    share_budget(config, policy);
    policy->n_heads_global = (uint32_t)config->n_heads_global;
    policy->n_heads_local = config->n_heads_local;
    policy->first_head = config->first_head;
    if ((uint64_t)policy->k_mid * policy->n_heads_global > NOT_PROPOSED)
        return FAIL(STATUS_BAD_INPUT, "budget %d is too large for %d heads: their places must fit 32 bits",
                    config->budget, config->n_heads_global);
    TRY(select_plan_create(config, memory, &policy->plan));
    TRY(create_slots(config, memory, policy));
    TRY(ARENA_TAKE(memory, (size_t)config->n_threads, &policy->scratch));
    for (int32_t i = 0; i < config->n_threads; i++)
        TRY(top_scratch_create(memory, config->kernels, config->context_length, &policy->scratch[i]));
    *state_out = policy;
    return STATUS_OK;
}

static enum kv_attention lessismore_layer(const void *state, int32_t slot, int32_t layer, int64_t n_cached) {
    const struct lessismore *policy = state;
    (void)slot;
    return n_cached <= policy->budget ? KV_ATTEND_ALL : policy->plan[layer];
}

/* Tokens between the sinks and the newest. With N > K these are N - K + k_mid > k_mid, so that every head
 * ranks k_mid of them, and all heads together propose at least k_mid distinct ones. */
static int64_t n_candidates(const struct lessismore *policy, int64_t n_cached) {
    return n_cached - policy->n_sinks - policy->n_recent;
}

static size_t lessismore_message_words(const void *state, int32_t slot, int32_t layer, int64_t n_cached) {
    (void)slot;
    (void)layer;
    return (size_t)n_candidates(state, n_cached);
}

/* A ranking holds candidates: candidate i is token n_sinks + i. */
static int32_t *ranking_of(const struct lessismore *policy, int32_t slot, int32_t head) {
    return policy->slots[slot].rankings + (int64_t)head * policy->k_mid;
}

static void lessismore_rank(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                            int32_t head, const float *scores) {
    const struct lessismore *policy = state;
    (void)layer;
    top_tokens(scores + policy->n_sinks, n_candidates(policy, n_cached), policy->k_mid,
               &policy->scratch[thread], ranking_of(policy, slot, head));
}

static struct kv_best lessismore_best(const void *state, int64_t n_cached) {
    const struct lessismore *policy = state;
    return (struct kv_best){policy->n_sinks, n_cached - policy->n_recent, policy->k_mid};
}

static void lessismore_rank_best(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                                 int32_t head, struct kv_scored scored) {
    const struct lessismore *policy = state;
    int32_t *ranking = ranking_of(policy, slot, head);
    (void)layer;
    (void)n_cached;
    top_tokens(scored.scores, scored.n, policy->k_mid, &policy->scratch[thread], ranking);
    for (int32_t i = 0; i < policy->k_mid; i++)
        ranking[i] = scored.tokens[ranking[i]] - policy->n_sinks;
}

/* message [n_candidates] */
static void lessismore_propose(void *state, int32_t slot, int32_t layer, int64_t n_cached,
                               uint32_t *message_out) {
    const struct lessismore *policy = state;
    const int64_t n = n_candidates(policy, n_cached);
    (void)layer;
    memset(message_out, 0xFF, (size_t)n * sizeof *message_out); /* NOT_PROPOSED */
    for (int32_t head = 0; head < policy->n_heads_local; head++) {
        const int32_t *ranking = ranking_of(policy, slot, head);
        uint32_t heard = (uint32_t)(policy->first_head + head); /* place * H + head */
        for (int32_t place = 0; place < policy->k_mid; place++, heard += policy->n_heads_global) {
            uint32_t *first = &message_out[ranking[place]];
            if (heard < *first) *first = heard;
        }
    }
}

static void lessismore_take(void *state, int32_t slot_index, int32_t layer, int64_t n_cached,
                            const uint32_t *agreed) {
    struct lessismore *policy = state;
    struct slot *slot = &policy->slots[slot_index];
    (void)layer;
    for (int32_t i = 0; i < policy->n_sinks; i++)
        slot->set[i] = i;

    int32_t *middle = slot->set + policy->n_sinks;
    smallest_words(agreed, n_candidates(policy, n_cached), policy->k_mid, &slot->scratch, middle);
    for (int32_t i = 0; i < policy->k_mid; i++) {
        CHECK(agreed[middle[i]] != NOT_PROPOSED);
        middle[i] += policy->n_sinks;
    }

    int32_t *recent = middle + policy->k_mid;
    for (int32_t i = 0; i < policy->n_recent; i++)
        recent[i] = (int32_t)(n_cached - policy->n_recent) + i;
    slot->is_set = true;
}

static struct kv_set lessismore_set(const void *state, int32_t slot_index, int32_t layer,
                                    int32_t head_local) {
    const struct lessismore *policy = state;
    const struct slot *slot = &policy->slots[slot_index];
    (void)layer;
    (void)head_local;
    CHECK(slot->is_set);
    return (struct kv_set){.tokens = slot->set, .n_tokens = policy->budget};
}

const struct kv_policy_vtable kv_policy_lessismore = {
    .name = "lessismore",
    .summary = "two layers choose one set of K tokens for all heads of all ranks",
    .check = lessismore_check,
    .create = lessismore_create,
    .layer = lessismore_layer,
    .message_words = lessismore_message_words,
    .rank = lessismore_rank,
    .best = lessismore_best,
    .rank_best = lessismore_rank_best,
    .propose = lessismore_propose,
    .take = lessismore_take,
    .set = lessismore_set,
};
