/* tests/kvshard/agreement.h - sets on which ranks agree, each of which has some of the heads. */
#pragma once

#include "tests/kvshard/policy_fixture.h"

enum { AGREEMENT_RANKS = 7, AGREEMENT_TOKENS = 1024 };

/* What all heads see at a layer that selects: of each row of scores n_tokens. */
struct agreement {
    struct kv_policy_config config;
    int32_t layer;
    int64_t n_tokens;
    const float *scores; /* [n_heads_global, stride] */
    int64_t stride;
};

/* The rank's n_heads rank, in any order, on the thread of the slot's number; then they propose. scores
 * [n_heads, stride] */
void agreement_propose(struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_tokens,
                       int32_t n_heads, const float *scores, int64_t stride, uint32_t *message);

/* The set that the layer behind attends to where the heads are dealt to n_ranks, the same on all: how many
 * tokens, and which [n_tokens]. */
int64_t agreement_reach(const struct agreement *agreement, int32_t n_ranks, int32_t *set_out);
