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
    struct shard_range own; /* stripes */
    int64_t n_heads, head_dim, n_rows, context_length;
    int32_t n_subtrees, first_subtree;    /* of all members, ascending; where this rank's begin … */
    int32_t n_own;                        /* … and how many */
    int32_t first_stripes[KV_STRIPES];    /* [n_subtrees] */
    int32_t *n_of_member;                 /* [group size] subtrees */
    size_t *counts;                       /* [group size] */
    float *sent, *gathered;               /* [subtrees, n_rows * n_heads, head_dim + 2] */
    float *scores_sent, *scores_gathered; /* [n_heads, context_length] in the order of members */
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
        exchange->own = stripes;
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
    exchange->context_length = shape->context_length;
    TRY(ARENA_TAKE(memory, n_members, &exchange->n_of_member));
    TRY(ARENA_TAKE(memory, n_members, &exchange->counts));
    find_subtrees(exchange);
    const size_t subtree = (size_t)shape->max_tokens * n_heads * ((size_t)shape->head_dim + MAX_AND_SUM);
    if (subtree * (size_t)exchange->n_subtrees > INT32_MAX) /* what MPI counts */
        return FAIL(
            STATUS_BAD_INPUT,
            "--batch-tokens %d is too much for ranks that share KV heads: %zu queries of %d dimensions",
            shape->max_tokens, (size_t)shape->max_tokens * n_heads, shape->head_dim);
    TRY(ARENA_TAKE(memory, subtree * (size_t)exchange->n_own, &exchange->sent));
    TRY(ARENA_TAKE(memory, subtree * (size_t)exchange->n_subtrees, &exchange->gathered));
    const size_t scores = shape->selects || shape->rescores ? n_heads * (size_t)shape->context_length : 0;
    TRY(ARENA_TAKE(memory, scores, &exchange->scores_sent));
    TRY(ARENA_TAKE(memory, scores, &exchange->scores_gathered));
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

static void gather(struct head_exchange *exchange, const float *part, float *gathered) {
    const double begin = timer_seconds();
    head_group_gather(exchange->group, part, exchange->counts, gathered);
    exchange->seconds += timer_seconds() - begin;
}

/* Packs this rank's scores of an item; returns the end of what was written. */
static float *pack(const struct head_exchange *exchange, const struct item *item, float *values) {
    for (int32_t head = 0; head < item->heads.n; head++)
        for (int32_t stripe = (int32_t)exchange->own.begin; stripe < exchange->own.end; stripe++) {
            const int64_t n = striped_list_size(&item->list, stripe);
            striped_list_gather(&item->list, stripe, 0, n, item->scores + head * exchange->context_length,
                                values);
            values += n;
        }
    return values;
}

/* Unpacks a member's; returns the end of what was read. */
static const float *unpack(const struct head_exchange *exchange, const struct item *item,
                           struct shard_range stripes, const float *values) {
    for (int32_t head = 0; head < item->heads.n; head++)
        for (int32_t stripe = (int32_t)stripes.begin; stripe < stripes.end; stripe++) {
            const int64_t n = striped_list_size(&item->list, stripe);
            striped_list_scatter(&item->list, stripe, 0, n, values,
                                 item->scores + head * exchange->context_length);
            values += n;
        }
    return values;
}

static size_t count_scores(const struct item *items, int32_t n_items, struct shard_range stripes) {
    int64_t n = 0;
    for (int32_t i = 0; i < n_items; i++)
        n += items[i].heads.n * (items[i].list.begins[stripes.end] - items[i].list.begins[stripes.begin]);
    return (size_t)n;
}

void head_exchange_scores(struct head_exchange *exchange, const struct item *items, int32_t n_items) {
    float *end = exchange->scores_sent;
    const float *values = exchange->scores_gathered;
    for (int32_t i = 0; i < n_items; i++)
        end = pack(exchange, &items[i], end);
    for (int member = 0; member < head_group_size(exchange->group); member++)
        exchange->counts[member] = count_scores(items, n_items, head_group_stripes(exchange->group, member));
    gather(exchange, exchange->scores_sent, exchange->scores_gathered);
    for (int member = 0; member < head_group_size(exchange->group); member++)
        for (int32_t i = 0; i < n_items; i++)
            values = unpack(exchange, &items[i], head_group_stripes(exchange->group, member), values);
}

void head_exchange_finish(struct head_exchange *exchange, const struct kernels *kernels, float *out) {
    const int64_t n_queries = exchange->n_rows * exchange->n_heads, head_dim = exchange->head_dim;
    for (int member = 0; member < head_group_size(exchange->group); member++)
        exchange->counts[member] = (size_t)(exchange->n_of_member[member] * subtree_floats(exchange));
    gather(exchange, exchange->sent, exchange->gathered);
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
