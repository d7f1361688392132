/* kernels/simd_matmul_impl.h - dot products of rows of weights with rows of activations.
 *
 * Work is cut into panels of PANEL_ROWS rows, and these into tiles of TILE_ROWS rows x TILE_TOKENS tokens,
 * whose lanes fill the registers. Weights are converted to f32 on their way through the registers: a tile's
 * tokens share the conversion, and all tokens whose activations fit into a part of the last cache share one
 * read of the panel from memory. */
#pragma once

#include <string.h>

#include "kernels/simd_target_impl.h"

enum {
    PANEL_ROWS = 16,        /* they stay in L2 while the tokens pass */
    TOKENS_BYTES = 4 << 20, /* of activations, which stay in L3 while the panels pass */
    TILE_LANES = (TILE_ROWS * TILE_TOKENS + 3) & ~3 /* lanes are summed four at a time */
};

struct panel {
    enum dtype dtype;
    const uint8_t *rows[PANEL_ROWS]; /* past the last row: the last again, its results unused */
    const float *x;                  /* [n_tokens, x_stride] */
    int64_t x_stride;
    int n_rows, n_tokens; /* <= PANEL_ROWS, <= TILE_TOKENS */
};

/* A tile's loops are unrolled by request: only where every index is a constant do its lanes stay in
 * registers. */

/* tile_add for the columns that are left of pairs. */
INLINE void tile_add_rest(int n_tokens, enum dtype dtype, const uint8_t *const *rows, size_t offset,
                          const float *x, int64_t x_stride, int64_t n, vec16 *lanes) {
    for (int64_t i = 0; i < n; i += LANES, offset += half_pair_bytes(dtype)) {
        vec16 v[TILE_TOKENS];
#pragma GCC unroll 4
        for (int t = 0; t < n_tokens; t++)
            v[t] = v16_load_upto(x + t * x_stride + i, n - i);
#pragma GCC unroll 4
        for (int r = 0; r < TILE_ROWS; r++) {
            const vec16 w = v16_load_upto_as(dtype, rows[r] + offset, n - i);
#pragma GCC unroll 4
            for (int t = 0; t < n_tokens; t++)
                lanes[t * TILE_ROWS + r] = v16_fma(w, v[t], lanes[t * TILE_ROWS + r]);
        }
    }
}

/* lanes[t, r] += n columns of the rows (from their byte `offset`) times those of x. */
INLINE void tile_add(int n_tokens, enum dtype dtype, const uint8_t *const *rows, size_t offset,
                     const float *x, int64_t x_stride, int64_t n, vec16 *lanes) {
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES, offset += pair_bytes(dtype))
#pragma GCC unroll 4
        for (int r = 0; r < TILE_ROWS; r++) {
            vec16 w[2];
            v16_load_pair_as(dtype, rows[r] + offset, w);
#pragma GCC unroll 4
            for (int t = 0; t < n_tokens; t++) {
                const float *v = x + t * x_stride + i;
                vec16 *sum = &lanes[t * TILE_ROWS + r];
                *sum = v16_fma(w[0], v16_load(v), *sum);
                *sum = v16_fma(w[1], v16_load(v + LANES), *sum);
            }
        }
    if (i < n) tile_add_rest(n_tokens, dtype, rows, offset, x + i, x_stride, n - i, lanes);
}

/* panel_dots with the number of tokens and the type as constants. */
INLINE void panel_dots_as(int n_tokens, enum dtype dtype, const struct panel *panel, int64_t begin,
                          int64_t end, float *dots) {
    for (int row = 0; row < panel->n_rows; row += TILE_ROWS) {
        vec16 lanes[TILE_LANES];
#pragma GCC unroll 16
        for (int i = 0; i < TILE_LANES; i++)
            lanes[i] = v16_set(0);
        tile_add(n_tokens, dtype, panel->rows + row, dtype_bytes(dtype, begin), panel->x + begin,
                 panel->x_stride, end - begin, lanes);
        float sums[TILE_LANES];
#pragma GCC unroll 4
        for (int i = 0; i < n_tokens * TILE_ROWS; i += 4)
            v16_sum4(lanes + i, sums + i);
#pragma GCC unroll 16
        for (int i = 0; i < n_tokens * TILE_ROWS; i++)
            dots[i / TILE_ROWS * PANEL_ROWS + row + i % TILE_ROWS] = sums[i];
    }
}

INLINE void panel_dots_for(int n_tokens, const struct panel *panel, int64_t begin, int64_t end, float *dots) {
    switch (panel->dtype) {
    case DTYPE_F16:
        panel_dots_as(n_tokens, DTYPE_F16, panel, begin, end, dots);
        return;
    case DTYPE_BF16:
        panel_dots_as(n_tokens, DTYPE_BF16, panel, begin, end, dots);
        return;
    default:
        panel_dots_as(n_tokens, DTYPE_F32, panel, begin, end, dots);
    }
}

/* dots [n_tokens, PANEL_ROWS] = the products of columns [begin, end). */
static void panel_dots(const struct panel *panel, int64_t begin, int64_t end, float *dots) {
    switch (panel->n_tokens) {
    case 1:
        panel_dots_for(1, panel, begin, end, dots);
        return;
    case 2:
        panel_dots_for(2, panel, begin, end, dots);
        return;
#if TILE_TOKENS > 3
    case 3:
        panel_dots_for(3, panel, begin, end, dots);
        return;
#endif
    default:
        panel_dots_for(TILE_TOKENS, panel, begin, end, dots);
    }
}

/* The panel of w's rows from `row` on, no further than row_end. One tile of tokens does not come back to the
 * rows, and then fewer rows at a time are fewer streams to fetch ahead. */
static struct panel panel_of(const struct matrix *w, int64_t row, int64_t row_end, int64_t n_tokens) {
    const int64_t n_rows = n_tokens > TILE_TOKENS ? PANEL_ROWS : PANEL_ROWS / 2;
    const size_t row_bytes = dtype_bytes(w->dtype, w->cols);
    struct panel panel = {.dtype = w->dtype, .n_rows = (int)smaller(n_rows, row_end - row)};
    for (int64_t r = 0; r < PANEL_ROWS; r++)
        panel.rows[r] = (const uint8_t *)w->data + (size_t)(row + smaller(r, panel.n_rows - 1)) * row_bytes;
    return panel;
}

static void panel_set_tokens(struct panel *panel, const float *x, int64_t x_stride, int64_t token,
                             int64_t n_tokens) {
    panel->x = x + token * x_stride;
    panel->x_stride = x_stride;
    panel->n_tokens = (int)smaller(TILE_TOKENS, n_tokens - token);
}

/* Of a panel, for tokens [token, token_end), block by block of `block` columns. */
static void multiply_panel(struct panel *panel, const struct matrix *w, int64_t row, int64_t block,
                           const float *x, int64_t x_stride, int64_t token, int64_t token_end,
                           const struct target *target) {
    float dots[TILE_TOKENS * PANEL_ROWS];
    for (; token < token_end; token += TILE_TOKENS) {
        panel_set_tokens(panel, x, x_stride, token, token_end);
        for (int64_t begin = 0; begin < w->cols; begin += block) {
            panel_dots(panel, begin, begin + smaller(block, w->cols - begin), dots);
            target_take(target, row, panel->n_rows, token, panel->n_tokens, dots, PANEL_ROWS);
        }
    }
}

static void multiply(const struct matrix *w, int64_t row_begin, int64_t row_end, int64_t block,
                     const float *x, int64_t x_stride, int64_t n_tokens, const struct target *target) {
    const int64_t at_once =
        (TOKENS_BYTES / (int64_t)sizeof *x / (w->cols + 1) / TILE_TOKENS + 1) * TILE_TOKENS;
    struct panel panel;
    for (int64_t token = 0; token < n_tokens; token += at_once) {
        const int64_t token_end = token + smaller(at_once, n_tokens - token);
        for (int64_t row = row_begin; row < row_end; row += panel.n_rows) {
            panel = panel_of(w, row, row_end, token_end - token);
            multiply_panel(&panel, w, row, block, x, x_stride, token, token_end, target);
        }
    }
}

static void matmul(const struct matrix *w, int64_t row_begin, int64_t row_end, const float *x,
                   int64_t x_stride, int64_t n_tokens, float *y, int64_t y_stride) {
    const struct target target = {.y = y, .stride = y_stride};
    multiply(w, row_begin, row_end, w->cols, x, x_stride, n_tokens, &target);
}

static void matmul_exact(const struct matrix *w, int64_t row_begin, int64_t row_end, int64_t block,
                         const float *x, int64_t x_stride, const float *scale, int64_t n_tokens,
                         int64_t *sums, int64_t sums_stride, int64_t *bad) {
    const struct target target = {.sums = sums, .stride = sums_stride, .scale = scale, .bad = bad};
    multiply(w, row_begin, row_end, block, x, x_stride, n_tokens, &target);
}
