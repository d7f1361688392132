#include "worker/score_counts.h"

#include "base/numbers.h"
#include "kvshard/kv_stripes.h"

int64_t score_rows(struct shard_range stripes, int64_t begin, int64_t end) {
    int64_t n = 0;
    for (int32_t stripe = (int32_t)stripes.begin; stripe < stripes.end; stripe++)
        n += kv_stripe_rows(stripe, end) - kv_stripe_rows(stripe, begin);
    return n;
}

/* A score with its token is twice the bytes. */
bool score_counts_best(const struct head_group *group, int64_t n_tokens, struct kv_best best, int64_t times,
                       int64_t *counts_out) {
    const int64_t n_rows = best.end - best.begin;
    int64_t total = 0;
    for (int member = 0; member < head_group_size(group); member++) {
        const int64_t n_own = score_rows(head_group_stripes(group, member), best.begin, best.end);
        const int64_t n_likely = (times * best.n * n_own + n_rows - 1) / n_rows;
        counts_out[member] = smaller_i64(n_likely, smaller_i64(best.n, n_own));
        total += counts_out[member];
    }
    return 2 * total < n_tokens;
}
