/* TidalDecode (Yang et al., arXiv 2410.05076): a few layers choose a set for each query head, which the same
 * head of the layers behind reads.
 *
 *   set of head h = the K - 1 best of tokens 0 … N - 2 by the head's own scores, ties to the lower token, and
 *                   the current one
 *
 * As lessismore in which layers choose, but heads do not hear of one another: nothing is communicated, and no
 * place is kept for the first or the newest tokens. Query heads of one KV head read different keys.
 *
 * Deviations: the current token is always in the set. The paper's correction of the cache is not a matter of
 * the set: --correct-every has it, for any policy that does not evict.
 *
 * Cost: rank O(N + K) a head. Memory: 4 K bytes a head and slot. */
#include "base/check.h"
#include "base/numbers.h"
#include "kvshard/kv_policy_impl.h"
#include "kvshard/select_plan_impl.h"
#include "kvshard/top_tokens_impl.h"

struct tidal {
    int64_t budget; /* at most a context */
    int32_t n_heads;
    const struct kernels *kernels;
    const enum kv_attention *plan; /* [n_layers] */
    int32_t *sets;                 /* [n_slots, n_heads, budget] */
    bool *is_set;                  /* [n_slots, n_heads] */
    struct top_scratch *scratch;   /* [n_threads] */
};

static enum status tidal_check(const struct kv_policy_config *config, const double *values) {
    (void)values;
    if (config->budget < 2)
        return FAIL(STATUS_BAD_INPUT, "budget %d is too small: policy tidal needs 2 tokens", config->budget);
    return STATUS_OK;
}

static enum status tidal_create(const struct kv_policy_config *config, const double *values,
                                struct arena *memory, void **state_out) {
    struct tidal *tidal;
    (void)values;
    TRY(ARENA_TAKE(memory, 1, &tidal));
    tidal->budget = smaller_i64(config->budget, config->context_length);
    tidal->n_heads = config->n_heads_local;
    tidal->kernels = config->kernels;
    TRY(select_plan_create(config, memory, &tidal->plan));
    const size_t n_sets = (size_t)config->n_slots * (size_t)config->n_heads_local;
    TRY(ARENA_TAKE(memory, n_sets * (size_t)tidal->budget, &tidal->sets));
    TRY(ARENA_TAKE(memory, n_sets, &tidal->is_set));
    TRY(ARENA_TAKE(memory, (size_t)config->n_threads, &tidal->scratch));
    for (int32_t i = 0; i < config->n_threads; i++)
        TRY(top_scratch_create(memory, config->kernels, config->context_length, &tidal->scratch[i]));
    *state_out = tidal;
    return STATUS_OK;
}

static enum kv_attention tidal_layer(const void *state, int32_t slot, int32_t layer, int64_t n_cached) {
    const struct tidal *tidal = state;
    (void)slot;
    return n_cached <= tidal->budget ? KV_ATTEND_ALL : tidal->plan[layer] & ~KV_AGREE;
}

static int64_t set_index(const struct tidal *tidal, int32_t slot, int32_t head) {
    return (int64_t)slot * tidal->n_heads + head;
}

/* tokens NULL: the scores are those of the first tokens. */
static void choose_set(const struct tidal *tidal, int32_t thread, int64_t index, int64_t n_cached,
                       struct kv_scored scored) {
    struct top_scratch *scratch = &tidal->scratch[thread];
    const int64_t n_best = tidal->budget - 1;
    int32_t *set = tidal->sets + index * tidal->budget;
    tidal->kernels->words_of_scores(scored.scores, scored.n, scratch->words);
    smallest_words(scratch->words, scored.n, n_best, scratch, set);
    for (int64_t i = 0; scored.tokens && i < n_best; i++)
        set[i] = scored.tokens[set[i]];
    set[n_best] = (int32_t)(n_cached - 1);
    tidal->is_set[index] = true;
}

static void tidal_rank(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                       int32_t head, const float *scores) {
    const struct tidal *tidal = state;
    (void)layer;
    choose_set(tidal, thread, set_index(tidal, slot, head), n_cached,
               (struct kv_scored){.scores = scores, .n = n_cached - 1});
}

static struct kv_best tidal_best(const void *state, int64_t n_cached) {
    const struct tidal *tidal = state;
    return (struct kv_best){0, n_cached - 1, tidal->budget - 1};
}

static void tidal_rank_best(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                            int32_t head, struct kv_scored scored) {
    const struct tidal *tidal = state;
    (void)layer;
    choose_set(tidal, thread, set_index(tidal, slot, head), n_cached, scored);
}

static struct kv_set tidal_set(const void *state, int32_t slot, int32_t layer, int32_t head) {
    const struct tidal *tidal = state;
    const int64_t index = set_index(tidal, slot, head);
    (void)layer;
    CHECK(tidal->is_set[index]);
    return (struct kv_set){.tokens = tidal->sets + index * tidal->budget, .n_tokens = tidal->budget};
}

const struct kv_policy_vtable kv_policy_tidal = {
    .name = "tidal",
    .summary = "two layers choose K tokens for each query head",
    .lists_per_head = true,
    .check = tidal_check,
    .create = tidal_create,
    .layer = tidal_layer,
    .rank = tidal_rank,
    .best = tidal_best,
    .rank_best = tidal_rank_best,
    .set = tidal_set,
};
