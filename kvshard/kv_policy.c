#include "kvshard/kv_policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "kvshard/kv_policy_impl.h"

static const struct kv_policy_vtable *const policies[] = {
    &kv_policy_full,
    &kv_policy_lessismore,
};

enum { N_POLICIES = sizeof policies / sizeof *policies };

struct kv_policy {
    const struct kv_policy_vtable *vtable;
    struct arena *memory;
    void *state;
    int32_t n_slots, n_layers, n_heads_local, n_threads;
    int64_t context_length;
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

/* What the model loader and the shard map already made sure of. */
static void check_shape(const struct kv_policy_config *config) {
    CHECK(config->n_slots > 0 && config->n_layers > 0 && config->context_length > 0);
    CHECK(config->n_heads_local > 0 && config->n_kv_heads_local > 0);
    CHECK(config->n_heads_local % config->n_kv_heads_local == 0);
    CHECK(config->first_head >= 0 && config->n_threads > 0 && config->kernels);
    CHECK(config->n_heads_global - config->first_head >= config->n_heads_local);
}

enum status kv_policy_create(const struct kv_policy_config *config, struct kv_policy **policy_out) {
    check_shape(config);
    const struct kv_policy_vtable *vtable = find_policy(config->name);
    if (!vtable) return unknown_policy(config->name);
    struct kv_policy *policy = calloc(1, sizeof *policy);
    if (!policy) return FAIL(STATUS_NO_MEMORY, "out of memory for the policy");
    *policy = (struct kv_policy){.vtable = vtable,
                                 .n_slots = config->n_slots,
                                 .n_layers = config->n_layers,
                                 .n_heads_local = config->n_heads_local,
                                 .n_threads = config->n_threads,
                                 .context_length = config->context_length};
    enum status status;
    TRY_GOTO(arena_create("the policy", &policy->memory), failed);
    TRY_GOTO(vtable->create(config, policy->memory, &policy->state), failed);
    arena_seal(policy->memory);
    *policy_out = policy;
    return STATUS_OK;

failed:
    kv_policy_destroy(policy);
    return status;
}

void kv_policy_destroy(struct kv_policy *policy) {
    if (!policy) return;
    arena_destroy(policy->memory);
    free(policy);
}

enum kv_attention kv_policy_layer(const struct kv_policy *policy, int32_t slot, int32_t layer,
                                  int64_t n_cached) {
    CHECK(slot >= 0 && slot < policy->n_slots);
    CHECK(layer >= 0 && layer < policy->n_layers);
    CHECK(n_cached > 0 && n_cached <= policy->context_length);
    return policy->vtable->layer(policy->state, slot, layer, n_cached);
}

static void check_selecting(const struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_cached) {
    CHECK(kv_policy_layer(policy, slot, layer, n_cached) == KV_ATTEND_ALL_AND_SELECT);
}

size_t kv_policy_message_words(const struct kv_policy *policy, int32_t slot, int32_t layer,
                               int64_t n_cached) {
    check_selecting(policy, slot, layer, n_cached);
    return policy->vtable->message_words(policy->state, slot, layer, n_cached);
}

void kv_policy_rank(struct kv_policy *policy, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                    int32_t head_local, const float *scores) {
    check_selecting(policy, slot, layer, n_cached);
    CHECK(thread >= 0 && thread < policy->n_threads);
    CHECK(head_local >= 0 && head_local < policy->n_heads_local);
    policy->vtable->rank(policy->state, thread, slot, layer, n_cached, head_local, scores);
}

void kv_policy_propose(struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_cached,
                       uint32_t *message_out) {
    check_selecting(policy, slot, layer, n_cached);
    policy->vtable->propose(policy->state, slot, layer, n_cached, message_out);
}

void kv_policy_take(struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_cached,
                    const uint32_t *agreed) {
    check_selecting(policy, slot, layer, n_cached);
    policy->vtable->take(policy->state, slot, layer, n_cached, agreed);
}

struct kv_set kv_policy_set(const struct kv_policy *policy, int32_t slot, int32_t layer, int32_t head_local) {
    CHECK(slot >= 0 && slot < policy->n_slots);
    CHECK(layer >= 0 && layer < policy->n_layers);
    CHECK(head_local >= 0 && head_local < policy->n_heads_local);
    CHECK(policy->vtable->set);
    return policy->vtable->set(policy->state, slot, layer, head_local);
}

const char *kv_policy_name(int index) {
    return index >= 0 && index < N_POLICIES ? policies[index]->name : NULL;
}

const char *kv_policy_summary(int index) {
    return index >= 0 && index < N_POLICIES ? policies[index]->summary : NULL;
}
