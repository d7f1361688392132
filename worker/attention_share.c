/* One thread's share of a layer's attention. */
#include <math.h>
#include <string.h>

#include "base/check.h"
#include "cluster/heartbeat.h"
#include "worker/attention_impl.h"

/* From here on it pays to turn a chunk's keys first; the bits are the same. */
enum { MANY_QUERIES = 16 };

/* Units of cost [begin, end). */
struct share {
    int64_t begin, end;
};

static struct share share_of(const struct attention *attention, int thread, int n_threads) {
    return (struct share){attention->cost * thread / n_threads, attention->cost * (thread + 1) / n_threads};
}

static int64_t clamp(int64_t value, int64_t most) {
    return value < 0 ? 0 : value < most ? value : most;
}

static int64_t chunks_of(const struct item *item) {
    return item->chunk_begins[KV_STRIPES];
}

/* What a share has of an item. A lone row is cut at any chunk; the chunks of several rows, which come in
 * crowds, stay together. */
static struct piece piece_of(const struct item *item, struct share share) {
    const int64_t begin = share.begin - item->cost_begin, end = share.end - item->cost_begin;
    if (item->block->n_rows == 1)
        return (struct piece){item, clamp(begin, chunks_of(item)), clamp(end, chunks_of(item))};
    return (struct piece){item, 0, begin <= 0 && end > 0 ? chunks_of(item) : 0};
}

/* The share's first piece at or behind item *i, which becomes the item's number plus 1. */
static bool next_piece(const struct attention *attention, struct share share, int32_t *i,
                       struct piece *piece_out) {
    while (*i < attention->n_items) {
        *piece_out = piece_of(&attention->items[(*i)++], share);
        if (piece_out->begin < piece_out->end) return true;
    }
    return false;
}

static int32_t queries_of(const struct item *item) {
    return item->block->n_rows * item->heads.n;
}

/* The queries of an item, copied together: row after row, n heads each. */
static void gather_queries(const struct attention *attention, const struct attention_call *call,
                           const struct item *item, float *q) {
    const int64_t head_dim = attention->shape.head_dim, row_size = attention->shape.n_heads_local * head_dim;
    const int64_t group_size = item->heads.n * head_dim;
    for (int32_t i = 0; i < item->block->n_rows; i++)
        memcpy(q + i * group_size,
               call->q + (item->block->first_row + i) * row_size + item->heads.first * head_dim,
               (size_t)group_size * sizeof *q);
}

/* Divides by the sums and puts the heads back in their rows. */
static void scatter_outputs(const struct attention *attention, const struct attention_call *call,
                            const struct item *item, struct partial merged) {
    const int64_t head_dim = attention->shape.head_dim, row_size = attention->shape.n_heads_local * head_dim;
    for (int32_t query = 0; query < queries_of(item); query++) {
        const int64_t row = item->block->first_row + query / item->heads.n;
        float *out = call->out + row * row_size + (item->heads.first + query % item->heads.n) * head_dim;
        for (int64_t d = 0; d < head_dim; d++)
            out[d] = merged.acc[query * head_dim + d] / merged.sum[query];
    }
}

/* What is no token comes last, behind all stripes. */
static void merge_added(const struct attention *attention, const struct item *item, struct partial merged) {
    const int64_t head_dim = attention->shape.head_dim;
    for (int32_t i = 0; item->added.sum && i < item->heads.n; i++) {
        const int64_t query = item->heads.first % attention->group + i;
        attention->kernels->attend_merge(&merged.max[i], &merged.sum[i], merged.acc + i * head_dim,
                                         item->added.max[query], item->added.sum[query],
                                         item->added.acc + query * head_dim, head_dim);
    }
}

static void put_sums(const struct attention *attention, const struct item *item,
                     const struct partial stripes[KV_STRIPES]) {
    for (int32_t query = 0; query < queries_of(item); query++) {
        struct partial own[KV_STRIPES] = {0};
        for (int32_t i = 0; i < KV_STRIPES; i++)
            if (stripes[i].acc) own[i] = partial_at(stripes[i], query, attention->shape.head_dim);
        head_exchange_put(attention->exchange, item->block->first_row + query / item->heads.n,
                          item->heads.first + query % item->heads.n, own);
    }
}

/* All of this rank's chunks are merged. */
static void finish_item(const struct attention *attention, const struct attention_call *call,
                        const struct item *item, struct partial stripes[KV_STRIPES]) {
    const struct shard_range own = attention->own;
    if (item->work == SCORE) return;
    partial_merge_stripes(attention->kernels, queries_of(item), attention->shape.head_dim, (int32_t)own.begin,
                          (int32_t)own.end, stripes);
    CHECK(!item->added.sum || shard_range_size(own) == KV_STRIPES);
    merge_added(attention, item, stripes[0]);
    if (attention->exchange)
        put_sums(attention, item, stripes);
    else
        scatter_outputs(attention, call, item, stripes[0]);
}

/* Chunks are numbered stripe by stripe; those of a list that is everything in the order of their rows, which
 * memory likes better. A stripe's own chunks ascend in both. */
static struct chunk chunk_at(const struct attention *attention, const struct item *item, int64_t index) {
    int32_t stripe = 0;
    int64_t begin;
    if (!item->list.rows && item->list.first == 0) {
        const int64_t n_own = shard_range_size(attention->own);
        stripe = attention->in_order[index % n_own];
        begin = index / n_own * ATTEND_CHUNK;
    } else {
        while (index >= item->chunk_begins[stripe + 1])
            stripe++;
        begin = (index - item->chunk_begins[stripe]) * ATTEND_CHUNK;
    }
    const int64_t left = striped_list_size(&item->list, stripe) - begin;
    return (struct chunk){stripe, begin, left < ATTEND_CHUNK ? left : ATTEND_CHUNK};
}

/* Past the last entry the last row is repeated: `ahead` of the kernels wants as many as they read meanwhile.
 */
static void look_up(const struct attention_call *call, const struct item *item, struct chunk chunk,
                    int64_t n_wanted, struct chunk_rows *rows) {
    struct row_run run;
    for (int64_t i = 0; i < chunk.n; i += run.n) {
        run = striped_list_run(&item->list, chunk.stripe, chunk.begin + i, chunk.n - i);
        kv_cache_rows(call->cache, item->block->slot, call->layer, item->heads.kv_head, run.rows, run.first,
                      run.n, rows->keys + i, rows->values + i);
    }
    for (int64_t i = chunk.n; i < n_wanted; i++)
        rows->keys[i] = rows->keys[chunk.n - 1];
}

/* How many of a chunk's entries each query sees; NULL: all of them see all. */
static const int32_t *valid_entries(const struct item *item, struct chunk chunk, int32_t *n_valid) {
    if (item->block->n_rows == 1) return NULL;
    int64_t n = chunk.n;
    for (int32_t row = item->block->n_rows - 1; row >= 0; row--) {
        const int64_t n_seen = item->source.n_first + row;
        while (n > 0 && striped_list_entry(&item->list, chunk.stripe, chunk.begin + n - 1) >= n_seen)
            n--;
        for (int32_t head = 0; head < item->heads.n; head++)
            n_valid[row * item->heads.n + head] = (int32_t)n;
    }
    return n_valid;
}

static void keep_scores(const struct attention *attention, const struct item *item, struct chunk chunk,
                        const float *scores) {
    for (int64_t head = 0; head < item->heads.n; head++)
        striped_list_scatter(&item->list, chunk.stripe, chunk.begin, chunk.n, scores + head * ATTEND_CHUNK,
                             item->scores + head * attention->shape.context_length);
}

static void recall_scores(const struct attention *attention, const struct item *item, struct chunk chunk,
                          float *scores) {
    for (int64_t head = 0; head < item->heads.n; head++)
        striped_list_gather(&item->list, chunk.stripe, chunk.begin, chunk.n,
                            item->scores + head * attention->shape.context_length,
                            scores + head * ATTEND_CHUNK);
}

/* scores [queries, ATTEND_CHUNK]; the values are fetched meanwhile, but by many queries, which take so long
 * that it makes no difference. */
static void score_chunk(const struct attention *attention, const struct item *item, int64_t n,
                        const struct chunk_rows *rows, struct scratch *scratch) {
    const struct kernels *kernels = attention->kernels;
    const struct attention_shape *shape = &attention->shape;
    const int32_t n_queries = queries_of(item);
    if (n_queries < MANY_QUERIES) {
        kernels->score(scratch->q, n_queries, rows->keys, rows->values, shape->kv_dtype, n, shape->head_dim,
                       attention->scale, scratch->scores, ATTEND_CHUNK);
        return;
    }
    kernels->turn_keys(rows->keys, shape->kv_dtype, n, shape->head_dim, scratch->columns);
    kernels->score_columns(scratch->q, n_queries, scratch->columns, n, shape->head_dim, attention->scale,
                           scratch->scores, ATTEND_CHUNK);
}

/* One chunk: scores, weights, weighted values. The keys of the next chunk, if there is one, are fetched
 * meanwhile. */
static void attend_chunk(const struct attention *attention, const struct item *item, struct chunk chunk,
                         const struct chunk_rows *rows, const struct chunk_rows *next,
                         struct scratch *scratch, struct partial out) {
    if (item->work == WEIGH)
        recall_scores(attention, item, chunk, scratch->scores);
    else
        score_chunk(attention, item, chunk.n, rows, scratch);
    if (item->work == ATTEND_KEEP_SCORES || item->work == SCORE)
        keep_scores(attention, item, chunk, scratch->scores);
    if (item->work == SCORE) return;
    attention->kernels->attend_chunk(scratch->scores, ATTEND_CHUNK, queries_of(item),
                                     valid_entries(item, chunk, scratch->n_valid), rows->values,
                                     next ? next->keys : NULL, attention->shape.kv_dtype, chunk.n,
                                     attention->shape.head_dim, out.max, out.sum, out.acc);
}

/* Where the chunk's partial goes: a stripe's first one is its sum so far. */
static struct partial partial_of(const struct attention *attention, const struct piece *piece, int64_t index,
                                 int32_t stripe, const struct scratch *scratch) {
    if (piece->begin > 0)
        return partial_at(scratch->later, (index - piece->begin) * queries_of(piece->item),
                          attention->shape.head_dim);
    return scratch->stripes[stripe].acc ? scratch->chunk : scratch->sums[stripe];
}

/* The rows of the piece's first chunk were looked up before; those of `next` (NULL: none) are left so. */
static void attend_piece(const struct attention *attention, const struct attention_call *call,
                         const struct piece *piece, const struct piece *next, struct scratch *scratch) {
    const struct item *item = piece->item;
    const bool begins = piece->begin == 0;
    gather_queries(attention, call, item, scratch->q);
    if (begins) memset(scratch->stripes, 0, sizeof scratch->stripes);
    for (int64_t index = piece->begin; index < piece->end; index++, scratch->turn ^= 1) {
        const struct chunk chunk = chunk_at(attention, item, index);
        const struct chunk_rows *rows = &scratch->rows[scratch->turn];
        struct chunk_rows *ahead = &scratch->rows[scratch->turn ^ 1];
        if (index + 1 < piece->end)
            look_up(call, item, chunk_at(attention, item, index + 1), chunk.n, ahead);
        else if (next)
            look_up(call, next->item, chunk_at(attention, next->item, next->begin), chunk.n, ahead);
        else
            ahead = NULL;
        const struct partial out = partial_of(attention, piece, index, chunk.stripe, scratch);
        attend_chunk(attention, item, chunk, rows, ahead, scratch, out);
        if (begins && item->work != SCORE)
            partial_merge(attention->kernels, queries_of(item), attention->shape.head_dim, out,
                          &scratch->stripes[chunk.stripe]);
    }
    if (begins && piece->end == chunks_of(item)) finish_item(attention, call, item, scratch->stripes);
}

void attend_share(const struct attention *attention, const struct attention_call *call, int thread,
                  int n_threads) {
    struct scratch *scratch = &attention->scratch[thread];
    const struct share share = share_of(attention, thread, n_threads);
    int32_t i = 0;
    struct piece piece, next;
    scratch->first = scratch->last = (struct piece){0};
    if (!next_piece(attention, share, &i, &piece)) return;
    scratch->first = piece;
    look_up(call, piece.item, chunk_at(attention, piece.item, piece.begin), 0, &scratch->rows[scratch->turn]);
    for (bool more = true; more; piece = next) {
        more = next_piece(attention, share, &i, &next);
        if (thread == 0 && attention->shape.heartbeat) heartbeat_count(attention->shape.heartbeat);
        attend_piece(attention, call, &piece, more ? &next : NULL, scratch);
        scratch->last = piece;
    }
}

void attend_finish(const struct attention *attention, const struct attention_call *call, int thread,
                   int n_threads) {
    struct scratch *scratch = &attention->scratch[thread];
    const struct item *item = scratch->last.item;
    const int64_t head_dim = attention->shape.head_dim;
    if (!item || item->work == SCORE || scratch->last.begin > 0 || scratch->last.end == chunks_of(item))
        return;
    int64_t index = scratch->last.end;
    for (int other = thread + 1; other < n_threads && index < chunks_of(item); other++) {
        const struct scratch *from = &attention->scratch[other];
        if (from->first.item != item) continue;
        CHECK(from->first.begin == index);
        for (; index < from->first.end; index++)
            partial_merge(attention->kernels, item->heads.n, head_dim,
                          partial_at(from->later, (index - from->first.begin) * item->heads.n, head_dim),
                          &scratch->stripes[chunk_at(attention, item, index).stripe]);
    }
    CHECK(index == chunks_of(item));
    finish_item(attention, call, item, scratch->stripes);
}
