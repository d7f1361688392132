/* One thread's share of a layer's attention. */
#include <math.h>
#include <string.h>

#include "base/check.h"
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

/* What a share has of an item. A lone row is cut at any chunk; the chunks of several rows, which come in
 * crowds, stay together. */
static struct piece piece_of(const struct item *item, struct share share) {
    const int64_t begin = share.begin - item->cost_begin, end = share.end - item->cost_begin;
    if (item->block->n_rows == 1)
        return (struct piece){item, clamp(begin, item->n_chunks), clamp(end, item->n_chunks)};
    return (struct piece){item, 0, begin <= 0 && end > 0 ? item->n_chunks : 0};
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

static struct partial partial_at(struct partial partial, int64_t query, int64_t head_dim) {
    return (struct partial){partial.max + query, partial.sum + query, partial.acc + query * head_dim};
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

static void clear(const struct attention *attention, int32_t n_queries, struct partial partial) {
    for (int32_t query = 0; query < n_queries; query++) {
        partial.max[query] = -INFINITY;
        partial.sum[query] = 0;
    }
    memset(partial.acc, 0, (size_t)n_queries * (size_t)attention->shape.head_dim * sizeof *partial.acc);
}

static void merge(const struct attention *attention, int32_t n_queries, struct partial part,
                  struct partial merged) {
    const int64_t head_dim = attention->shape.head_dim;
    for (int32_t query = 0; query < n_queries; query++)
        attention->kernels->attend_merge(&merged.max[query], &merged.sum[query],
                                         merged.acc + query * head_dim, part.max[query], part.sum[query],
                                         part.acc + query * head_dim, head_dim);
}

/* All chunks are merged: what is no token comes last. */
static void finish_item(const struct attention *attention, const struct attention_call *call,
                        const struct item *item, struct partial merged) {
    if (item->work == SCORE) return;
    for (int32_t i = 0; item->added.sum && i < item->heads.n; i++) {
        const int64_t query = item->heads.first % attention->group + i, head_dim = attention->shape.head_dim;
        attention->kernels->attend_merge(&merged.max[i], &merged.sum[i], merged.acc + i * head_dim,
                                         item->added.max[query], item->added.sum[query],
                                         item->added.acc + query * head_dim, head_dim);
    }
    scatter_outputs(attention, call, item, merged);
}

static int64_t chunk_entries(const struct item *item, int64_t chunk) {
    const int64_t left = item->n_entries - chunk * ATTEND_CHUNK;
    return left < ATTEND_CHUNK ? left : ATTEND_CHUNK;
}

/* Past the last entry the last row is repeated: `ahead` of the kernels wants as many as they read. */
static void look_up(const struct attention_call *call, const struct item *item, int64_t chunk,
                    struct chunk_rows *rows) {
    const struct row_list *list = &item->list;
    const int64_t begin = chunk * ATTEND_CHUNK, n = chunk_entries(item, chunk);
    kv_cache_rows(call->cache, item->block->slot, call->layer, item->heads.kv_head,
                  list->rows ? list->rows + begin : NULL, list->first + begin, n, rows->keys, rows->values);
    for (int64_t i = n; i < ATTEND_CHUNK; i++)
        rows->keys[i] = rows->keys[n - 1];
}

/* How many of a chunk's entries each query sees; NULL: all of them see all. */
static const int32_t *valid_entries(const struct item *item, int64_t chunk, int32_t *n_valid) {
    if (item->block->n_rows == 1) return NULL;
    const int64_t n = chunk_entries(item, chunk);
    for (int32_t query = 0; query < queries_of(item); query++)
        n_valid[query] = (int32_t)clamp(item->list.n_first + query / item->heads.n - chunk * ATTEND_CHUNK, n);
    return n_valid;
}

/* A head's scores of a chunk, where its item keeps them. */
static float *kept_scores(const struct attention *attention, const struct item *item, int64_t chunk,
                          int32_t head) {
    return item->scores + head * attention->shape.context_length + chunk * ATTEND_CHUNK;
}

static void keep_scores(const struct attention *attention, const struct item *item, int64_t chunk,
                        const float *scores) {
    for (int32_t head = 0; head < item->heads.n; head++)
        memcpy(kept_scores(attention, item, chunk, head), scores + (int64_t)head * ATTEND_CHUNK,
               (size_t)chunk_entries(item, chunk) * sizeof *scores);
}

static void recall_scores(const struct attention *attention, const struct item *item, int64_t chunk,
                          float *scores) {
    for (int32_t head = 0; head < item->heads.n; head++)
        memcpy(scores + (int64_t)head * ATTEND_CHUNK, kept_scores(attention, item, chunk, head),
               (size_t)chunk_entries(item, chunk) * sizeof *scores);
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
static void attend_chunk(const struct attention *attention, const struct item *item, int64_t chunk,
                         const struct chunk_rows *rows, const struct chunk_rows *next,
                         struct scratch *scratch, struct partial out) {
    const int64_t n = chunk_entries(item, chunk);
    if (item->work == WEIGH)
        recall_scores(attention, item, chunk, scratch->scores);
    else
        score_chunk(attention, item, n, rows, scratch);
    if (item->work == ATTEND_KEEP_SCORES || item->work == SCORE)
        keep_scores(attention, item, chunk, scratch->scores);
    if (item->work == SCORE) return;
    attention->kernels->attend_chunk(scratch->scores, ATTEND_CHUNK, queries_of(item),
                                     valid_entries(item, chunk, scratch->n_valid), rows->values,
                                     next ? next->keys : NULL, attention->shape.kv_dtype, n,
                                     attention->shape.head_dim, out.max, out.sum, out.acc);
}

/* The rows of the piece's first chunk were looked up before; those of `next` (NULL: none) are left so. */
static void attend_piece(const struct attention *attention, const struct attention_call *call,
                         const struct piece *piece, const struct piece *next, struct scratch *scratch) {
    const struct item *item = piece->item;
    const int32_t n_queries = queries_of(item);
    const bool begins = piece->begin == 0;
    gather_queries(attention, call, item, scratch->q);
    if (begins) clear(attention, n_queries, scratch->merged);
    for (int64_t chunk = piece->begin; chunk < piece->end; chunk++, scratch->turn ^= 1) {
        const struct chunk_rows *rows = &scratch->rows[scratch->turn];
        struct chunk_rows *ahead = &scratch->rows[scratch->turn ^ 1];
        if (chunk + 1 < piece->end)
            look_up(call, item, chunk + 1, ahead);
        else if (next)
            look_up(call, next->item, next->begin, ahead);
        else
            ahead = NULL;
        const struct partial out = begins ? scratch->chunk
                                          : partial_at(scratch->later, (chunk - piece->begin) * n_queries,
                                                       attention->shape.head_dim);
        attend_chunk(attention, item, chunk, rows, ahead, scratch, out);
        if (begins && item->work != SCORE) merge(attention, n_queries, out, scratch->merged);
    }
    if (begins && piece->end == item->n_chunks) finish_item(attention, call, item, scratch->merged);
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
    look_up(call, piece.item, piece.begin, &scratch->rows[scratch->turn]);
    for (bool more = true; more; piece = next) {
        more = next_piece(attention, share, &i, &next);
        attend_piece(attention, call, &piece, more ? &next : NULL, scratch);
        scratch->last = piece;
    }
}

void attend_finish(const struct attention *attention, const struct attention_call *call, int thread,
                   int n_threads) {
    const struct scratch *scratch = &attention->scratch[thread];
    const struct item *item = scratch->last.item;
    if (!item || item->work == SCORE || scratch->last.begin > 0 || scratch->last.end == item->n_chunks)
        return;
    int64_t chunk = scratch->last.end;
    for (int other = thread + 1; other < n_threads && chunk < item->n_chunks; other++) {
        const struct scratch *from = &attention->scratch[other];
        if (from->first.item != item) continue;
        CHECK(from->first.begin == chunk);
        for (; chunk < from->first.end; chunk++)
            merge(attention, item->heads.n,
                  partial_at(from->later, (chunk - from->first.begin) * item->heads.n,
                             attention->shape.head_dim),
                  scratch->merged);
    }
    CHECK(chunk == item->n_chunks);
    finish_item(attention, call, item, scratch->merged);
}
