#include "kvshard/kv_policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "kvshard/emulate_impl.h"
#include "kvshard/kv_policy_impl.h"
#include "kvshard/policy_options_impl.h"
#include "kvshard/top_tokens_impl.h"

static const struct kv_policy_vtable *const policies[] = {
    &kv_policy_full,   &kv_policy_lessismore, &kv_policy_delta,     &kv_policy_h2o,
    &kv_policy_rkv,    &kv_policy_refresh,    &kv_policy_quest,     &kv_policy_streaming,
    &kv_policy_raas,   &kv_policy_tidal,      &kv_policy_sparsemax, &kv_policy_sparsemax_select,
    &kv_policy_tactic, &kv_policy_multipole,  &kv_policy_emulate,
};

enum { N_POLICIES = sizeof policies / sizeof *policies };

struct kv_policy {
    const struct kv_policy_vtable *vtable;
    struct arena *memory;
    void *state;
    struct emulate *emulate;     /* NULL: scores are not boosted */
    struct top_scratch *scratch; /* [n_threads] of pick; NULL: the policy does not look for the best */
    struct kv_cache *cache;
    int32_t n_slots, n_layers, n_heads_local, n_kv_heads_local, n_threads;
    int64_t context_length, dense_below;
    bool keys_are_fed;
};

static enum status unknown_policy(const char *name) {
    char names[256] = "";
    for (int i = 0, used = 0; i < N_POLICIES && used < (int)sizeof names; i++)
        used += snprintf(names + used, sizeof names - (size_t)used, "%s%s", i ? ", " : "", policies[i]->name);
    return FAIL(STATUS_BAD_INPUT, "unknown policy '%s': choose one of %s", name, names);
}

static const struct kv_policy_vtable *find_policy(const char *name) {
    for (int i = 0; i < N_POLICIES; i++)
        if (strcmp(policies[i]->name, name) == 0) return policies[i];
    return NULL;
}

/* What comes again would count as a prompt, or miss what it attended to. */
static enum status check_correction(const struct kv_policy_config *config,
                                    const struct kv_policy_vtable *vtable) {
    if (!config->corrects || !vtable->admit) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "--correct-every needs a policy that evicts nothing, and %s does",
                config->name);
}

static enum status parse_and_check(const struct kv_policy_config *config,
                                   const struct kv_policy_vtable *vtable, double *values_out) {
    TRY(policy_options_parse(config->options, vtable, policies, N_POLICIES, values_out));
    if (vtable->check) TRY(vtable->check(config, values_out));
    return check_correction(config, vtable);
}

enum status kv_policy_check(const struct kv_policy_config *config) {
    double values[KV_POLICY_MAX_OPTIONS];
    const struct kv_policy_vtable *vtable = find_policy(config->name);
    return vtable ? parse_and_check(config, vtable, values) : unknown_policy(config->name);
}

/* What the model loader and the shard map already made sure of. */
static void check_shape(const struct kv_policy_config *config) {
    CHECK(config->n_slots > 0 && config->n_layers > 0 && config->head_dim > 0);
    CHECK(config->context_length > 0 && config->context_length <= INT32_MAX); /* token ids are int32_t */
    CHECK(config->n_heads_local > 0 && config->n_kv_heads_local > 0);
    CHECK(config->n_heads_local % config->n_kv_heads_local == 0);
    CHECK(config->first_head >= 0 && config->n_threads > 0 && config->kernels);
    CHECK(config->n_heads_global - config->first_head >= config->n_heads_local);
    CHECK(!config->keys_are_fed || config->n_kv_heads_local == 1);
}

static enum status create_emulate(const struct kv_policy_config *config, struct kv_policy *policy) {
    if (!config->emulates && policy->vtable != &kv_policy_emulate) return STATUS_OK;
    if (policy->vtable->lists_per_head && config->n_heads_local > config->n_kv_heads_local)
        return FAIL(STATUS_BAD_INPUT,
                    "policy %s cannot be combined with emulate: query heads that share a KV head read "
                    "different tokens",
                    config->name);
    const int32_t layer = config->emulates ? config->emulate_layer : emulate_default_layer(config->n_layers);
    return emulate_create(config, layer, policy->memory, &policy->emulate);
}

static enum status create_scratch(const struct kv_policy_config *config, struct kv_policy *policy) {
    if (!policy->vtable->best) return STATUS_OK;
    TRY(ARENA_TAKE(policy->memory, (size_t)config->n_threads, &policy->scratch));
    for (int32_t i = 0; i < config->n_threads; i++)
        TRY(top_scratch_create(policy->memory, config->kernels, config->context_length, &policy->scratch[i]));
    return STATUS_OK;
}

static enum status create_state(const struct kv_policy_config *config, struct kv_policy *policy) {
    double values[KV_POLICY_MAX_OPTIONS];
    TRY(parse_and_check(config, policy->vtable, values));
    TRY(arena_create("the policy", &policy->memory));
    if (policy->vtable->create) TRY(policy->vtable->create(config, values, policy->memory, &policy->state));
    TRY(create_emulate(config, policy));
    TRY(create_scratch(config, policy));
    arena_seal(policy->memory);
    return STATUS_OK;
}

enum status kv_policy_create(const struct kv_policy_config *config, struct kv_policy **policy_out) {
    check_shape(config);
    const struct kv_policy_vtable *vtable = find_policy(config->name);
    if (!vtable) return unknown_policy(config->name);
    CHECK(!config->keys_are_fed || !vtable->whole_heads);
    struct kv_policy *policy = calloc(1, sizeof *policy);
    if (!policy) return FAIL(STATUS_NO_MEMORY, "out of memory for the policy");
    *policy = (struct kv_policy){.vtable = vtable,
                                 .cache = config->cache,
                                 .n_slots = config->n_slots,
                                 .n_layers = config->n_layers,
                                 .n_heads_local = config->n_heads_local,
                                 .n_kv_heads_local = config->n_kv_heads_local,
                                 .n_threads = config->n_threads,
                                 .context_length = config->context_length,
                                 .dense_below = config->dense_below,
                                 .keys_are_fed = config->keys_are_fed};
    const enum status status = create_state(config, policy);
    if (status == STATUS_OK)
        *policy_out = policy;
    else
        kv_policy_destroy(policy);
    return status;
}

void kv_policy_destroy(struct kv_policy *policy) {
    if (!policy) return;
    arena_destroy(policy->memory);
    free(policy);
}

static void check_slot(const struct kv_policy *policy, int32_t slot) {
    CHECK(slot >= 0 && slot < policy->n_slots);
}

/* A place in the model, and a sequence's length. */
static void check_place(const struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_cached) {
    check_slot(policy, slot);
    CHECK(layer >= 0 && layer < policy->n_layers);
    CHECK(n_cached > 0 && n_cached <= policy->context_length);
}

static void check_head(const struct kv_policy *policy, int32_t head) {
    CHECK(head >= 0 && head < policy->n_heads_local);
}

static void check_kv_head(const struct kv_policy *policy, int32_t kv_head) {
    CHECK(kv_head >= 0 && kv_head < policy->n_kv_heads_local);
}

static void check_thread(const struct kv_policy *policy, int32_t thread) {
    CHECK(thread >= 0 && thread < policy->n_threads);
}

enum status kv_policy_admit(struct kv_policy *policy, int32_t slot, int64_t first, int64_t n, bool decode) {
    check_slot(policy, slot);
    CHECK(policy->cache && first >= 0 && n > 0 && (!decode || n == 1));
    if (!policy->vtable->admit || first + n > policy->context_length)
        return kv_cache_reserve(policy->cache, slot, first + n);
    return policy->vtable->admit(policy->state, slot, first, n, decode && first + n > policy->dense_below);
}

bool kv_policy_evicts(const struct kv_policy *policy) {
    return policy->vtable->admit != NULL;
}

enum status kv_policy_has_whole_heads(const char *name, bool *whole_out) {
    const struct kv_policy_vtable *vtable = find_policy(name);
    if (!vtable) return unknown_policy(name);
    *whole_out = vtable->whole_heads;
    return STATUS_OK;
}

void kv_policy_feed(struct kv_policy *policy, int32_t thread, int32_t slot, int32_t layer, int64_t token,
                    const float *key) {
    check_place(policy, slot, layer, token + 1);
    check_thread(policy, thread);
    if (policy->keys_are_fed && policy->vtable->feed)
        policy->vtable->feed(policy->state, thread, slot, layer, token, key);
}

int64_t kv_policy_next_key(const struct kv_policy *policy, int32_t slot, int32_t layer) {
    check_place(policy, slot, layer, 1);
    if (!policy->keys_are_fed || !policy->vtable->next_key) return INT64_MAX;
    return policy->vtable->next_key(policy->state, slot, layer);
}

int64_t kv_policy_row(const struct kv_policy *policy, int32_t slot, int32_t layer, int32_t kv_head,
                      int64_t token) {
    check_place(policy, slot, layer, token + 1);
    check_kv_head(policy, kv_head);
    return policy->vtable->row ? policy->vtable->row(policy->state, slot, layer, kv_head, token) : token;
}

void kv_policy_rewind(struct kv_policy *policy, int32_t slot, int64_t n) {
    check_slot(policy, slot);
    CHECK(n >= 0);
    if (policy->vtable->rewind) policy->vtable->rewind(policy->state, slot, n);
}

struct kv_set kv_policy_resident(const struct kv_policy *policy, int32_t slot, int32_t layer, int32_t kv_head,
                                 int64_t n_cached) {
    check_place(policy, slot, layer, n_cached);
    check_kv_head(policy, kv_head);
    if (!policy->vtable->resident) return (struct kv_set){.n_tokens = n_cached};
    return policy->vtable->resident(policy->state, slot, layer, kv_head, n_cached);
}

/* The bits of the policy itself. */
static enum kv_attention own_bits(const struct kv_policy *policy, int32_t slot, int32_t layer,
                                  int64_t n_cached) {
    check_place(policy, slot, layer, n_cached);
    if (n_cached <= policy->dense_below || !policy->vtable->layer) return KV_ATTEND_ALL;
    return policy->vtable->layer(policy->state, slot, layer, n_cached);
}

/* Those that emulation adds to them. */
static enum kv_attention added_bits(const struct kv_policy *policy, int32_t layer, int64_t n_cached) {
    return policy->emulate && n_cached > policy->dense_below ? emulate_bits(policy->emulate, layer) : 0;
}

enum kv_attention kv_policy_layer(const struct kv_policy *policy, int32_t slot, int32_t layer,
                                  int64_t n_cached) {
    return own_bits(policy, slot, layer, n_cached) | added_bits(policy, layer, n_cached);
}

static void check_bit(const struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_cached,
                      enum kv_attention bit) {
    CHECK(kv_policy_layer(policy, slot, layer, n_cached) & bit);
}

void kv_policy_choose(struct kv_policy *policy, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                      int32_t kv_head, const float *q) {
    check_bit(policy, slot, layer, n_cached, KV_CHOOSE);
    check_thread(policy, thread);
    check_kv_head(policy, kv_head);
    policy->vtable->choose(policy->state, thread, slot, layer, n_cached, kv_head, q);
}

struct kv_set kv_policy_set(const struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_cached,
                            int32_t head) {
    const bool is_set = kv_policy_layer(policy, slot, layer, n_cached) & KV_ATTEND_SET;
    check_head(policy, head);
    if (is_set) return policy->vtable->set(policy->state, slot, layer, head);
    const int32_t group = policy->n_heads_local / policy->n_kv_heads_local;
    return kv_policy_resident(policy, slot, layer, head / group, n_cached);
}

void kv_policy_rank(struct kv_policy *policy, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                    int32_t head, const float *scores) {
    check_bit(policy, slot, layer, n_cached, KV_RANK);
    check_thread(policy, thread);
    check_head(policy, head);
    if (own_bits(policy, slot, layer, n_cached) & KV_RANK)
        policy->vtable->rank(policy->state, thread, slot, layer, n_cached, head, scores);
    if (added_bits(policy, layer, n_cached) & KV_RANK)
        emulate_rank(policy->emulate, slot, n_cached, head,
                     kv_policy_set(policy, slot, layer, n_cached, head), scores);
}

struct kv_best kv_policy_best(const struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_cached) {
    const bool all = added_bits(policy, layer, n_cached) || !policy->vtable->best ||
                     !(own_bits(policy, slot, layer, n_cached) & KV_RANK);
    return all ? (struct kv_best){0} : policy->vtable->best(policy->state, n_cached);
}

void kv_policy_pick(struct kv_policy *policy, int32_t thread, const float *scores, int64_t n, int64_t n_best,
                    int32_t *indices_out) {
    check_thread(policy, thread);
    CHECK(policy->scratch);
    struct top_scratch *scratch = &policy->scratch[thread];
    scratch->kernels->words_of_scores(scores, n, scratch->words);
    smallest_words(scratch->words, n, n_best, scratch, indices_out);
}

void kv_policy_rank_best(struct kv_policy *policy, int32_t thread, int32_t slot, int32_t layer,
                         int64_t n_cached, int32_t head, struct kv_scored scored) {
    check_thread(policy, thread);
    check_head(policy, head);
    CHECK(kv_policy_best(policy, slot, layer, n_cached).n > 0);
    policy->vtable->rank_best(policy->state, thread, slot, layer, n_cached, head, scored);
}

int64_t kv_policy_rescore(struct kv_policy *policy, int32_t thread, int32_t slot, int32_t layer,
                          int64_t n_cached, int32_t kv_head, float *scores, int64_t stride,
                          int32_t *entries_out) {
    check_bit(policy, slot, layer, n_cached, KV_RESCORE);
    check_thread(policy, thread);
    check_kv_head(policy, kv_head);
    const int32_t head = kv_head * (policy->n_heads_local / policy->n_kv_heads_local);
    const struct kv_set set = kv_policy_set(policy, slot, layer, n_cached, head);
    if (added_bits(policy, layer, n_cached) & KV_RESCORE)
        emulate_rescore(policy->emulate, slot, layer, n_cached, kv_head, set, scores, stride);
    if (own_bits(policy, slot, layer, n_cached) & KV_RESCORE)
        return policy->vtable->rescore(policy->state, thread, slot, layer, n_cached, kv_head, scores, stride,
                                       entries_out);
    for (int64_t i = 0; i < set.n_tokens; i++)
        entries_out[i] = (int32_t)i;
    return set.n_tokens;
}

struct kv_partial kv_policy_partial(const struct kv_policy *policy, int32_t slot, int32_t layer,
                                    int32_t kv_head) {
    check_slot(policy, slot);
    check_kv_head(policy, kv_head);
    CHECK(layer >= 0 && layer < policy->n_layers && policy->vtable->partial);
    return policy->vtable->partial(policy->state, slot, layer, kv_head);
}

size_t kv_policy_message_words(const struct kv_policy *policy, int32_t slot, int32_t layer,
                               int64_t n_cached) {
    check_bit(policy, slot, layer, n_cached, KV_AGREE);
    return policy->vtable->message_words(policy->state, slot, layer, n_cached);
}

void kv_policy_propose(struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_cached,
                       uint32_t *message_out) {
    check_bit(policy, slot, layer, n_cached, KV_AGREE);
    policy->vtable->propose(policy->state, slot, layer, n_cached, message_out);
}

void kv_policy_take(struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_cached,
                    const uint32_t *agreed) {
    check_bit(policy, slot, layer, n_cached, KV_AGREE);
    policy->vtable->take(policy->state, slot, layer, n_cached, agreed);
}

struct kv_set kv_policy_attended(const struct kv_policy *policy, int32_t slot, int32_t layer,
                                 int64_t n_cached, int32_t head) {
    const bool rescored = own_bits(policy, slot, layer, n_cached) & KV_RESCORE;
    check_head(policy, head);
    if (rescored && policy->vtable->attended)
        return policy->vtable->attended(policy->state, slot, layer, head);
    return kv_policy_set(policy, slot, layer, n_cached, head);
}

const char *kv_policy_name(int index) {
    return index >= 0 && index < N_POLICIES ? policies[index]->name : NULL;
}

const char *kv_policy_summary(int index) {
    return index >= 0 && index < N_POLICIES ? policies[index]->summary : NULL;
}
