/* kernels/avx512_bf16.c - products of bf16 weights and bf16 activations with vdpbf16ps, which adds two
 * products to each lane: twice the arithmetic of f32, and no conversion. Tiles as in simd_matmul_impl.h. */
#include "kernels/kernels_impl.h"
#include "kernels/vec16_avx512_impl.h"

enum {
    BF16_ROWS = 4,
    BF16_TOKENS = 5,
    BF16_STEP = 32,            /* columns of a vector */
    BF16_PANEL_ROWS = 16,      /* they stay in L2 while the tokens pass */
    BF16_TOKEN_BYTES = 4 << 20 /* of activations, which stay in L3 while the panels pass */
};

struct tile {
    const uint16_t *rows[BF16_ROWS]; /* past the last row: the last again, its results unused */
    const uint16_t *x;               /* [n_tokens, cols] */
    int64_t cols;
    int n_rows, n_tokens;
};

INLINE __m512bh load_columns(const uint16_t *source, __mmask32 columns) {
    return (__m512bh)_mm512_maskz_loadu_epi16(columns, source);
}

/* lanes[t, r] += the products of one vector's columns. */
INLINE void tile_add(int n_tokens, const struct tile *tile, int64_t col, __mmask32 columns, vec16 *lanes) {
    __m512bh x[BF16_TOKENS];
#pragma GCC unroll 5
    for (int t = 0; t < n_tokens; t++)
        x[t] = load_columns(tile->x + t * tile->cols + col, columns);
#pragma GCC unroll 4
    for (int r = 0; r < BF16_ROWS; r++) {
        const __m512bh w = load_columns(tile->rows[r] + col, columns);
#pragma GCC unroll 5
        for (int t = 0; t < n_tokens; t++)
            lanes[t * BF16_ROWS + r] = _mm512_dpbf16_ps(lanes[t * BF16_ROWS + r], w, x[t]);
    }
}

/* y [n_tokens, y_stride]; the number of tokens is a constant, so that the lanes stay in registers. */
INLINE void tile_multiply_for(int n_tokens, const struct tile *tile, float *y, int64_t y_stride) {
    vec16 lanes[BF16_TOKENS * BF16_ROWS];
#pragma GCC unroll 20
    for (int i = 0; i < BF16_TOKENS * BF16_ROWS; i++)
        lanes[i] = v16_set(0);
    int64_t col = 0;
    for (; col + BF16_STEP <= tile->cols; col += BF16_STEP)
        tile_add(n_tokens, tile, col, 0xffffffff, lanes);
    if (col < tile->cols) tile_add(n_tokens, tile, col, ~(0xffffffffu << (tile->cols - col)), lanes);
#pragma GCC unroll 5
    for (int t = 0; t < n_tokens; t++) {
        float sums[BF16_ROWS];
        v16_sum4(lanes + t * BF16_ROWS, sums);
        memcpy(y + t * y_stride, sums, (size_t)tile->n_rows * sizeof *sums);
    }
}

static void tile_multiply(const struct tile *tile, float *y, int64_t y_stride) {
    switch (tile->n_tokens) {
    case 1:
        tile_multiply_for(1, tile, y, y_stride);
        return;
    case 2:
        tile_multiply_for(2, tile, y, y_stride);
        return;
    case 3:
        tile_multiply_for(3, tile, y, y_stride);
        return;
    case 4:
        tile_multiply_for(4, tile, y, y_stride);
        return;
    default:
        tile_multiply_for(BF16_TOKENS, tile, y, y_stride);
    }
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static void multiply_panel(const struct matrix *w, int64_t row, int64_t row_end, const uint16_t *x,
                           int64_t n_tokens, float *y, int64_t y_stride) {
    for (int64_t token = 0; token < n_tokens; token += BF16_TOKENS)
        for (int64_t r = row; r < row_end; r += BF16_ROWS) {
            struct tile tile = {.x = x + token * w->cols,
                                .cols = w->cols,
                                .n_rows = (int)smaller(BF16_ROWS, row_end - r),
                                .n_tokens = (int)smaller(BF16_TOKENS, n_tokens - token)};
            for (int i = 0; i < BF16_ROWS; i++)
                tile.rows[i] = (const uint16_t *)w->data + (r + smaller(i, tile.n_rows - 1)) * w->cols;
            tile_multiply(&tile, y + token * y_stride + r, y_stride);
        }
}

void avx512_matmul_bf16(const struct matrix *w, int64_t row_begin, int64_t row_end, const uint16_t *x,
                        int64_t n_tokens, float *y, int64_t y_stride) {
    const int64_t at_once =
        (BF16_TOKEN_BYTES / (int64_t)sizeof *x / (w->cols + 1) / BF16_TOKENS + 1) * BF16_TOKENS;
    for (int64_t token = 0; token < n_tokens; token += at_once)
        for (int64_t row = row_begin; row < row_end; row += BF16_PANEL_ROWS)
            multiply_panel(w, row, smaller(row + BF16_PANEL_ROWS, row_end), x + token * w->cols,
                           smaller(at_once, n_tokens - token), y + token * y_stride, y_stride);
}
