#include "worker/probe_choice.h"

#include <omp.h>
#include <string.h>

#include "base/numbers.h"
#include "cluster/allreduce.h"

enum { SELECTS, READS }; /* the policy's two layers */

struct probe_choice {
    struct kv_policy *policy;
    struct comm *comm;
    int32_t n_layers, n_heads;
    int64_t context_length, set_size;
    uint32_t *message; /* [context_length] */
    int32_t *tokens;   /* [n_slots, n_layers, set_size] */
};

enum status probe_choice_create(const struct kv_policy_config *policy, struct comm *comm,
                                struct arena *memory, struct probe_choice **choice_out) {
    static const int32_t select_layers[] = {SELECTS};
    struct kv_policy_config lessismore = *policy;
    lessismore.name = "lessismore";
    lessismore.n_layers = 2;
    lessismore.n_select_layers = 1;
    lessismore.select_layers = select_layers;
    lessismore.dense_below = 0;
    lessismore.options = NULL;
    lessismore.n_slots = 1; /* one decode token after the other */
    lessismore.cache = NULL;
    struct probe_choice *choice;
    TRY(ARENA_TAKE(memory, 1, &choice));
    choice->comm = comm;
    choice->n_layers = policy->n_layers;
    choice->n_heads = policy->n_heads_local;
    choice->context_length = policy->context_length;
    choice->set_size = smaller_i64(policy->budget, policy->context_length);
    TRY(ARENA_TAKE(memory, (size_t)choice->context_length, &choice->message));
    TRY(ARENA_TAKE(memory, (size_t)policy->n_slots * (size_t)policy->n_layers * (size_t)choice->set_size,
                   &choice->tokens));
    TRY(kv_policy_create(&lessismore, &choice->policy));
    *choice_out = choice;
    return STATUS_OK;
}

void probe_choice_destroy(struct probe_choice *choice) {
    if (choice) kv_policy_destroy(choice->policy);
}

bool probe_choice_is_made(const struct probe_choice *choice, int64_t n_cached) {
    return kv_policy_layer(choice->policy, 0, SELECTS, n_cached) & KV_AGREE;
}

static int32_t *tokens_of(const struct probe_choice *choice, int32_t d, int32_t layer) {
    return choice->tokens + ((int64_t)d * choice->n_layers + layer) * choice->set_size;
}

void probe_choice_make(struct probe_choice *choice, int32_t d, int32_t layer, int64_t n_cached,
                       const float *scores) {
    struct kv_policy *policy = choice->policy;
#pragma omp parallel for schedule(dynamic)
    for (int32_t head = 0; head < choice->n_heads; head++)
        kv_policy_rank(policy, omp_get_thread_num(), 0, SELECTS, n_cached, head,
                       scores + head * choice->context_length);
    kv_policy_propose(policy, 0, SELECTS, n_cached, choice->message);
    allreduce_min_u32_begin(choice->comm, choice->message,
                            kv_policy_message_words(policy, 0, SELECTS, n_cached));
    allreduce_min_u32_finish(choice->comm);
    kv_policy_take(policy, 0, SELECTS, n_cached, choice->message);
    const struct kv_set set = kv_policy_set(policy, 0, READS, n_cached, 0);
    memcpy(tokens_of(choice, d, layer), set.tokens, (size_t)set.n_tokens * sizeof *set.tokens);
}

struct kv_set probe_choice_set(const struct probe_choice *choice, int32_t d, int32_t layer) {
    return (struct kv_set){.tokens = tokens_of(choice, d, layer), .n_tokens = choice->set_size};
}
