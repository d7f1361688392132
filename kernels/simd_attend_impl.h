/* kernels/simd_attend_impl.h - attention of the query heads that share one KV head.
 *
 * Rows of keys and values are scattered over pages, so they come as pointers, and each kernel asks memory for
 * the rows that are read next while it computes with its own. A row is converted to f32 once for up to
 * ATTEND_QUERIES queries. */
#pragma once

#include <stdbool.h>
#include <string.h>

#include "kernels/simd_matmul_impl.h"

enum {
    CACHE_LINE = 64,
    ATTEND_QUERIES = 4,
    SCORE_SUMS = 16 /* scores of a tile: queries x keys */
};

/* Into L2: what is fetched ahead is more than L1 holds. */
INLINE void prefetch(const void *row, size_t row_bytes) {
    for (size_t byte = 0; byte < row_bytes; byte += CACHE_LINE)
        __builtin_prefetch((const uint8_t *)row + byte, 0, 2);
}

static void prefetch_rows(const void *const *rows, int64_t begin, int64_t end, size_t row_bytes) {
    for (int64_t i = begin; i < end; i++) {
        prefetch(rows[i], row_bytes);
        if (row_bytes % CACHE_LINE) /* rows that begin within a line may end in one more */
            __builtin_prefetch((const uint8_t *)rows[i] + row_bytes - 1, 0, 2);
    }
}

/* Up to 16 of the n values that are left at element d + 16 v of a row. d is a multiple of a quantised block
 * unless v is always 0. */
INLINE vec16 row_load(enum dtype dtype, const void *row, int64_t d, int v, int64_t n) {
    if (dtype == DTYPE_Q8_0) {
        const uint8_t *block = (const uint8_t *)row + (size_t)(d / QUANT_BLOCK + v / 2) * pair_bytes(dtype);
        return v16_load_q8_0_half(block, d / LANES % 2 + v % 2);
    }
    return v16_load_upto_as(dtype,
                            (const uint8_t *)row + (size_t)(d + v * LANES) * (dtype == DTYPE_F32 ? 4 : 2), n);
}

/* lanes[j * stride + r] = products of row r and query j; q [n_queries, head_dim]. */
INLINE void score_lanes(int n_queries, int n_rows, enum dtype dtype, const void *const *rows, const float *q,
                        int64_t head_dim, int stride, vec16 *lanes) {
    vec16 sums[ATTEND_SUMS];
#pragma GCC unroll 16
    for (int i = 0; i < n_queries * n_rows; i++)
        sums[i] = v16_set(0);
    for (int64_t d = 0; d < head_dim; d += LANES) {
        const int64_t n = head_dim - d;
        vec16 query[ATTEND_QUERIES];
#pragma GCC unroll 4
        for (int j = 0; j < n_queries; j++)
            query[j] = v16_load_upto(q + j * head_dim + d, n);
#pragma GCC unroll 16
        for (int r = 0; r < n_rows; r++) {
            const vec16 key = row_load(dtype, rows[r], d, 0, n);
#pragma GCC unroll 4
            for (int j = 0; j < n_queries; j++)
                sums[j * n_rows + r] = v16_fma(key, query[j], sums[j * n_rows + r]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < n_queries * n_rows; i++)
        lanes[i / n_rows * stride + i % n_rows] = sums[i];
}

/* Scores of n_queries queries and SCORE_SUMS / n_queries keys, the last of which may be no more than fill. */
INLINE void score_tile(int n_queries, enum dtype dtype, const void *const *rows, int64_t n, const float *q,
                       int64_t head_dim, float scale, float *scores, int64_t scores_stride) {
    enum { SUMS = SCORE_SUMS };
    const int n_keys = SUMS / n_queries, n_rows = ATTEND_SUMS / n_queries;
    const void *filled[SUMS];
    if (n < n_keys) {
        for (int i = 0; i < n_keys; i++)
            filled[i] = rows[i < n ? i : n - 1];
        rows = filled;
    }
    vec16 lanes[SUMS];
    float sums[SUMS];
#pragma GCC unroll 1
    for (int r = 0; r < n_keys; r += n_rows)
        score_lanes(n_queries, n_rows, dtype, rows + r, q, head_dim, n_keys, lanes + r);
    v16_store(sums, v16_mul(v16_sum16(lanes), v16_set(scale)));
    for (int j = 0; j < n_queries; j++)
        if (n >= n_keys)
            memcpy(scores + j * scores_stride, sums + j * n_keys, (size_t)n_keys * sizeof *scores);
        else
            memcpy(scores + j * scores_stride, sums + j * n_keys, (size_t)n * sizeof *scores);
}

/* What a call of score was given. */
struct keys {
    const void *const *rows, *const *ahead;
    int64_t n, head_dim;
    size_t row_bytes;
    float scale;
    int64_t scores_stride;
};

INLINE void score_as(int n_queries, enum dtype dtype, const struct keys *keys, const float *q, float *scores,
                     bool fetch) {
    const int n_keys = SCORE_SUMS / n_queries;
    for (int64_t key = 0; key < keys->n; key += n_keys) {
        if (fetch) prefetch_rows(keys->ahead, key, smaller(key + n_keys, keys->n), keys->row_bytes);
        score_tile(n_queries, dtype, keys->rows + key, keys->n - key, q, keys->head_dim, keys->scale,
                   scores + key, keys->scores_stride);
    }
}

INLINE void score_for(int n_queries, enum dtype dtype, const struct keys *keys, const float *q, float *scores,
                      bool fetch) {
    switch (dtype) {
    case DTYPE_F16:
        score_as(n_queries, DTYPE_F16, keys, q, scores, fetch);
        return;
    case DTYPE_BF16:
        score_as(n_queries, DTYPE_BF16, keys, q, scores, fetch);
        return;
    case DTYPE_Q8_0:
        score_as(n_queries, DTYPE_Q8_0, keys, q, scores, fetch);
        return;
    default:
        score_as(n_queries, DTYPE_F32, keys, q, scores, fetch);
    }
}

/* As many queries as go together: ATTEND_QUERIES, 2 or 1. */
static int tile_queries(int64_t n_left) {
    return n_left >= ATTEND_QUERIES ? ATTEND_QUERIES : n_left >= 2 ? 2 : 1;
}

static void score(const float *q, int64_t n_queries, const void *const *rows, const void *const *ahead,
                  enum dtype dtype, int64_t n, int64_t head_dim, float scale, float *scores,
                  int64_t scores_stride) {
    const struct keys keys = {rows, ahead, n, head_dim, dtype_bytes(dtype, head_dim), scale, scores_stride};
    int tile;
    for (int64_t query = 0; query < n_queries; query += tile) {
        const bool fetch = ahead && query == 0;
        tile = tile_queries(n_queries - query);
        if (tile == ATTEND_QUERIES)
            score_for(ATTEND_QUERIES, dtype, &keys, q + query * head_dim, scores + query * scores_stride,
                      fetch);
        else if (tile == 2)
            score_for(2, dtype, &keys, q + query * head_dim, scores + query * scores_stride, fetch);
        else
            score_for(1, dtype, &keys, q + query * head_dim, scores + query * scores_stride, fetch);
    }
}

/* The rows of one call's values and where its queries' weights and sums are. */
struct values {
    enum dtype dtype;
    const void *const *rows, *const *ahead;
    size_t row_bytes;
    int64_t head_dim;
    const float *weights; /* [n_queries, weights_stride] */
    int64_t weights_stride;
    float *acc; /* [n_queries, head_dim] */
};

/* acc[query + j, d …] += weights x rows [begin, end), for n_queries queries and n_vecs vectors of
 * dimensions, of which n_left are left: only a lone vector may be cut short. */
INLINE void values_tile(int n_queries, int n_vecs, enum dtype dtype, const struct values *values,
                        int64_t query, int64_t begin, int64_t end, int64_t d, int64_t n_left) {
    const int64_t head_dim = values->head_dim;
    const float *weights = values->weights + query * values->weights_stride;
    const bool fetch = values->ahead && query == 0 && d == 0;
    float *acc = values->acc + query * head_dim + d;
    vec16 sums[ATTEND_SUMS];
#pragma GCC unroll 16
    for (int i = 0; i < n_queries * n_vecs; i++)
        sums[i] = v16_load_upto(acc + i / n_vecs * head_dim + i % n_vecs * LANES, n_left);
    for (int64_t i = begin; i < end; i++) {
        if (fetch) prefetch_rows(values->ahead, i, i + 1, values->row_bytes);
        vec16 weight[ATTEND_QUERIES];
#pragma GCC unroll 4
        for (int j = 0; j < n_queries; j++)
            weight[j] = v16_set(weights[j * values->weights_stride + i]);
#pragma GCC unroll 8
        for (int v = 0; v < n_vecs; v++) {
            const vec16 value = row_load(dtype, values->rows[i], d, v, n_left);
#pragma GCC unroll 4
            for (int j = 0; j < n_queries; j++)
                sums[j * n_vecs + v] = v16_fma(weight[j], value, sums[j * n_vecs + v]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < n_queries * n_vecs; i++)
        v16_store_upto(acc + i / n_vecs * head_dim + i % n_vecs * LANES, n_left, sums[i]);
}

INLINE void values_add_as(int n_queries, enum dtype dtype, const struct values *values, int64_t query,
                          int64_t begin, int64_t end) {
    const int n_vecs = ATTEND_SUMS / n_queries < 8 ? ATTEND_SUMS / n_queries : 8;
    const int64_t head_dim = values->head_dim;
    int64_t d = 0;
    for (; d + n_vecs * LANES <= head_dim; d += n_vecs * LANES)
        values_tile(n_queries, n_vecs, dtype, values, query, begin, end, d, n_vecs * LANES);
    for (; d < head_dim; d += LANES)
        values_tile(n_queries, 1, dtype, values, query, begin, end, d, head_dim - d);
}

INLINE void values_add_for(int n_queries, const struct values *values, int64_t query, int64_t begin,
                           int64_t end) {
    if (begin == end) return;
    switch (values->dtype) {
    case DTYPE_F16:
        values_add_as(n_queries, DTYPE_F16, values, query, begin, end);
        return;
    case DTYPE_BF16:
        values_add_as(n_queries, DTYPE_BF16, values, query, begin, end);
        return;
    case DTYPE_Q8_0:
        values_add_as(n_queries, DTYPE_Q8_0, values, query, begin, end);
        return;
    default:
        values_add_as(n_queries, DTYPE_F32, values, query, begin, end);
    }
}

static void values_add(int n_queries, const struct values *values, int64_t query, int64_t begin,
                       int64_t end) {
    if (n_queries == ATTEND_QUERIES)
        values_add_for(ATTEND_QUERIES, values, query, begin, end);
    else if (n_queries == 2)
        values_add_for(2, values, query, begin, end);
    else
        values_add_for(1, values, query, begin, end);
}

static void attend_chunk(float *scores, int64_t scores_stride, int64_t n_queries, const int32_t *n_valid,
                         const void *const *rows, const void *const *ahead, enum dtype dtype, int64_t n,
                         int64_t head_dim, float *max_out, float *sum_out, float *acc) {
    for (int64_t query = 0; query < n_queries; query++) {
        float *weights = scores + query * scores_stride;
        sum_out[query] = exp_and_sum(weights, n_valid ? n_valid[query] : n, 1, &max_out[query], weights);
    }
    memset(acc, 0, (size_t)n_queries * (size_t)head_dim * sizeof *acc);
    const struct values values = {dtype,    rows,   ahead,         dtype_bytes(dtype, head_dim),
                                  head_dim, scores, scores_stride, acc};
    int tile;
    for (int64_t query = 0; query < n_queries; query += tile) {
        tile = tile_queries(n_queries - query);
        int64_t n_common = n; /* what all queries of the tile see, then what is left of each */
        for (int j = 0; n_valid && j < tile; j++)
            n_common = smaller(n_common, n_valid[query + j]);
        values_add(tile, &values, query, 0, n_common);
        for (int j = 0; n_valid && j < tile; j++)
            values_add(1, &values, query + j, n_common, n_valid[query + j]);
    }
}
