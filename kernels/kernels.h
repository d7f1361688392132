/* kernels/kernels.h - the arithmetic, as one table of functions per instruction set.
 *
 * Every set computes the same bits: a dot product runs in 16 lanes (lane i takes elements i, i+16, …,
 * the tail padded with zeros), each lane a chain of fused multiply-adds in ascending order, and the lanes
 * are added as a tree (l + l+8, l + l+4, l + l+2, l + l+1). So a result depends neither on the machine's
 * vectors nor on how many rows, tokens or threads there are. docs/numerics.md has the whole argument.
 * Only which of the NaNs a NaN is may differ.
 *
 * Memory:  nothing is allocated; under 4 KiB of stack.
 * Threads: functions are pure; callers split rows over threads.
 * Ranks:   local. */
#pragma once

#include <math.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/status.h"
#include "kernels/packed.h"

struct matrix { /* [rows, cols] */
    enum dtype dtype;
    int64_t rows;
    int64_t cols;
    const void *data;  /* float types: row-major, without gaps; quantised types: panels (kernels/packed.h) */
    int64_t first_col; /* `data` holds whole super-blocks: so many columns, a multiple of QUANT_BLOCK, come
                        * before the matrix's first. 0 for types without super-blocks. */
};

/* Columns that `data` holds: those of the matrix and the rest of its first and last super-block. */
int64_t matrix_held_cols(const struct matrix *matrix);

/* Rows of activations in 8 bits, as quantised weights meet them: block by block of QUANT_BLOCK elements,
 * x is about scale * value with scale = max|x| / 127. A block below 2^-100 is all zeros; one with a NaN or an
 * infinity has the scale NaN. */
struct q8_rows { /* [n_rows, cols], cols a multiple of QUANT_BLOCK */
    int64_t cols;
    int8_t *values;
    float *scales;            /* [n_rows, cols / QUANT_BLOCK] */
    int32_t *minus_sums;      /* likewise: minus the sum of the block's values */
    int32_t *minus_half_sums; /* likewise: of its first half */
};

/* The fixed grid of exact sums: an int64 counts units of 2^-34. */
#define EXACT_UNITS_PER_ONE 0x1p34
/* A block's sum at or above this magnitude (or not finite) does not fit the grid. */
#define EXACT_BLOCK_LIMIT 0x1p18f
/* So many blocks may be added to one sum, over all ranks and experts, before it could pass 2^63. */
#define EXACT_BLOCKS_MAX 2048

/* How far exp may be from the true value, in units of the last place. */
#define EXP_ULPS 1.0

/* 1 / sqrt(head_dim), by which attention scales its dot products: whoever computes a score again needs the
 * same bits. */
static inline float attention_scale(int64_t head_dim) {
    return (float)(1 / sqrt((double)head_dim));
}

enum { ATTEND_CHUNK = 128 }; /* list entries of one partial of attention */

struct kernels {
    const char *name; /* "ref", "avx2", "avx512", "neon", "neon_dotprod" */

    /* Weights of a float type: y[t, r] = dot(w[r, :], x[t, :]) for rows [row_begin, row_end) of w.
     * x [n_tokens, x_stride], y [n_tokens, y_stride]; y is indexed by the same r. */
    void (*matmul)(const struct matrix *w, int64_t row_begin, int64_t row_end, const float *x,
                   int64_t x_stride, int64_t n_tokens, float *y, int64_t y_stride);

    /* For each block of `block` columns (the last may be short): sums[t, r] += the block's dot product times
     * scale[t], rounded to the grid (to nearest, ties to even). A block that does not fit adds nothing and
     * counts one in bad[t] (atomically: rows may be split over threads). scale NULL: 1.
     * x [n_tokens, x_stride], sums [n_tokens, sums_stride]. */
    void (*matmul_exact)(const struct matrix *w, int64_t row_begin, int64_t row_end, int64_t block,
                         const float *x, int64_t x_stride, const float *scale, int64_t n_tokens,
                         int64_t *sums, int64_t sums_stride, int64_t *bad);

    /* Row `row` of `rows` = x [rows->cols]. */
    void (*quantize)(const float *x, int64_t row, const struct q8_rows *rows);

    /* The same two products for a quantised matrix: over the blocks of 32 columns, ascending, from +0
     *   dot = fma(sum of weight * value, weight's scale * x's scale, dot)
     * whose integer sum is exact. The K types' scale is d * scale; q6_k takes this step twice a block, for
     * columns 0-15 and 16-31, and q4_k and q5_k take a second one:
     *   dot = fma(min_d * min, x's scale * minus the sum of the values, dot)
     * row_begin is a multiple of PACKED_ROWS, `block` one of QUANT_BLOCK. */
    void (*matmul_quantized)(const struct matrix *w, int64_t row_begin, int64_t row_end,
                             const struct q8_rows *x, int64_t n_tokens, float *y, int64_t y_stride);
    void (*matmul_quantized_exact)(const struct matrix *w, int64_t row_begin, int64_t row_end, int64_t block,
                                   const struct q8_rows *x, const float *scale, int64_t n_tokens,
                                   int64_t *sums, int64_t sums_stride, int64_t *bad);

    /* y[i] = (x[i] * s) * weight[i] with s = 1 / sqrt(mean(x^2) + eps); y may be x. */
    void (*rms_norm)(const float *x, const float *weight, float eps, int64_t n, float *y);

    /* Rotates one head in place, half-split: (x[i], x[i+D/2]) by the angle whose cosine and sine are
     * cos_sin[i], cos_sin[i + D/2]; i < D/2. */
    void (*rope)(float *x, const float *cos_sin, int64_t head_dim);

    /* gate[i] = silu(gate[i]) * up[i], silu(x) = x / (1 + exp(-x)). */
    void (*silu_mul)(float *gate, const float *up, int64_t n);

    /* x[i] += a[i] */
    void (*add)(const float *a, int64_t n, float *x);

    /* x[i] += sums[i] in units of EXACT_UNITS_PER_ONE, rounded to double, then to float. */
    void (*add_exact)(const int64_t *sums, int64_t n, float *x);

    /* Attention scores of n_queries query rows against n keys:
     * scores[j, i] = dot(q[j, :], keys[i]) * scale.  q [n_queries, head_dim], keys: n rows of `dtype`
     * (f32, f16, bf16, Q8_0), scores [n_queries, scores_stride]. A row of keys is read once for all queries.
     * ahead: n rows that will be read next, which are fetched into the cache meanwhile; NULL: none. */
    void (*score)(const float *q, int64_t n_queries, const void *const *keys, const void *const *ahead,
                  enum dtype dtype, int64_t n, int64_t head_dim, float scale, float *scores,
                  int64_t scores_stride);

    /* The same scores, bit for bit, for so many queries that it pays to turn the keys on their side first:
     * columns[i / 16, d, i % 16] = keys[i][d], columns [ceil(n / 16), head_dim, 16]. Up to the next multiple
     * of 16, columns behind n are zeros, and scores behind n are overwritten. */
    void (*turn_keys)(const void *const *keys, enum dtype dtype, int64_t n, int64_t head_dim, float *columns);
    void (*score_columns)(const float *q, int64_t n_queries, const float *columns, int64_t n,
                          int64_t head_dim, float scale, float *scores, int64_t scores_stride);

    /* One chunk's partials of attention, n <= ATTEND_CHUNK. Query j sees the first n_valid[j] <= n entries
     * (NULL: all n); over these
     *   max_out[j] = max score,  sum_out[j] = sum of exp(score - max) in 16 lanes,
     *   acc[j, d]  = sum of exp(score - max) * values[i][d], i ascending.
     * None: -inf, 0, 0. NaNs are not looked at for the maximum, and a maximum of -0 becomes +0.
     * scores [n_queries, scores_stride] are overwritten by the weights; acc [n_queries, head_dim];
     * ahead as above. */
    void (*attend_chunk)(float *scores, int64_t scores_stride, int64_t n_queries, const int32_t *n_valid,
                         const void *const *values, const void *const *ahead, enum dtype dtype, int64_t n,
                         int64_t head_dim, float *max_out, float *sum_out, float *acc);

    /* Merges a partial into a running one: both rescaled to the larger maximum. A sum of 0 is empty, on
     * either side. */
    void (*attend_merge)(float *max, float *sum, float *acc, float part_max, float part_sum,
                         const float *part_acc, int64_t head_dim);

    /* *max_out = max x, as in attend_chunk; *sum_out = sum of exp((x - max) * scale) in 16 lanes. n >= 1. */
    void (*exp_sum)(const float *x, int64_t n, float scale, float *max_out, float *sum_out);

    /* exp, elementwise; y may be x. The one exp of the program: within EXP_ULPS of the true value, 0 below
     * -104, inf above 88.72, NaN for NaN. */
    void (*exp)(const float *x, int64_t n, float *y);

    /* words[i] is the smaller the larger scores[i] is: equal for equal scores (-0 is 0), UINT32_MAX for NaN
     * and for nothing else. */
    void (*words_of_scores)(const float *scores, int64_t n, uint32_t *words);

    /* Indices of the words that are <= limit, ascending; returns how many. indices_out [n], n <= INT32_MAX:
     * what lies behind those returned is overwritten, too. */
    int64_t (*words_at_most)(const uint32_t *words, int64_t n, uint32_t limit, int32_t *indices_out);

    /* Conversions; n a multiple of the dtype's block. store: f32, f16, bf16 and Q8_0 only, to nearest even;
     * Q8_0 as quantize_weights does it. */
    void (*load)(const void *source, enum dtype dtype, int64_t n, float *x);
    void (*store)(const float *x, int64_t n, enum dtype dtype, void *target);
};

/* How far this machine goes: 0 ref; then 1 avx2 (with FMA and F16C), 2 avx512 (F, DQ, BW, VL, VNNI), 3 the
 * same with BF16 on x86-64, 1 neon, 2 neon_dotprod on AArch64. Ranks agree on the lowest. */
int kernels_best_level(void);

/* The table of a level that this machine can run. */
const struct kernels *kernels_at_level(int level);

/* Weights of bf16 with activations that were rounded to bf16: y[t, r] = dot(w[r, :], x[t, :]) in whatever
 * order the machine's instruction adds, x [n_tokens, w->cols], y [n_tokens, y_stride]. No part of the table:
 * other sets have other bits. */
typedef void matmul_bf16(const struct matrix *w, int64_t row_begin, int64_t row_end, const uint16_t *x,
                         int64_t n_tokens, float *y, int64_t y_stride);

/* NULL where the level has no such instruction. */
matmul_bf16 *kernels_matmul_bf16(int level);
