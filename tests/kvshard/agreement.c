#include "tests/kvshard/agreement.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

void agreement_propose(struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_tokens,
                       int32_t n_heads, const float *scores, int64_t stride, uint32_t *message) {
    for (int32_t head = n_heads - 1; head >= 0; head--)
        kv_policy_rank(policy, slot, slot, layer, n_tokens, head, scores + head * stride);
    kv_policy_propose(policy, slot, layer, n_tokens, message);
}

/* The rank's policy; its message is in `agreed` by MIN. */
static struct kv_policy *propose_on_rank(const struct agreement *agreement, int32_t begin, int32_t end,
                                         uint32_t *agreed) {
    uint32_t message[AGREEMENT_TOKENS];
    struct kv_policy *policy = policy_of_heads(agreement->config, begin, end - begin);
    const size_t words = kv_policy_message_words(policy, 0, agreement->layer, agreement->n_tokens);
    assert_in_range(words, 1, agreement->n_tokens);
    agreement_propose(policy, 0, agreement->layer, agreement->n_tokens, end - begin,
                      agreement->scores + begin * agreement->stride, agreement->stride, message);
    for (size_t i = 0; i < words; i++)
        if (message[i] < agreed[i]) agreed[i] = message[i];
    return policy;
}

int64_t agreement_reach(const struct agreement *agreement, int32_t n_ranks, int32_t *set_out) {
    const int32_t n_heads = agreement->config.n_heads_global;
    struct kv_policy *policies[AGREEMENT_RANKS];
    uint32_t agreed[AGREEMENT_TOKENS];
    struct kv_set first = {0};
    assert_true(n_ranks <= AGREEMENT_RANKS && agreement->n_tokens <= AGREEMENT_TOKENS);
    memset(agreed, 0xFF, sizeof agreed);
    for (int32_t rank = 0; rank < n_ranks; rank++)
        policies[rank] =
            propose_on_rank(agreement, n_heads * rank / n_ranks, n_heads * (rank + 1) / n_ranks, agreed);
    for (int32_t rank = 0; rank < n_ranks; rank++) {
        kv_policy_take(policies[rank], 0, agreement->layer, agreement->n_tokens, agreed);
        const struct kv_set set =
            kv_policy_set(policies[rank], 0, agreement->layer + 1, agreement->n_tokens, 0);
        assert_null(set.rows);
        assert_in_range(set.n_tokens, 1, agreement->n_tokens);
        if (rank == 0) first = set;
        assert_sets_equal(set, first);
    }
    memcpy(set_out, first.tokens, (size_t)first.n_tokens * sizeof *set_out);
    for (int32_t rank = 0; rank < n_ranks; rank++)
        kv_policy_destroy(policies[rank]);
    return first.n_tokens;
}
