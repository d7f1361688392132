/* kernels/simd_attend_impl.h - attention of the query heads that share one KV head.
 *
 * Rows of keys and values are scattered over pages, so they come as pointers and are prefetched by hand. */
#pragma once

#include <string.h>

#include "kernels/simd_matmul_impl.h"

enum { CACHE_LINE = 64, PREFETCH_ROWS = 16, ATTEND_QUERIES = 4 };

INLINE void prefetch(const void *row, size_t row_bytes) {
    for (size_t byte = 0; byte < row_bytes; byte += CACHE_LINE)
        __builtin_prefetch((const uint8_t *)row + byte);
}

static void score(const float *q, int64_t n_queries, const void *const *keys, enum dtype dtype, int64_t n,
                  int64_t head_dim, float scale, float *scores, int64_t scores_stride) {
    float dots[TILE_TOKENS * PANEL_ROWS];
    const size_t row_bytes = dtype_bytes(dtype, head_dim);
    struct panel panel = {.dtype = dtype};
    for (int64_t key = 0; key < n; key += PANEL_ROWS) {
        panel.n_rows = (int)smaller(PANEL_ROWS, n - key);
        for (int64_t i = 0; i < PANEL_ROWS; i++)
            panel.rows[i] = keys[key + smaller(i, panel.n_rows - 1)];
        for (int64_t i = key + PREFETCH_ROWS; i < smaller(key + PREFETCH_ROWS + PANEL_ROWS, n); i++)
            prefetch(keys[i], row_bytes);
        for (int64_t query = 0; query < n_queries; query += TILE_TOKENS) {
            panel_set_tokens(&panel, q, head_dim, query, n_queries);
            panel_dots(&panel, 0, head_dim, dots);
            for (int64_t j = 0; j < panel.n_tokens; j++)
                for (int64_t i = 0; i < panel.n_rows; i++)
                    scores[(query + j) * scores_stride + key + i] = dots[j * PANEL_ROWS + i] * scale;
        }
    }
}

/* The rows of one call's values and where its queries' weights and sums are. */
struct values {
    enum dtype dtype;
    const void *const *rows;
    int64_t head_dim;
    const float *weights; /* [n_queries, weights_stride] */
    int64_t weights_stride;
    float *acc; /* [n_queries, head_dim] */
};

/* acc[query + j, d …] += weights x rows [begin, end), for n_queries queries and n_vecs vectors of
 * dimensions, of which n_left are left: only a lone vector may be cut short. */
INLINE void values_tile(int n_queries, int n_vecs, enum dtype dtype, const struct values *values,
                        int64_t query, int64_t begin, int64_t end, int64_t d, int64_t n_left) {
    const size_t element_bytes = dtype == DTYPE_F32 ? 4 : 2;
    const int64_t head_dim = values->head_dim;
    const float *weights = values->weights + query * values->weights_stride;
    float *acc = values->acc + query * head_dim + d;
    vec16 sums[ATTEND_SUMS];
#pragma GCC unroll 16
    for (int i = 0; i < n_queries * n_vecs; i++)
        sums[i] = v16_load_upto(acc + i / n_vecs * head_dim + i % n_vecs * LANES, n_left);
    for (int64_t i = begin; i < end; i++) {
        if (d == 0 && i + PREFETCH_ROWS < end)
            prefetch(values->rows[i + PREFETCH_ROWS], (size_t)head_dim * element_bytes);
        const uint8_t *row = (const uint8_t *)values->rows[i] + (size_t)d * element_bytes;
#pragma GCC unroll 4
        for (int v = 0; v < n_vecs; v++) {
            const vec16 value = v16_load_upto_as(dtype, row + (size_t)v * LANES * element_bytes, n_left);
#pragma GCC unroll 4
            for (int j = 0; j < n_queries; j++) {
                const vec16 weight = v16_set(weights[j * values->weights_stride + i]);
                sums[j * n_vecs + v] = v16_fma(weight, value, sums[j * n_vecs + v]);
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < n_queries * n_vecs; i++)
        v16_store_upto(acc + i / n_vecs * head_dim + i % n_vecs * LANES, n_left, sums[i]);
}

INLINE void values_add_as(int n_queries, enum dtype dtype, const struct values *values, int64_t query,
                          int64_t begin, int64_t end) {
    const int n_vecs = ATTEND_SUMS / n_queries < 4 ? ATTEND_SUMS / n_queries : 4;
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
    default:
        values_add_as(n_queries, DTYPE_F32, values, query, begin, end);
    }
}

/* n_queries is ATTEND_QUERIES, 2 or 1. */
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
                         const void *const *rows, enum dtype dtype, int64_t n, int64_t head_dim,
                         float *max_out, float *sum_out, float *acc) {
    for (int64_t query = 0; query < n_queries; query++) {
        float *weights = scores + query * scores_stride;
        sum_out[query] = exp_and_sum(weights, n_valid ? n_valid[query] : n, 1, &max_out[query], weights);
    }
    memset(acc, 0, (size_t)n_queries * (size_t)head_dim * sizeof *acc);
    const struct values values = {dtype, rows, head_dim, scores, scores_stride, acc};
    int tile;
    for (int64_t query = 0; query < n_queries; query += tile) {
        const int64_t left = n_queries - query;
        tile = left >= ATTEND_QUERIES ? ATTEND_QUERIES : left >= 2 ? 2 : 1;
        int64_t n_common = n; /* what all queries of the tile see, then what is left of each */
        for (int j = 0; n_valid && j < tile; j++)
            n_common = smaller(n_common, n_valid[query + j]);
        values_add(tile, &values, query, 0, n_common);
        for (int j = 0; n_valid && j < tile; j++)
            values_add(1, &values, query + j, n_common, n_valid[query + j]);
    }
}
