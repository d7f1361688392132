/* H2O, the heavy-hitter oracle (Zhang et al., arXiv 2306.14048): each KV head keeps the tokens that got most
 * attention so far, and the newest.
 *
 *   mass[t] = sum over decode steps and the KV head's g query heads, in this order, of t's softmax weight
 *   kept    = the floor(K / 2) tokens of greatest mass, ties to the lower, and before them in choice
 *             the newest K - floor(K / 2), the current one among them
 *
 * What is not kept is forgotten for good, and its pages return. With N > K a step attends to exactly K
 * tokens.
 *
 * Deviations: weights of a prompt's own queries are not seen. So the first decode step behind a prompt
 * attends to all of it, whatever K, and its weights are the first masses; the next step evicts. Tokens keep
 * their positions, where the paper's code numbers those that are left anew.
 *
 * Cost: a step O(K) exp a query head, and O(K) for each KV head to find who goes. */
#include "kvshard/head_rows_impl.h"
#include "kvshard/kept_tokens_impl.h"
#include "kvshard/kv_policy_impl.h"
#include "kvshard/softmax_impl.h"
#include "kvshard/top_tokens_impl.h"

struct slot {
    float *masses; /* [n_layers, n_kv_heads, context_length] of the entries of each list */
    bool weighed;  /* the last step gave every entry weight */
};

/* Of admit. */
struct scratch {
    struct top_scratch top;
    uint32_t *words;         /* [context_length] */
    int32_t *kept, *evicted; /* likewise */
};

struct h2o {
    const struct kernels *kernels;
    int64_t budget, n_recent, context_length;
    int32_t n_layers, n_kv_heads;
    struct kept_tokens kept;
    struct head_rows weights; /* of every query head, its list's entries */
    struct slot *slots;       /* [n_slots] */
    struct scratch scratch;
};

static enum status create_scratch(const struct kv_policy_config *config, struct arena *memory,
                                  struct scratch *scratch) {
    const size_t n = (size_t)config->context_length;
    TRY(top_scratch_create(memory, config->kernels, config->context_length, &scratch->top));
    TRY(ARENA_TAKE(memory, n, &scratch->words));
    TRY(ARENA_TAKE(memory, n, &scratch->kept));
    return ARENA_TAKE(memory, n, &scratch->evicted);
}

static enum status h2o_check(const struct kv_policy_config *config, const double *values) {
    (void)values;
    if (config->budget < 2)
        return FAIL(STATUS_BAD_INPUT, "budget %d is too small: policy h2o needs 2 tokens", config->budget);
    return STATUS_OK;
}

static enum status h2o_create(const struct kv_policy_config *config, const double *values,
                              struct arena *memory, void **state_out) {
    struct h2o *policy;
    (void)values;
    TRY(ARENA_TAKE(memory, 1, &policy));
    policy->kernels = config->kernels;
    policy->budget = config->budget;
    policy->n_recent = config->budget - config->budget / 2;
    policy->context_length = config->context_length;
    policy->n_layers = config->n_layers;
    policy->n_kv_heads = config->n_kv_heads_local;
    TRY(kept_tokens_create(config, memory, &policy->kept));
    TRY(head_rows_create(config, memory, &policy->weights));
    TRY(create_scratch(config, memory, &policy->scratch));
    TRY(ARENA_TAKE(memory, (size_t)config->n_slots, &policy->slots));
    const size_t n_lists = (size_t)config->n_layers * (size_t)config->n_kv_heads_local;
    for (int32_t i = 0; i < config->n_slots; i++)
        TRY(ARENA_TAKE(memory, n_lists * (size_t)config->context_length, &policy->slots[i].masses));
    *state_out = policy;
    return STATUS_OK;
}

static float *masses_of(const struct h2o *policy, int32_t slot, int32_t layer, int32_t kv_head) {
    return policy->slots[slot].masses +
           ((int64_t)layer * policy->n_kv_heads + kv_head) * policy->context_length;
}

/* Of equals the last: the lower tokens stay. */
static int32_t lightest(const float *masses, int64_t n) {
    int64_t least = 0;
    for (int64_t i = 1; i < n; i++)
        if (masses[i] <= masses[least]) least = i;
    return (int32_t)least;
}

/* The entries, ascending, that leave room for one more token; returns how many. */
static int64_t find_evicted(const struct h2o *policy, const struct kept_list *list, const float *masses) {
    const struct scratch *scratch = &policy->scratch;
    const int64_t n_candidates = list->n - (policy->n_recent - 1), n_evicted = list->n + 1 - policy->budget;
    const int64_t n_kept = n_candidates - n_evicted;
    if (n_evicted <= 0) return 0;
    if (n_evicted == 1) { /* as nearly always */
        scratch->evicted[0] = lightest(masses, n_candidates);
        return 1;
    }
    policy->kernels->words_of_scores(masses, n_candidates, scratch->words);
    smallest_words(scratch->words, n_candidates, n_kept, &scratch->top, scratch->kept);
    return other_entries(scratch->kept, n_kept, n_candidates, scratch->evicted);
}

/* New tokens in one list, before which the lightest go, if they may. */
static enum status admit_to_list(struct h2o *policy, int32_t slot, int32_t layer, int32_t kv_head,
                                 int64_t first, int64_t n, bool evict) {
    const struct kept_list *list = kept_tokens_list(&policy->kept, slot, layer, kv_head);
    const int64_t n_before = list->n;
    const int32_t *evicted = policy->scratch.evicted;
    float *masses = masses_of(policy, slot, layer, kv_head);
    const int64_t n_evicted = evict ? find_evicted(policy, list, masses) : 0;
    TRY(kept_tokens_update(&policy->kept, slot, layer, kv_head, evicted, n_evicted, first, n));
    remove_entries(masses, n_before, evicted, n_evicted);
    for (int64_t i = list->n - n; i < list->n; i++)
        masses[i] = 0;
    return STATUS_OK;
}

static enum status h2o_admit(void *state, int32_t slot, int64_t first, int64_t n, bool decode) {
    struct h2o *policy = state;
    const bool evict = decode && policy->slots[slot].weighed;
    for (int32_t layer = 0; layer < policy->n_layers; layer++)
        for (int32_t kv_head = 0; kv_head < policy->n_kv_heads; kv_head++)
            TRY(admit_to_list(policy, slot, layer, kv_head, first, n, evict));
    policy->slots[slot].weighed = decode;
    return STATUS_OK;
}

static struct kv_set h2o_resident(const void *state, int32_t slot, int32_t layer, int32_t kv_head,
                                  int64_t n_cached) {
    const struct h2o *policy = state;
    return kept_tokens_resident(&policy->kept, slot, layer, kv_head, n_cached);
}

static int64_t h2o_row(const void *state, int32_t slot, int32_t layer, int32_t kv_head, int64_t token) {
    const struct h2o *policy = state;
    return kept_tokens_row(&policy->kept, slot, layer, kv_head, token);
}

static void h2o_rewind(void *state, int32_t slot, int64_t n) {
    struct h2o *policy = state;
    kept_tokens_rewind(&policy->kept, slot, n);
}

/* All that is left. Masses are gathered while N <= K, too: they count as soon as it is not. */
static enum kv_attention h2o_layer(const void *state, int32_t slot, int32_t layer, int64_t n_cached) {
    const struct h2o *policy = state;
    (void)slot;
    (void)layer;
    (void)n_cached;
    return policy->budget < policy->context_length ? KV_RANK : KV_ATTEND_ALL;
}

static void h2o_rank(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached, int32_t head,
                     const float *scores) {
    const struct h2o *policy = state;
    const int32_t kv_head = head / policy->weights.group;
    const struct kept_list *list = kept_tokens_list(&policy->kept, slot, layer, kv_head);
    (void)thread;
    (void)n_cached;
    softmax_weights(policy->kernels, scores, list->n, head_rows_at(&policy->weights, slot, head));
    if (head_rows_complete(&policy->weights, slot, head))
        head_rows_add(&policy->weights, slot, kv_head, list->n, masses_of(policy, slot, layer, kv_head));
}

const struct kv_policy_vtable kv_policy_h2o = {
    .name = "h2o",
    .summary = "each KV head keeps the K/2 tokens of greatest weight so far and the K/2 newest",
    .check = h2o_check,
    .create = h2o_create,
    .whole_heads = true,
    .admit = h2o_admit,
    .resident = h2o_resident,
    .row = h2o_row,
    .rewind = h2o_rewind,
    .layer = h2o_layer,
    .rank = h2o_rank,
};
