#include "worker/head_exchange_impl.h"

#include <string.h>

#include "base/check.h"
#include "base/timer.h"
#include "worker/attention_impl.h"
#include "worker/threads.h"

_Static_assert((int)SHARD_STRIPES == (int)KV_STRIPES, "ranks are dealt the cache's stripes");

/* A subtree's sum of one query lies together: acc [head_dim], max, sum. */
enum { MAX_AND_SUM = 2 };

struct head_exchange {
    struct head_group *group;
    int64_t n_heads, head_dim, n_rows;
    int32_t n_subtrees, first_subtree; /* of all members, ascending; where this rank's begin … */
    int32_t n_own;                     /* … and how many */
    int32_t first_stripes[KV_STRIPES]; /* [n_subtrees] */
    int32_t *n_of_member;              /* [group size] subtrees */
    size_t *sizes;                     /* [group size] bytes */
    float *sent, *gathered;            /* [subtrees, n_rows * n_heads, head_dim + 2] */
    double seconds;
};

static void find_subtrees(struct head_exchange *exchange) {
    for (int member = 0; member < head_group_size(exchange->group); member++) {
        const struct shard_range stripes = head_group_stripes(exchange->group, member);
        const int32_t before = exchange->n_subtrees, end = (int32_t)stripes.end;
        for (int32_t i = (int32_t)stripes.begin; i < end; i += kv_stripe_subtree(i, end))
            exchange->first_stripes[exchange->n_subtrees++] = i;
        exchange->n_of_member[member] = exchange->n_subtrees - before;
        if (member != head_group_member(exchange->group)) continue;
        exchange->first_subtree = before;
        exchange->n_own = exchange->n_of_member[member];
    }
}

enum status head_exchange_create(const struct attention_shape *shape, struct arena *memory,
                                 struct head_exchange **exchange_out) {
    *exchange_out = NULL;
    if (!shape->group || head_group_size(shape->group) == 1) return STATUS_OK;
    CHECK(shape->n_kv_heads_local == 1);
    struct head_exchange *exchange;
    const size_t n_members = (size_t)head_group_size(shape->group), n_heads = (size_t)shape->n_heads_local;
    TRY(ARENA_TAKE(memory, 1, &exchange));
    exchange->group = shape->group;
    exchange->n_heads = shape->n_heads_local;
    exchange->head_dim = shape->head_dim;
    TRY(ARENA_TAKE(memory, n_members, &exchange->n_of_member));
    TRY(ARENA_TAKE(memory, n_members, &exchange->sizes));
    find_subtrees(exchange);
    const size_t subtree = (size_t)shape->max_tokens * n_heads * ((size_t)shape->head_dim + MAX_AND_SUM);
    if (subtree * (size_t)exchange->n_subtrees * sizeof(float) > INT32_MAX) /* what MPI counts */
        return FAIL(
            STATUS_BAD_INPUT,
            "--batch-tokens %d is too much for ranks that share KV heads: %zu queries of %d dimensions",
            shape->max_tokens, (size_t)shape->max_tokens * n_heads, shape->head_dim);
    TRY(ARENA_TAKE(memory, subtree * (size_t)exchange->n_own, &exchange->sent));
    TRY(ARENA_TAKE(memory, subtree * (size_t)exchange->n_subtrees, &exchange->gathered));
    *exchange_out = exchange;
    return STATUS_OK;
}

static int64_t query_floats(const struct head_exchange *exchange) {
    return exchange->head_dim + MAX_AND_SUM;
}

static int64_t subtree_floats(const struct head_exchange *exchange) {
    return exchange->n_rows * exchange->n_heads * query_floats(exchange);
}

/* A sum of 0 is no sum yet. */
void head_exchange_begin(struct head_exchange *exchange, int32_t n_rows) {
    exchange->n_rows = n_rows;
    memset(exchange->sent, 0, (size_t)(exchange->n_own * subtree_floats(exchange)) * sizeof *exchange->sent);
}

/* Where a query's sum lies among those of a subtree. */
static struct partial sum_at(const struct head_exchange *exchange, float *sums, int32_t subtree,
                             int64_t query) {
    float *acc = sums + subtree * subtree_floats(exchange) + query * query_floats(exchange);
    return (struct partial){acc + exchange->head_dim, acc + exchange->head_dim + 1, acc};
}

void head_exchange_put(const struct head_exchange *exchange, int64_t row, int32_t head,
                       const struct partial stripes[KV_STRIPES]) {
    for (int32_t i = 0; i < exchange->n_own; i++) {
        const struct partial from = stripes[exchange->first_stripes[exchange->first_subtree + i]];
        const struct partial to = sum_at(exchange, exchange->sent, i, row * exchange->n_heads + head);
        if (!from.acc) continue;
        memcpy(to.acc, from.acc, (size_t)exchange->head_dim * sizeof *to.acc);
        *to.max = *from.max;
        *to.sum = *from.sum;
    }
}

static void gather(struct head_exchange *exchange) {
    const double begin = timer_seconds();
    for (int member = 0; member < head_group_size(exchange->group); member++)
        exchange->sizes[member] =
            (size_t)(exchange->n_of_member[member] * subtree_floats(exchange)) * sizeof(float);
    head_group_gather(exchange->group, exchange->sent, exchange->sizes, exchange->gathered);
    exchange->seconds += timer_seconds() - begin;
}

void head_exchange_finish(struct head_exchange *exchange, const struct kernels *kernels, float *out) {
    const int64_t n_queries = exchange->n_rows * exchange->n_heads, head_dim = exchange->head_dim;
    gather(exchange);
#pragma omp parallel for if (threads_worthwhile(KV_STRIPES * n_queries * head_dim))
    for (int64_t query = 0; query < n_queries; query++) {
        struct partial stripes[KV_STRIPES] = {0};
        for (int32_t i = 0; i < exchange->n_subtrees; i++)
            stripes[exchange->first_stripes[i]] = sum_at(exchange, exchange->gathered, i, query);
        partial_merge_stripes(kernels, 1, head_dim, 0, KV_STRIPES, stripes);
        for (int64_t d = 0; d < head_dim; d++)
            out[query * head_dim + d] = stripes[0].acc[d] / *stripes[0].sum;
    }
}

double head_exchange_take_seconds(struct head_exchange *exchange) {
    const double seconds = exchange->seconds;
    exchange->seconds = 0;
    return seconds;
}
