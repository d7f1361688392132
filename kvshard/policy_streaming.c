/* StreamingLLM (Xiao et al., arXiv 2309.17453): the first tokens, the newest ones, and nothing between.
 *
 *   kept at a decode step of N tokens: the first n_sinks, and the last K - n_sinks
 *
 * The same for all layers and heads. What is not kept is forgotten for good: a page goes back to the pool as
 * soon as none of its tokens is kept. A prompt is read densely, however long; it is forgotten with the first
 * decode step behind it. What is read later (another turn) attends to what is kept, and to itself.
 *
 * Deviation: tokens keep their positions. The paper rotates keys anew by their place among the kept ones,
 * which lets a model go on behind the context it was trained for; within it, positions say more.
 *
 * Cost: O(K) a step, for writing the list; no scores are looked at, nothing is communicated. */
#include "base/numbers.h"
#include "kvshard/budget_impl.h"
#include "kvshard/kv_policy_impl.h"

/* Tokens n_sinks … first_kept - 1 are forgotten. */
struct slot {
    int64_t first_kept; /* n_sinks: nothing is */
    int64_t n_released; /* pages before this one, but for those of sinks, are back in the pool */
    int32_t *tokens;    /* [context_length] what is kept; unused while nothing is forgotten */
};

struct streaming {
    struct kv_cache *cache;
    int32_t n_layers, n_kv_heads;
    int64_t n_sinks, n_recent;
    struct slot *slots; /* [n_slots] */
};

static enum status streaming_check(const struct kv_policy_config *config, const double *values) {
    (void)values;
    return budget_check_sinks(config);
}

static enum status streaming_create(const struct kv_policy_config *config, const double *values,
                                    struct arena *memory, void **state_out) {
    struct streaming *policy;
    (void)values;
    TRY(ARENA_TAKE(memory, 1, &policy));
    policy->cache = config->cache;
    policy->n_layers = config->n_layers;
    policy->n_kv_heads = config->n_kv_heads_local;
    policy->n_sinks = config->n_sinks;
    policy->n_recent = config->budget - config->n_sinks;
    TRY(ARENA_TAKE(memory, (size_t)config->n_slots, &policy->slots));
    for (int32_t i = 0; i < config->n_slots; i++) {
        policy->slots[i].first_kept = policy->n_sinks;
        TRY(ARENA_TAKE(memory, (size_t)config->context_length, &policy->slots[i].tokens));
    }
    *state_out = policy;
    return STATUS_OK;
}

static void release_page(const struct streaming *policy, int32_t slot, int64_t page) {
    for (int32_t layer = 0; layer < policy->n_layers; layer++)
        for (int32_t kv_head = 0; kv_head < policy->n_kv_heads; kv_head++)
            kv_cache_release_page(policy->cache, slot, layer, kv_head, page);
}

/* What a decode step of n tokens does not read. */
static void forget(struct streaming *policy, int32_t slot_index, int64_t n) {
    struct slot *slot = &policy->slots[slot_index];
    slot->first_kept = larger_i64(slot->first_kept, n - policy->n_recent);
    const int64_t end = slot->first_kept / KV_PAGE_TOKENS;
    for (int64_t page = larger_i64(slot->n_released, kv_pages_of(policy->n_sinks)); page < end; page++)
        release_page(policy, slot_index, page);
    slot->n_released = larger_i64(slot->n_released, end);
}

/* How many of the first n tokens are kept. */
static int64_t count_kept(const struct streaming *policy, const struct slot *slot, int64_t n) {
    return smaller_i64(n, policy->n_sinks) + larger_i64(n - slot->first_kept, 0);
}

static void list_kept(const struct streaming *policy, struct slot *slot, int64_t n) {
    const int64_t n_kept = count_kept(policy, slot, n);
    for (int64_t i = 0; i < policy->n_sinks; i++)
        slot->tokens[i] = (int32_t)i;
    for (int64_t i = policy->n_sinks; i < n_kept; i++)
        slot->tokens[i] = (int32_t)(slot->first_kept + i - policy->n_sinks);
}

static enum status streaming_admit(void *state, int32_t slot, int64_t first, int64_t n, bool decode) {
    struct streaming *policy = state;
    if (decode) forget(policy, slot, first + n);
    TRY(kv_cache_reserve(policy->cache, slot, first + n));
    if (policy->slots[slot].first_kept > policy->n_sinks) list_kept(policy, &policy->slots[slot], first + n);
    return STATUS_OK;
}

static struct kv_set streaming_resident(const void *state, int32_t slot_index, int32_t layer, int32_t kv_head,
                                        int64_t n_cached) {
    const struct streaming *policy = state;
    const struct slot *slot = &policy->slots[slot_index];
    (void)layer;
    (void)kv_head;
    if (slot->first_kept == policy->n_sinks) return (struct kv_set){.n_tokens = n_cached};
    return (struct kv_set){.tokens = slot->tokens, .n_tokens = count_kept(policy, slot, n_cached)};
}

/* Tables end at n, so that pages which come again are taken anew. */
static void streaming_rewind(void *state, int32_t slot_index, int64_t n) {
    struct streaming *policy = state;
    struct slot *slot = &policy->slots[slot_index];
    slot->first_kept = larger_i64(smaller_i64(slot->first_kept, n), policy->n_sinks);
    slot->n_released = smaller_i64(slot->n_released, n / KV_PAGE_TOKENS);
    for (int32_t layer = 0; layer < policy->n_layers; layer++)
        for (int32_t kv_head = 0; kv_head < policy->n_kv_heads; kv_head++)
            kv_cache_shrink(policy->cache, slot_index, layer, kv_head, n);
}

/* All that is left. */
static enum kv_attention streaming_layer(const void *state, int32_t slot, int32_t layer, int64_t n_cached) {
    (void)state;
    (void)slot;
    (void)layer;
    (void)n_cached;
    return KV_ATTEND_ALL;
}

const struct kv_policy_vtable kv_policy_streaming = {
    .name = "streaming",
    .summary = "the first tokens and the last K - sinks are kept, all others forgotten",
    .check = streaming_check,
    .create = streaming_create,
    .admit = streaming_admit,
    .resident = streaming_resident,
    .rewind = streaming_rewind,
    .layer = streaming_layer,
};
