/* R-KV (Cai et al., arXiv 2505.24133): now and then each KV head keeps what is attended to and not said
 * twice.
 *
 *   every `every` tokens, of the n that there are, the newest 8 are kept, and of the others the K - 8 of
 *   greatest lambda * importance - (1 - lambda) * redundancy, ties to the lower token
 *
 *   weight[q, t]  = softmax over these others of the greatest score of t under any of the KV head's g query
 *                   heads, of each of the last 8 decode steps q
 *   importance[t] = the greatest mean over q of the weights of t - 3 … t + 3, in the order of the list
 *   redundancy[t] = as key_redundancy has it
 *
 * What is not kept is forgotten for good, and its pages return: K + 1 to K + every tokens are attended to.
 *
 * Deviations: queries of a prompt are not seen, so what is longer than the budget is read whole for the 8
 * decode steps behind it. Where no key is like another (cosine over 1/2), the authors' code takes out the
 * cosine with the first key, this nothing. Lambda is the paper's 0.1, not the code's 0.07. Tokens keep their
 * positions.
 *
 * Cost: an eviction (K + every)^2 D multiply-adds for each KV head and layer, by the threads that rank; the 8
 * steps before it look at their scores; the others nothing. */
#include <math.h>
#include <string.h>

#include "base/numbers.h"
#include "kvshard/head_rows_impl.h"
#include "kvshard/kept_tokens_impl.h"
#include "kvshard/key_redundancy_impl.h"
#include "kvshard/kv_policy_impl.h"
#include "kvshard/softmax_impl.h"
#include "kvshard/top_tokens_impl.h"

enum { OBSERVED = 8, POOLED_BESIDE = 3 };

enum { EVERY, LAMBDA };

static const struct kv_policy_option options[] = {
    [EVERY] = {"every", 128, OBSERVED, 65536, true, "tokens after which the budget is restored"},
    [LAMBDA] = {"lambda", 0.1, 0, 1, false, "how much importance counts; 1 - lambda is redundancy's part"},
    {0},
};

struct slot {
    float *importance;  /* [n_layers, n_kv_heads, context_length] sums over the steps observed */
    int32_t *chosen;    /* [n_layers, n_kv_heads, budget] entries that stay, once all are observed */
    int64_t n_tokens;   /* of the sequence */
    int32_t n_observed; /* steps, the current one included; 0: it is not observed */
};

/* Of one thread. */
struct scratch {
    struct top_scratch top;
    float *redundancy, *values; /* [context_length] */
    uint32_t *words;            /* likewise */
};

struct rkv {
    const struct kernels *kernels;
    int64_t budget, every, context_length;
    float lambda;
    int32_t n_layers, n_kv_heads;
    struct kept_tokens kept;
    struct head_rows scores; /* of every query head, the entries that may go */
    struct key_redundancy redundancy;
    struct slot *slots;      /* [n_slots] */
    struct scratch *scratch; /* [n_threads] */
    int32_t *evicted;        /* [context_length] of admit */
};

static enum status create_slots(const struct kv_policy_config *config, struct arena *memory,
                                struct rkv *policy) {
    const size_t n_lists = (size_t)config->n_layers * (size_t)config->n_kv_heads_local;
    TRY(ARENA_TAKE(memory, (size_t)config->n_slots, &policy->slots));
    for (int32_t i = 0; i < config->n_slots; i++) {
        TRY(ARENA_TAKE(memory, n_lists * (size_t)config->context_length, &policy->slots[i].importance));
        TRY(ARENA_TAKE(memory, n_lists * (size_t)policy->budget, &policy->slots[i].chosen));
    }
    return STATUS_OK;
}

static enum status create_scratch(const struct kv_policy_config *config, struct arena *memory,
                                  struct rkv *policy) {
    const size_t n = (size_t)config->context_length;
    TRY(ARENA_TAKE(memory, n, &policy->evicted));
    TRY(ARENA_TAKE(memory, (size_t)config->n_threads, &policy->scratch));
    for (int32_t i = 0; i < config->n_threads; i++) {
        struct scratch *scratch = &policy->scratch[i];
        TRY(top_scratch_create(memory, config->kernels, config->context_length, &scratch->top));
        TRY(ARENA_TAKE(memory, n, &scratch->redundancy));
        TRY(ARENA_TAKE(memory, n, &scratch->values));
        TRY(ARENA_TAKE(memory, n, &scratch->words));
    }
    return STATUS_OK;
}

static enum status rkv_check(const struct kv_policy_config *config, const double *values) {
    (void)values;
    if (config->budget <= OBSERVED)
        return FAIL(STATUS_BAD_INPUT,
                    "budget %d is too small: policy rkv keeps the last %d tokens and others", config->budget,
                    OBSERVED);
    return STATUS_OK;
}

static enum status rkv_create(const struct kv_policy_config *config, const double *values,
                              struct arena *memory, void **state_out) {
    struct rkv *policy;
    TRY(ARENA_TAKE(memory, 1, &policy));
    policy->kernels = config->kernels;
    policy->budget = smaller_i64(config->budget, config->context_length); /* more costs no memory */
    policy->every = (int64_t)values[EVERY];
    policy->lambda = (float)values[LAMBDA];
    policy->context_length = config->context_length;
    policy->n_layers = config->n_layers;
    policy->n_kv_heads = config->n_kv_heads_local;
    TRY(kept_tokens_create(config, memory, &policy->kept));
    TRY(head_rows_create(config, memory, &policy->scores));
    TRY(key_redundancy_create(config, memory, &policy->redundancy));
    TRY(create_slots(config, memory, policy));
    TRY(create_scratch(config, memory, policy));
    *state_out = policy;
    return STATUS_OK;
}

static int64_t list_number(const struct rkv *policy, int32_t layer, int32_t kv_head) {
    return (int64_t)layer * policy->n_kv_heads + kv_head;
}

static float *importance_of(const struct rkv *policy, int32_t slot, int32_t layer, int32_t kv_head) {
    return policy->slots[slot].importance + list_number(policy, layer, kv_head) * policy->context_length;
}

static int32_t *chosen_of(const struct rkv *policy, int32_t slot, int32_t layer, int32_t kv_head) {
    return policy->slots[slot].chosen + list_number(policy, layer, kv_head) * policy->budget;
}

/* Of n_old entries that may go. */
static int64_t n_chosen(const struct rkv *policy, int64_t n_old) {
    return smaller_i64(n_old, policy->budget - OBSERVED);
}

/* New tokens in one list, before which whoever was not chosen goes, if the choice was made. */
static enum status admit_to_list(struct rkv *policy, int32_t slot, int32_t layer, int32_t kv_head,
                                 int64_t first, int64_t n, bool evict) {
    const int64_t n_old = kept_tokens_list(&policy->kept, slot, layer, kv_head)->n - OBSERVED;
    int64_t n_evicted = 0;
    if (evict)
        n_evicted = other_entries(chosen_of(policy, slot, layer, kv_head), n_chosen(policy, n_old), n_old,
                                  policy->evicted);
    return kept_tokens_update(&policy->kept, slot, layer, kv_head, policy->evicted, n_evicted, first, n);
}

/* Tokens of the slot's longest list. Lists are of one length, until tokens are taken back. */
static int64_t longest(const struct rkv *policy, int32_t slot) {
    int64_t n = 0;
    for (int32_t layer = 0; layer < policy->n_layers; layer++)
        for (int32_t kv_head = 0; kv_head < policy->n_kv_heads; kv_head++)
            n = larger_i64(n, kept_tokens_list(&policy->kept, slot, layer, kv_head)->n);
    return n;
}

static enum status rkv_admit(void *state, int32_t slot_index, int64_t first, int64_t n, bool decode) {
    struct rkv *policy = state;
    struct slot *slot = &policy->slots[slot_index];
    const bool evict = decode && slot->n_observed == OBSERVED;
    for (int32_t layer = 0; layer < policy->n_layers; layer++)
        for (int32_t kv_head = 0; kv_head < policy->n_kv_heads; kv_head++)
            TRY(admit_to_list(policy, slot_index, layer, kv_head, first, n, evict));
    slot->n_tokens = first + n;
    if (evict) slot->n_observed = 0;
    const bool observe = decode && longest(policy, slot_index) > policy->budget + policy->every - OBSERVED;
    slot->n_observed = observe ? slot->n_observed + 1 : 0;
    return STATUS_OK;
}

static struct kv_set rkv_resident(const void *state, int32_t slot, int32_t layer, int32_t kv_head,
                                  int64_t n_cached) {
    const struct rkv *policy = state;
    return kept_tokens_resident(&policy->kept, slot, layer, kv_head, n_cached);
}

static int64_t rkv_row(const void *state, int32_t slot, int32_t layer, int32_t kv_head, int64_t token) {
    const struct rkv *policy = state;
    return kept_tokens_row(&policy->kept, slot, layer, kv_head, token);
}

static void rkv_rewind(void *state, int32_t slot, int64_t n) {
    struct rkv *policy = state;
    kept_tokens_rewind(&policy->kept, slot, n);
    policy->slots[slot].n_tokens = n;
    policy->slots[slot].n_observed = 0;
}

/* All that is left. Asked about more tokens than there are, what it may come to. */
static enum kv_attention rkv_layer(const void *state, int32_t slot_index, int32_t layer, int64_t n_cached) {
    const struct rkv *policy = state;
    const struct slot *slot = &policy->slots[slot_index];
    (void)layer;
    if (n_cached <= policy->budget) return KV_ATTEND_ALL;
    return slot->n_observed > 0 || n_cached > slot->n_tokens ? KV_RANK : KV_ATTEND_ALL;
}

/* The greatest score of each entry under any query head of the group, in the first one's row; NaN is none. */
static float *greatest_scores(const struct rkv *policy, int32_t slot, int32_t kv_head, int64_t n) {
    const int32_t first = kv_head * policy->scores.group;
    float *greatest = head_rows_at(&policy->scores, slot, first);
    for (int32_t head = first + 1; head < first + policy->scores.group; head++) {
        const float *scores = head_rows_at(&policy->scores, slot, head);
        for (int64_t i = 0; i < n; i++)
            greatest[i] = greatest[i] > scores[i] || isnan(scores[i]) ? greatest[i] : scores[i];
    }
    return greatest;
}

static float greatest_near(const float *numbers, int64_t n, int64_t at) {
    const int64_t end = smaller_i64(n, at + POOLED_BESIDE + 1);
    float greatest = numbers[at];
    for (int64_t i = larger_i64(0, at - POOLED_BESIDE); i < end; i++)
        greatest = numbers[i] > greatest ? numbers[i] : greatest;
    return greatest;
}

/* Of a list's n entries, who stays of the n_old that may go. */
static void choose_kept(const struct rkv *policy, const struct key_list *keys, int64_t n_old,
                        const float *importance, int32_t *chosen_out) {
    const struct scratch *scratch = &policy->scratch[keys->thread];
    key_redundancy_find(&policy->redundancy, keys, scratch->redundancy);
    for (int64_t i = 0; i < n_old; i++)
        scratch->values[i] = policy->lambda * (greatest_near(importance, n_old, i) / OBSERVED) -
                             (1 - policy->lambda) * scratch->redundancy[i];
    policy->kernels->words_of_scores(scratch->values, n_old, scratch->words);
    smallest_words(scratch->words, n_old, n_chosen(policy, n_old), &scratch->top, chosen_out);
}

static void rkv_rank(void *state, int32_t thread, int32_t slot_index, int32_t layer, int64_t n_cached,
                     int32_t head, const float *scores) {
    const struct rkv *policy = state;
    const int32_t kv_head = head / policy->scores.group;
    const struct slot *slot = &policy->slots[slot_index];
    const struct kept_list *list = kept_tokens_list(&policy->kept, slot_index, layer, kv_head);
    const int64_t n_old = list->n - slot->n_observed;
    (void)n_cached;
    memcpy(head_rows_at(&policy->scores, slot_index, head), scores, (size_t)n_old * sizeof *scores);
    if (!head_rows_complete(&policy->scores, slot_index, head) || n_old == 0) return;

    float *weights = greatest_scores(policy, slot_index, kv_head, n_old);
    float *importance = importance_of(policy, slot_index, layer, kv_head);
    softmax_weights(policy->kernels, weights, n_old, weights);
    if (slot->n_observed == 1) memset(importance, 0, (size_t)n_old * sizeof *importance);
    policy->kernels->add(weights, n_old, importance);
    if (slot->n_observed == OBSERVED)
        choose_kept(
            policy,
            &(struct key_list){thread, slot_index, layer, kv_head, list->whole ? NULL : list->rows, list->n},
            n_old, importance, chosen_of(policy, slot_index, layer, kv_head));
}

const struct kv_policy_vtable kv_policy_rkv = {
    .name = "rkv",
    .summary = "now and then each KV head keeps K tokens that are attended to and not said twice",
    .options = options,
    .check = rkv_check,
    .create = rkv_create,
    .whole_heads = true,
    .admit = rkv_admit,
    .resident = rkv_resident,
    .row = rkv_row,
    .rewind = rkv_rewind,
    .layer = rkv_layer,
    .rank = rkv_rank,
};
