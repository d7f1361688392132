#include "worker/partial.h"

enum status partial_create(struct arena *memory, size_t n_queries, size_t head_dim,
                           struct partial *partial_out) {
    TRY(ARENA_TAKE(memory, n_queries, &partial_out->max));
    TRY(ARENA_TAKE(memory, n_queries, &partial_out->sum));
    return ARENA_TAKE(memory, n_queries * head_dim, &partial_out->acc);
}

struct partial partial_at(struct partial partial, int64_t query, int64_t head_dim) {
    return (struct partial){partial.max + query, partial.sum + query, partial.acc + query * head_dim};
}

void partial_merge(const struct kernels *kernels, int64_t n_queries, int64_t head_dim, struct partial part,
                   struct partial *merged) {
    if (!part.acc) return;
    if (!merged->acc) {
        *merged = part;
        return;
    }
    for (int64_t query = 0; query < n_queries; query++)
        kernels->attend_merge(&merged->max[query], &merged->sum[query], merged->acc + query * head_dim,
                              part.max[query], part.sum[query], part.acc + query * head_dim, head_dim);
}

void partial_merge_stripes(const struct kernels *kernels, int64_t n_queries, int64_t head_dim, int32_t begin,
                           int32_t end, struct partial stripes[KV_STRIPES]) {
    for (int32_t half = 1; half < KV_STRIPES; half *= 2)
        for (int32_t left = (begin + 2 * half - 1) / (2 * half) * (2 * half); left + 2 * half <= end;
             left += 2 * half)
            partial_merge(kernels, n_queries, head_dim, stripes[left + half], &stripes[left]);
}
