/* kernels/simd_quantized_impl.h - products of packed weights with activations in 8 bits, over the vec16 and
 * dot16 that were included before.
 *
 * A panel's sixteen rows lie in the lanes, so no sum runs across a vector; four columns of x are repeated for
 * all of them. A tile is QUANT_TOKENS x QUANT_PANELS: its tokens share the weights' loads and unpacking, its
 * panels the repetition of x. With one token, panels stream from memory one after the other. */
#pragma once

#include "kernels/packed_impl.h"
#include "kernels/simd_target_impl.h"

static void quantize(const float *x, int64_t row, const struct q8_rows *rows) {
    const int64_t n_blocks = rows->cols / QUANT_BLOCK;
    int8_t *values = rows->values + row * rows->cols;
    float *scales = rows->scales + row * n_blocks;
    int32_t *minus_sums = rows->minus_sums + row * n_blocks;
    for (int64_t b = 0; b < n_blocks; b++, x += QUANT_BLOCK, values += QUANT_BLOCK) {
        const vec16 low = v16_load(x), high = v16_load(x + LANES);
        const float max = float_of_bits(v16_largest_magnitude(low, high));
        if (max >= QUANT_MIN && isfinite(max)) {
            const vec16 inverse = v16_set(127 / max);
            scales[b] = max / 127;
            minus_sums[b] = -(v16_round_to_bytes(v16_mul(low, inverse), values) +
                              v16_round_to_bytes(v16_mul(high, inverse), values + LANES));
        } else {
            scales[b] = isfinite(max) ? 0 : NAN;
            minus_sums[b] = 0;
            memset(values, 0, QUANT_BLOCK);
        }
    }
}

/* What a tile multiplies: records of the first panel from one block on, and x from the same block on. */
struct quant_tile {
    enum dtype dtype;
    const uint8_t *records;
    size_t panel_bytes; /* from one panel to the next */
    const int8_t *values;
    const float *scales;
    const int32_t *minus_sums;
    int64_t cols; /* of x: from one token to the next */
};

/* Word g of a record, of the eight that a block has. */
INLINE bytes64 record_word(enum dtype dtype, const uint8_t *record, int g) {
    const uint8_t *words = record + PACKED_SCALE_BYTES;
    if (dtype == DTYPE_Q8_0) return b64_load(words + g * 64);
    const bytes64 pair = b64_load(words + g % 4 * 64);
    return g < 4 ? b64_low_nibbles(pair) : b64_high_nibbles(pair);
}

INLINE void tile_block_sums(int n_tokens, int n_panels, enum dtype dtype, const struct quant_tile *tile,
                            const uint8_t *record, int64_t b, sums16 *sums) {
    const int64_t n_blocks = tile->cols / QUANT_BLOCK;
#pragma GCC unroll 8
    for (int i = 0; i < n_tokens * n_panels; i++) {
        const int32_t *minus_sum = tile->minus_sums + i / n_panels * n_blocks + b;
        sums[i] = dtype == DTYPE_Q8_0 ? s16_start_bytes(minus_sum) : s16_start_nibbles(minus_sum);
    }
#pragma GCC unroll 8
    for (int g = 0; g < QUANT_BLOCK / 4; g++) {
        bytes64 w[QUANT_PANELS];
#pragma GCC unroll 2
        for (int p = 0; p < n_panels; p++)
            w[p] = record_word(dtype, record + (size_t)p * tile->panel_bytes, g);
#pragma GCC unroll 4
        for (int t = 0; t < n_tokens; t++) {
            const word16 x = w16_broadcast(tile->values + t * tile->cols + b * QUANT_BLOCK + g * 4);
#pragma GCC unroll 2
            for (int p = 0; p < n_panels; p++) {
                sums16 *sum = &sums[t * n_panels + p];
                *sum = dtype == DTYPE_Q8_0 ? s16_add_bytes(*sum, w[p], x) : s16_add_nibbles(*sum, w[p], x);
            }
        }
    }
}

/* dots [n_tokens, QUANT_PANELS * PACKED_ROWS] = the products of n_blocks blocks. */
INLINE void tile_dots_as(int n_tokens, int n_panels, enum dtype dtype, const struct quant_tile *tile,
                         int64_t n_blocks, float *dots) {
    vec16 totals[QUANT_TOKENS * QUANT_PANELS];
    sums16 sums[QUANT_TOKENS * QUANT_PANELS];
    const uint8_t *record = tile->records;
    const size_t record_bytes = PACKED_ROWS * (dtype == DTYPE_Q8_0 ? 34 : 18);
#pragma GCC unroll 8
    for (int i = 0; i < n_tokens * n_panels; i++)
        totals[i] = v16_set(0);
    for (int64_t b = 0; b < n_blocks; b++, record += record_bytes) {
        tile_block_sums(n_tokens, n_panels, dtype, tile, record, b, sums);
#pragma GCC unroll 2
        for (int p = 0; p < n_panels; p++) {
            const vec16 w_scale = v16_load_f16(record + (size_t)p * tile->panel_bytes);
#pragma GCC unroll 4
            for (int t = 0; t < n_tokens; t++) {
                const vec16 x_scale = v16_set(tile->scales[t * (tile->cols / QUANT_BLOCK) + b]);
                vec16 *total = &totals[t * n_panels + p];
                *total = v16_fma(s16_to_float(sums[t * n_panels + p]), v16_mul(w_scale, x_scale), *total);
            }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < n_tokens * n_panels; i++)
        v16_store(dots + (i / n_panels * QUANT_PANELS + i % n_panels) * PACKED_ROWS, totals[i]);
}

INLINE void tile_dots_for(int n_tokens, int n_panels, const struct quant_tile *tile, int64_t n_blocks,
                          float *dots) {
    if (tile->dtype == DTYPE_Q8_0)
        tile_dots_as(n_tokens, n_panels, DTYPE_Q8_0, tile, n_blocks, dots);
    else
        tile_dots_as(n_tokens, n_panels, DTYPE_Q4_0, tile, n_blocks, dots);
}

/* The tile's shape as constants. n_tokens is QUANT_TOKENS or a smaller power of two; one token: one panel. */
static void tile_dots(int n_tokens, int n_panels, const struct quant_tile *tile, int64_t n_blocks,
                      float *dots) {
    const bool full = n_panels == QUANT_PANELS;
    switch (n_tokens) {
    case 1:
        tile_dots_for(1, 1, tile, n_blocks, dots);
        return;
#if QUANT_TOKENS > 2
    case 2:
        if (full)
            tile_dots_for(2, QUANT_PANELS, tile, n_blocks, dots);
        else
            tile_dots_for(2, 1, tile, n_blocks, dots);
        return;
#endif
    default:
        if (full)
            tile_dots_for(QUANT_TOKENS, QUANT_PANELS, tile, n_blocks, dots);
        else
            tile_dots_for(QUANT_TOKENS, 1, tile, n_blocks, dots);
    }
}

/* So many panels at a time stay in the second-level cache while all tokens pass. */
enum { CACHED_PANEL_BYTES = 256 * 1024 };

/* The products of columns [begin, end) of n_panels panels from row `row` on. */
static void tile_multiply(const struct matrix *w, int64_t row, int n_panels, const struct q8_rows *x,
                          int64_t token, int n_tokens, int64_t begin, int64_t end, float *dots) {
    const int64_t n_blocks = x->cols / QUANT_BLOCK, block = begin / QUANT_BLOCK;
    const struct quant_tile tile = {
        .dtype = w->dtype,
        .records = packed_record(w, row, block),
        .panel_bytes = packed_panel_bytes(w->dtype, w->cols),
        .values = x->values + token * x->cols + begin,
        .scales = x->scales + token * n_blocks + block,
        .minus_sums = x->minus_sums + token * n_blocks + block,
        .cols = x->cols,
    };
    tile_dots(n_tokens, n_panels, &tile, (end - begin) / QUANT_BLOCK, dots);
}

static int tokens_of_tile(int64_t n_left) {
    return n_left >= QUANT_TOKENS ? QUANT_TOKENS : n_left >= 2 ? 2 : 1;
}

/* Rows [row_begin, row_end) for one tile of tokens. */
static void multiply_tokens(const struct matrix *w, int64_t row_begin, int64_t row_end, int64_t block,
                            const struct q8_rows *x, int64_t token, int n_tokens,
                            const struct target *target) {
    float dots[QUANT_TOKENS * QUANT_PANELS * PACKED_ROWS];
    const int64_t tile_rows = (n_tokens == 1 ? 1 : QUANT_PANELS) * PACKED_ROWS;
    for (int64_t row = row_begin; row < row_end; row += tile_rows) {
        const int64_t n_rows = smaller(tile_rows, row_end - row);
        const int n_panels = n_rows > PACKED_ROWS ? QUANT_PANELS : 1;
        for (int64_t begin = 0; begin < w->cols; begin += block) {
            const int64_t end = begin + smaller(block, w->cols - begin);
            tile_multiply(w, row, n_panels, x, token, n_tokens, begin, end, dots);
            target_take(target, row, n_rows, token, n_tokens, dots, QUANT_PANELS * PACKED_ROWS);
        }
    }
}

static void multiply_quantized(const struct matrix *w, int64_t row_begin, int64_t row_end, int64_t block,
                               const struct q8_rows *x, int64_t n_tokens, const struct target *target) {
    const int64_t tile_rows = QUANT_PANELS * PACKED_ROWS;
    const int64_t tile_bytes = QUANT_PANELS * (int64_t)packed_panel_bytes(w->dtype, w->cols);
    const int64_t n_tiles = n_tokens == 1 ? w->rows : 1 + CACHED_PANEL_BYTES / (tile_bytes + 1);
    for (int64_t row = row_begin; row < row_end; row += n_tiles * tile_rows) {
        const int64_t end = smaller(row + n_tiles * tile_rows, row_end);
        for (int64_t token = 0, n; token < n_tokens; token += n) {
            n = tokens_of_tile(n_tokens - token);
            multiply_tokens(w, row, end, block, x, token, (int)n, target);
        }
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
