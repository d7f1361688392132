/* kernels/simd_columns_impl.h - scores of many queries against the same keys.
 *
 * With the keys on their side, sixteen of them lie in the lanes of a vector, and what are lanes in the
 * definition of a dot product are sixteen vectors here: their tree needs no shuffles. A tile goes through the
 * tree depth first, so that few of its sums are alive at a time. */
#pragma once

#include "kernels/simd_attend_impl.h"

/* Queries of a tile: each has a sum for a lane and one for every height of the tree. */
enum { COLUMN_QUERIES = ATTEND_SUMS / 4 };

/* Sixteen dimensions of sixteen rows; of those behind n_rows, zeros. */
INLINE void turn_tile(enum dtype dtype, const void *const *rows, int64_t n_rows, int64_t d, int64_t n_dims,
                      float *columns) {
    float tile[LANES][LANES];
    for (int64_t r = 0; r < LANES; r++)
        v16_store(tile[r], r < n_rows ? row_load(dtype, rows[r], d, 0, n_dims) : v16_set(0));
    for (int64_t c = 0; c < smaller(LANES, n_dims); c++)
        for (int64_t r = 0; r < LANES; r++)
            columns[c * LANES + r] = tile[r][c];
}

INLINE void turn_keys_as(enum dtype dtype, const void *const *keys, int64_t n, int64_t head_dim,
                         float *columns) {
    for (int64_t i = 0; i < n; i += LANES)
        for (int64_t d = 0; d < head_dim; d += LANES)
            turn_tile(dtype, keys + i, n - i, d, head_dim - d, columns + i * head_dim + d * LANES);
}

static void turn_keys(const void *const *keys, enum dtype dtype, int64_t n, int64_t head_dim,
                      float *columns) {
    switch (dtype) {
    case DTYPE_F16:
        turn_keys_as(DTYPE_F16, keys, n, head_dim, columns);
        return;
    case DTYPE_BF16:
        turn_keys_as(DTYPE_BF16, keys, n, head_dim, columns);
        return;
    case DTYPE_Q8_0:
        turn_keys_as(DTYPE_Q8_0, keys, n, head_dim, columns);
        return;
    default:
        turn_keys_as(DTYPE_F32, keys, n, head_dim, columns);
    }
}

/* sums[j] = lane `lane` of the products of query j and sixteen keys. */
INLINE void column_lane(int n_queries, const float *q, const float *columns, int64_t head_dim, int64_t lane,
                        vec16 *sums) {
#pragma GCC unroll 4
    for (int j = 0; j < n_queries; j++)
        sums[j] = v16_set(0);
    int64_t d = lane;
    for (; d < head_dim; d += LANES) {
        const vec16 keys = v16_load(columns + d * LANES);
#pragma GCC unroll 4
        for (int j = 0; j < n_queries; j++)
            sums[j] = v16_fma(keys, v16_set(q[j * head_dim + d]), sums[j]);
    }
    if (d - lane < head_dim) /* the padding of the last sixteen dimensions: -0 becomes +0 */
#pragma GCC unroll 4
        for (int j = 0; j < n_queries; j++)
            sums[j] = v16_fma(v16_set(0), v16_set(0), sums[j]);
}

/* Scores of n_queries queries and sixteen keys. */
INLINE void column_tile(int n_queries, const float *q, const float *columns, int64_t head_dim, float scale,
                        float *scores, int64_t scores_stride) {
    static const int64_t order[LANES] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};
    vec16 sums[COLUMN_QUERIES], heights[4][COLUMN_QUERIES]; /* 2, 4, 8 lanes and all before this one */
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) {
        column_lane(n_queries, q, columns, head_dim, order[i], sums);
#pragma GCC unroll 4
        for (int height = 0; height < 4; height++) {
            const bool full = (i >> height & 1) != 0, below = (i & ((1 << height) - 1)) == (1 << height) - 1;
#pragma GCC unroll 4
            for (int j = 0; j < n_queries; j++) {
                if (below && full) sums[j] = v16_add(heights[height][j], sums[j]);
                if (below && !full) heights[height][j] = sums[j];
            }
        }
    }
#pragma GCC unroll 4
    for (int j = 0; j < n_queries; j++)
        v16_store(scores + j * scores_stride, v16_mul(sums[j], v16_set(scale)));
}

static void score_columns(const float *q, int64_t n_queries, const float *columns, int64_t n,
                          int64_t head_dim, float scale, float *scores, int64_t scores_stride) {
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t query = 0;
        for (; query + COLUMN_QUERIES <= n_queries; query += COLUMN_QUERIES)
            column_tile(COLUMN_QUERIES, q + query * head_dim, columns + i * head_dim, head_dim, scale,
                        scores + query * scores_stride + i, scores_stride);
        for (; query < n_queries; query++)
            column_tile(1, q + query * head_dim, columns + i * head_dim, head_dim, scale,
                        scores + query * scores_stride + i, scores_stride);
    }
}
