/* kernels/simd_quantized_impl.h - products of packed weights with activations in 8 bits, over the vec16 and
 * dot16 that were included before.
 *
 * A panel's sixteen rows lie in the lanes, so no sum runs across a vector; four columns of x are repeated for
 * all of them. A tile is QUANT_TOKENS x QUANT_PANELS: its tokens share the weights' loads and unpacking, its
 * panels the repetition of x. With one token, panels stream from memory one after the other. */
#pragma once

#include "kernels/simd_quant_block_impl.h"

static void quantize(const float *x, int64_t row, const struct q8_rows *rows) {
    const int64_t n_blocks = rows->cols / QUANT_BLOCK;
    int8_t *values = rows->values + row * rows->cols;
    float *scales = rows->scales + row * n_blocks;
    int32_t *minus_sums = rows->minus_sums + row * n_blocks;
    int32_t *minus_half_sums = rows->minus_half_sums + row * n_blocks;
    for (int64_t b = 0; b < n_blocks; b++, x += QUANT_BLOCK, values += QUANT_BLOCK) {
        const vec16 low = v16_load(x), high = v16_load(x + LANES);
        const float max = float_of_bits(v16_largest_magnitude(low, high));
        if (max >= QUANT_MIN && isfinite(max)) {
            const vec16 inverse = v16_set(127 / max);
            scales[b] = max / 127;
            minus_half_sums[b] = -v16_round_to_bytes(v16_mul(low, inverse), values);
            minus_sums[b] = minus_half_sums[b] - v16_round_to_bytes(v16_mul(high, inverse), values + LANES);
        } else {
            scales[b] = isfinite(max) ? 0 : NAN;
            minus_sums[b] = minus_half_sums[b] = 0;
            memset(values, 0, QUANT_BLOCK);
        }
    }
}

/* Rows from `row` on (n_panels of them times sixteen), n_tokens tokens: product after product. */
INLINE void multiply_tile_as(int n_tokens, int n_panels, enum dtype dtype, const struct quant_job *job,
                             int64_t row, int64_t token) {
    const uint8_t *panel = (const uint8_t *)job->w->data + (size_t)(row / PACKED_ROWS) * job->panel_bytes;
    vec16 totals[QUANT_TOKENS * QUANT_PANELS];
    for (int64_t b = 0; b < job->n_blocks;) {
        const int64_t end = smaller(b + job->blocks_at_a_time, job->n_blocks);
#pragma GCC unroll 8
        for (int i = 0; i < n_tokens * n_panels; i++)
            totals[i] = v16_set(0);
        for (; b < end; b++)
            tile_add_block(n_tokens, n_panels, dtype, job, panel, token, b, totals);
#pragma GCC unroll 8
        for (int i = 0; i < n_tokens * n_panels; i++) {
            const int64_t first = row + i % n_panels * PACKED_ROWS;
            target_take_lanes(job->target, first, job->row_end - first, token + i / n_panels, totals[i]);
        }
    }
}

/* The type as a constant. Not inlined further: a tile's registers are its own. */
#define DEFINE_MULTIPLY_TILE(n_tokens, n_panels)                                                             \
    static __attribute__((noinline)) void multiply_tile_##n_tokens##x##n_panels(                             \
        const struct quant_job *job, int64_t row, int64_t token) {                                           \
        switch (job->w->dtype) {                                                                             \
        case DTYPE_Q4_0:                                                                                     \
            multiply_tile_as(n_tokens, n_panels, DTYPE_Q4_0, job, row, token);                               \
            return;                                                                                          \
        case DTYPE_Q4_K:                                                                                     \
            multiply_tile_as(n_tokens, n_panels, DTYPE_Q4_K, job, row, token);                               \
            return;                                                                                          \
        case DTYPE_Q5_K:                                                                                     \
            multiply_tile_as(n_tokens, n_panels, DTYPE_Q5_K, job, row, token);                               \
            return;                                                                                          \
        case DTYPE_Q6_K:                                                                                     \
            multiply_tile_as(n_tokens, n_panels, DTYPE_Q6_K, job, row, token);                               \
            return;                                                                                          \
        default:                                                                                             \
            multiply_tile_as(n_tokens, n_panels, DTYPE_Q8_0, job, row, token);                               \
        }                                                                                                    \
    }
DEFINE_MULTIPLY_TILE(1, 1)
DEFINE_MULTIPLY_TILE(2, 1)
#if QUANT_TOKENS == 4
DEFINE_MULTIPLY_TILE(4, 1)
#endif
#if QUANT_PANELS == 2
DEFINE_MULTIPLY_TILE(2, 2)
#endif
#if QUANT_TOKENS == 4 && QUANT_PANELS == 2
DEFINE_MULTIPLY_TILE(4, 2)
#endif

typedef void multiply_tile(const struct quant_job *job, int64_t row, int64_t token);

/* n_tokens: 1, 2 or 4, at most QUANT_TOKENS; one token takes one panel at a time. */
static multiply_tile *tile_of(int64_t n_tokens, int64_t n_panels) {
    if (n_tokens == 1) return multiply_tile_1x1;
#if QUANT_TOKENS == 4
    if (n_tokens == 4 && n_panels == 1) return multiply_tile_4x1;
#endif
#if QUANT_TOKENS == 4 && QUANT_PANELS == 2
    if (n_tokens == 4) return multiply_tile_4x2;
#endif
#if QUANT_PANELS == 2
    if (n_panels == 2) return multiply_tile_2x2;
#endif
    (void)n_panels;
    return multiply_tile_2x1;
}

/* So many bytes of panels at a time stay in the second-level cache while all tokens pass. */
enum { CACHED_PANEL_BYTES = 256 * 1024 };

static int64_t tokens_of_tile(int64_t n_left) {
    return n_left >= QUANT_TOKENS ? QUANT_TOKENS : n_left >= 2 ? 2 : 1;
}

/* Rows [row, row_end) for one tile of tokens. */
static void multiply_tokens(const struct quant_job *job, int64_t row, int64_t row_end, int64_t token,
                            int64_t n_tokens) {
    const int64_t most = n_tokens == 1 ? 1 : QUANT_PANELS;
    for (int64_t n_panels; row < row_end; row += n_panels * PACKED_ROWS) {
        n_panels = smaller(most, packed_panels(row_end - row));
        tile_of(n_tokens, n_panels)(job, row, token);
    }
}

static void multiply_quantized(const struct matrix *w, int64_t row_begin, int64_t row_end, int64_t block,
                               const struct q8_rows *x, int64_t n_tokens, const struct target *target) {
    const struct quant_job job = {
        .w = w,
        .x = x,
        .target = target,
        .row_end = row_end,
        .n_blocks = x->cols / QUANT_BLOCK,
        .blocks_at_a_time = block / QUANT_BLOCK,
        .first_block = w->first_col / QUANT_BLOCK,
        .panel_bytes = matrix_panel_bytes(w),
    };
    const int64_t n_panels = 1 + CACHED_PANEL_BYTES / ((int64_t)job.panel_bytes + 1);
    const int64_t n_rows = n_tokens == 1 ? w->rows : (n_panels + 1) / 2 * 2 * PACKED_ROWS;
    for (int64_t row = row_begin; row < row_end; row += n_rows)
        for (int64_t token = 0, n; token < n_tokens; token += n) {
            n = tokens_of_tile(n_tokens - token);
            multiply_tokens(&job, row, smaller(row + n_rows, row_end), token, n);
        }
}

static void matmul_quantized(const struct matrix *w, int64_t row_begin, int64_t row_end,
                             const struct q8_rows *x, int64_t n_tokens, float *y, int64_t y_stride) {
    const struct target target = {.y = y, .stride = y_stride};
    multiply_quantized(w, row_begin, row_end, w->cols, x, n_tokens, &target);
}

static void matmul_quantized_exact(const struct matrix *w, int64_t row_begin, int64_t row_end, int64_t block,
                                   const struct q8_rows *x, const float *scale, int64_t n_tokens,
                                   int64_t *sums, int64_t sums_stride, int64_t *bad) {
    const struct target target = {.sums = sums, .stride = sums_stride, .scale = scale, .bad = bad};
    multiply_quantized(w, row_begin, row_end, block, x, n_tokens, &target);
}
