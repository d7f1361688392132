/* Packed weights and activations in 8 bits: packing loses nothing, every set has ref's bits, ref is the true
 * product of what was quantised, and no result depends on how rows, tokens or columns are split. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernel_cases.h"
#include "kernels/packed_impl.h"

static const enum dtype packed_types[] = {DTYPE_Q8_0, DTYPE_Q4_0, DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K};
static const enum dtype quantized_to[] = {DTYPE_Q8_0, DTYPE_Q4_0}; /* while loading */
enum {
    N_PACKED_TYPES = sizeof packed_types / sizeof *packed_types,
    N_QUANTIZED_TO = sizeof quantized_to / sizeof *quantized_to
};

struct product_case {
    struct matrix w;
    uint8_t *blocks; /* the same in ggml's order: all columns that the matrix holds */
    struct q8_rows x;
    float *x_floats;
    int64_t n_tokens;
};

static int64_t block_of(enum dtype dtype) {
    return dtype_layout(dtype)->block_elements;
}

/* The scales and mins of q4_k and q5_k, as eight numbers of 6 bits each in twelve bytes. */
static int six_bits_of(const uint8_t *packed, int i, bool min) {
    const int place = min ? i + 4 : i;
    if (i < 4) return packed[place] % 64;
    return (min ? packed[i + 4] / 16 : packed[i + 4] % 16) + packed[place - 4] / 64 * 16;
}

/* Weight i of a super-block, element by element. */
static float k_weight(enum dtype dtype, const uint8_t *block, int i) {
    if (dtype == DTYPE_Q6_K) {
        const int half = i / 128, j = i % 128, byte = block[half * 64 + j % 64];
        const int high = block[128 + half * 32 + j % 32] / (1 << j / 32 * 2) % 4;
        const int value = (j < 64 ? byte % 16 : byte / 16) + 16 * high - 32;
        const float scale = float_of_f16(read_u16(block + 208)) * (float)(int8_t)block[192 + i / 16];
        return scale * (float)value;
    }
    const uint8_t *nibbles = block + (dtype == DTYPE_Q5_K ? 48 : 16);
    const int byte = nibbles[i / 64 * 32 + i % 32];
    int value = i % 64 < 32 ? byte % 16 : byte / 16;
    if (dtype == DTYPE_Q5_K) value += 16 * (block[16 + i % 32] / (1 << i / 32) % 2);
    const float scale = float_of_f16(read_u16(block)) * (float)six_bits_of(block + 4, i / 32, false);
    const float min = float_of_f16(read_u16(block + 2)) * (float)six_bits_of(block + 4, i / 32, true);
    return scale * (float)value - min;
}

static struct matrix pack(enum dtype dtype, const uint8_t *blocks, int64_t rows, int64_t first_col,
                          int64_t cols) {
    struct matrix w = {dtype, rows, cols, NULL, first_col};
    const int64_t held = matrix_held_cols(&w);
    const size_t panel_bytes = packed_panel_bytes(dtype, held), row_bytes = dtype_bytes(dtype, held);
    uint8_t *panels = must_have((size_t)packed_panels(rows) * panel_bytes);
    for (int64_t p = 0; p < packed_panels(rows); p++) {
        const int64_t left = rows - p * PACKED_ROWS;
        pack_panel(dtype, blocks + (size_t)(p * PACKED_ROWS) * row_bytes, row_bytes,
                   left < PACKED_ROWS ? left : PACKED_ROWS, held, panels + (size_t)p * panel_bytes);
    }
    w.data = panels;
    return w;
}

static struct q8_rows new_q8_rows(int64_t n, int64_t cols) {
    return (struct q8_rows){
        .cols = cols,
        .values = must_have((size_t)(n * cols)),
        .scales = must_have((size_t)(n * cols / QUANT_BLOCK) * sizeof(float)),
        .minus_sums = must_have((size_t)(n * cols / QUANT_BLOCK) * sizeof(int32_t)),
        .minus_half_sums = must_have((size_t)(n * cols / QUANT_BLOCK) * sizeof(int32_t)),
    };
}

static void free_q8_rows(struct q8_rows *rows) {
    free(rows->values);
    free(rows->scales);
    free(rows->minus_sums);
    free(rows->minus_half_sums);
}

static struct product_case case_create(struct draw *draw, enum dtype dtype, enum flavour flavour,
                                       int64_t rows, int64_t first_col, int64_t cols, int64_t n_tokens) {
    struct product_case c = {.n_tokens = n_tokens, .x = new_q8_rows(n_tokens, cols)};
    const struct matrix shape = {dtype, rows, cols, NULL, first_col};
    const int64_t held = matrix_held_cols(&shape);
    c.blocks = must_have(dtype_bytes(dtype, rows * held));
    draw_weights(draw, flavour, dtype, rows * held, c.blocks);
    c.w = pack(dtype, c.blocks, rows, first_col, cols);
    c.x_floats = must_have((size_t)(n_tokens * cols) * sizeof(float));
    draw_floats(draw, flavour, n_tokens * cols, c.x_floats);
    for (int64_t token = 0; token < n_tokens; token++)
        kernels_at_level(0)->quantize(c.x_floats + token * cols, token, &c.x);
    return c;
}

/* Where a part begins in its first super-block. */
static int64_t draw_first_col(struct draw *draw, enum dtype dtype) {
    return QUANT_BLOCK * draw_between(draw, 0, block_of(dtype) / QUANT_BLOCK - 1);
}

static void case_free(struct product_case *c) {
    free((void *)(uintptr_t)c->w.data);
    free(c->blocks);
    free(c->x_floats);
    free_q8_rows(&c->x);
}

/* The weights of a row as ggml's blocks have them. */
static void row_of_blocks(const struct product_case *c, int64_t row, float *weights) {
    const int64_t held = matrix_held_cols(&c->w);
    const uint8_t *blocks = c->blocks + (size_t)row * dtype_bytes(c->w.dtype, held);
    if (block_of(c->w.dtype) == QUANT_BLOCK) {
        kernels_at_level(0)->load(blocks, c->w.dtype, held, weights);
        return;
    }
    for (int64_t col = 0; col < c->w.cols; col++) {
        const int64_t i = c->w.first_col + col;
        weights[col] = k_weight(c->w.dtype, blocks + dtype_bytes(c->w.dtype, i / SUPER_BLOCK * SUPER_BLOCK),
                                (int)(i % SUPER_BLOCK));
    }
}

static void packing_keeps_every_weight(void **state) {
    (void)state;
    struct draw draw = {.seed = 11};
    for (int i = 0; i < N_PACKED_TYPES; i++)
        for (int64_t rows = 1; rows < 40; rows += 7) {
            const int64_t cols = QUANT_BLOCK * draw_between(&draw, 1, 20);
            struct product_case c = case_create(&draw, packed_types[i], FLAVOUR_SPECIAL, rows,
                                                draw_first_col(&draw, packed_types[i]), cols, 1);
            float *expected = must_have((size_t)cols * sizeof *expected);
            float *actual = must_have((size_t)cols * sizeof *actual);
            for (int64_t row = 0; row < rows; row++) {
                row_of_blocks(&c, row, expected);
                for (int64_t col = 0; col < cols; col++) {
                    actual[col] = (float)packed_value(&c.w, row, col) * packed_scale(&c.w, row, col);
                    if (packed_has_mins(c.w.dtype)) actual[col] -= packed_min(&c.w, row, col);
                }
                assert_same_bits(expected, actual, cols, "packed weights");
            }
            free(expected);
            free(actual);
            case_free(&c);
        }
}

static void super_blocks_are_loaded_as_ggml_defines_them(void **state) {
    (void)state;
    struct draw draw = {.seed = 18};
    enum { N = 3 * SUPER_BLOCK };
    uint8_t blocks[3 * 210];
    float expected[N], actual[N];
    for (int i = 0; i < 100; i++) {
        const enum dtype dtype = packed_types[2 + i % 3];
        draw_weights(&draw, (enum flavour)(i % FLAVOUR_COUNT), dtype, N, blocks);
        for (int j = 0; j < N; j++)
            expected[j] =
                k_weight(dtype, blocks + dtype_bytes(dtype, j / SUPER_BLOCK * SUPER_BLOCK), j % SUPER_BLOCK);
        for (int level = 0; level <= vector_levels(); level++) {
            kernels_at_level(level)->load(blocks, dtype, N, actual);
            assert_same_bits(expected, actual, N, dtype_layout(dtype)->name);
        }
    }
}

static void quantize_equals_ref(void **state) {
    (void)state;
    struct draw draw = {.seed = 12};
    enum { COLS = 7 * QUANT_BLOCK, ROWS = 40 };
    for (enum flavour flavour = 0; flavour < FLAVOUR_COUNT; flavour++) {
        float *x = must_have(ROWS * COLS * sizeof *x);
        draw_floats(&draw, flavour, ROWS * COLS, x);
        for (int i = 0; i < 3 * QUANT_BLOCK; i++) /* zeros, and too small to be told from them */
            x[i] = i < QUANT_BLOCK ? 0 : i < 2 * QUANT_BLOCK ? 0x1p-101f : 0x1p-149f;
        struct q8_rows expected = new_q8_rows(ROWS, COLS), actual = new_q8_rows(ROWS, COLS);
        for (int64_t row = 0; row < ROWS; row++)
            kernels_at_level(0)->quantize(x + row * COLS, row, &expected);
        for (int level = 1; level <= vector_levels(); level++) {
            for (int64_t row = 0; row < ROWS; row++)
                kernels_at_level(level)->quantize(x + row * COLS, row, &actual);
            assert_memory_equal(expected.values, actual.values, ROWS * COLS);
            assert_memory_equal(expected.minus_sums, actual.minus_sums,
                                ROWS * COLS / QUANT_BLOCK * sizeof(int32_t));
            assert_memory_equal(expected.minus_half_sums, actual.minus_half_sums,
                                ROWS * COLS / QUANT_BLOCK * sizeof(int32_t));
            assert_same_bits(expected.scales, actual.scales, ROWS * COLS / QUANT_BLOCK, "scales");
        }
        free_q8_rows(&expected);
        free_q8_rows(&actual);
        free(x);
    }
}

static void quantize_is_within_half_a_step(void **state) {
    (void)state;
    struct draw draw = {.seed = 13};
    float x[QUANT_BLOCK];
    struct q8_rows row = new_q8_rows(1, QUANT_BLOCK);
    for (int i = 0; i < 1000; i++) {
        draw_floats(&draw, FLAVOUR_PLAIN, QUANT_BLOCK, x);
        kernels_at_level(0)->quantize(x, 0, &row);
        int32_t sum = 0, half_sum = 0;
        for (int j = 0; j < QUANT_BLOCK; j++) {
            assert_true(fabs((double)row.scales[0] * row.values[j] - (double)x[j]) <=
                        0.50001 * (double)row.scales[0]);
            sum += row.values[j];
            if (j < QUANT_BLOCK / 2) half_sum += row.values[j];
        }
        assert_int_equal(row.minus_sums[0], -sum);
        assert_int_equal(row.minus_half_sums[0], -half_sum);
    }
    x[5] = NAN;
    kernels_at_level(0)->quantize(x, 0, &row);
    assert_true(isnan(row.scales[0]));
    x[5] = -INFINITY;
    kernels_at_level(0)->quantize(x, 0, &row);
    assert_true(isnan(row.scales[0]));
    free_q8_rows(&row);
}

static void activations_round_to_even(void **state) {
    (void)state;
    float x[QUANT_BLOCK];
    for (int i = 0; i < QUANT_BLOCK; i++)
        x[i] = (float)i - 15.5f;
    x[31] = 127; /* so that the scale is 1 */
    for (int level = 0; level <= vector_levels(); level++) {
        struct q8_rows row = new_q8_rows(1, QUANT_BLOCK);
        kernels_at_level(level)->quantize(x, 0, &row);
        assert_true(row.scales[0] == 1);
        for (int i = 0; i < 31; i++) /* -15.5 -> -16, -14.5 -> -14, … */
            assert_int_equal(row.values[i], 2 * ((i - 16 + (i & 1)) / 2));
        free_q8_rows(&row);
    }
}

enum { ROWS_MAX = 70, TOKENS_MAX = 11 };

static void draw_product_case(struct draw *draw, enum dtype dtype, enum flavour flavour,
                              struct product_case *c) {
    const int64_t rows = draw_between(draw, 1, ROWS_MAX), n_tokens = draw_between(draw, 1, TOKENS_MAX);
    *c = case_create(draw, dtype, flavour, rows, draw_first_col(draw, dtype),
                     QUANT_BLOCK * draw_between(draw, 1, 20), n_tokens);
}

/* Rows in two parts, cut between panels, tokens in two parts. */
static void multiply_in_parts(const struct kernels *kernels, const struct product_case *c, int64_t row_cut,
                              int64_t token_cut, float *y) {
    const int64_t rows[] = {0, row_cut, c->w.rows}, tokens[] = {0, token_cut, c->n_tokens};
    const int64_t n_blocks = c->x.cols / QUANT_BLOCK;
    for (int r = 0; r < 2; r++)
        for (int t = 0; t < 2; t++) {
            const struct q8_rows x = {
                c->x.cols, c->x.values + tokens[t] * c->x.cols, c->x.scales + tokens[t] * n_blocks,
                c->x.minus_sums + tokens[t] * n_blocks, c->x.minus_half_sums + tokens[t] * n_blocks};
            if (rows[r] < rows[r + 1] && tokens[t] < tokens[t + 1])
                kernels->matmul_quantized(&c->w, rows[r], rows[r + 1], &x, tokens[t + 1] - tokens[t],
                                          y + tokens[t] * c->w.rows, c->w.rows);
        }
}

static void products_equal_ref(void **state) {
    (void)state;
    struct draw draw = {.seed = 14};
    for (int i = 0; i < 300; i++) {
        struct product_case c;
        draw_product_case(&draw, packed_types[i % N_PACKED_TYPES], (enum flavour)(i % FLAVOUR_COUNT), &c);
        const size_t n = (size_t)(c.n_tokens * c.w.rows);
        float *expected = must_have(n * sizeof *expected), *y = must_have(n * sizeof *y);
        multiply_in_parts(kernels_at_level(0), &c, c.w.rows, c.n_tokens, expected);
        for (int level = 0; level <= vector_levels(); level++) {
            memset(y, 0x55, n * sizeof *y);
            const int64_t panel = draw_between(&draw, 0, packed_panels(c.w.rows));
            const int64_t row = panel * PACKED_ROWS < c.w.rows ? panel * PACKED_ROWS : c.w.rows;
            multiply_in_parts(kernels_at_level(level), &c, row, draw_between(&draw, 0, c.n_tokens), y);
            assert_same_bits(expected, y, (int64_t)n, kernels_at_level(level)->name);
        }
        free(expected);
        free(y);
        case_free(&c);
    }
}

static void ref_is_the_product(void **state) {
    (void)state;
    struct draw draw = {.seed = 15};
    for (int i = 0; i < 40; i++) {
        struct product_case c;
        draw_product_case(&draw, packed_types[i % N_PACKED_TYPES], FLAVOUR_PLAIN, &c);
        float *y = must_have((size_t)(c.n_tokens * c.w.rows) * sizeof *y);
        multiply_in_parts(kernels_at_level(0), &c, c.w.rows, c.n_tokens, y);
        for (int64_t token = 0; token < c.n_tokens; token++)
            for (int64_t row = 0; row < c.w.rows; row++) {
                double sum = 0, size = 0;
                for (int64_t col = 0; col < c.w.cols; col++) {
                    const double x = (double)c.x.scales[(token * c.x.cols + col) / QUANT_BLOCK] *
                                     c.x.values[token * c.x.cols + col];
                    const double scaled = (double)packed_scale(&c.w, row, col) * packed_value(&c.w, row, col);
                    const double min = (double)packed_min(&c.w, row, col);
                    sum += (scaled - min) * x;
                    size += (fabs(scaled) + fabs(min)) * fabs(x);
                }
                const double steps = 2 * (double)(c.w.cols / QUANT_BLOCK);
                assert_true(fabs(sum - (double)y[token * c.w.rows + row]) <= (steps + 2) * 0x1p-24 * size);
            }
        free(y);
        case_free(&c);
    }
}

struct exact_sums {
    int64_t sums[TOKENS_MAX][ROWS_MAX], bad[TOKENS_MAX];
};

/* A rank's columns [begin, end) of the case, with matrices of its own. */
static void multiply_columns(const struct kernels *kernels, const struct product_case *c, int64_t begin,
                             int64_t end, int64_t block, const float *scale, struct exact_sums *out) {
    if (begin == end) return;
    const int64_t unit = block_of(c->w.dtype), first = c->w.first_col + begin,
                  held_begin = first / unit * unit;
    const struct matrix shape = {c->w.dtype, c->w.rows, end - begin, NULL, first - held_begin};
    const size_t row_bytes = dtype_bytes(c->w.dtype, matrix_held_cols(&c->w)),
                 part_bytes = dtype_bytes(c->w.dtype, matrix_held_cols(&shape));
    uint8_t *blocks = must_have((size_t)c->w.rows * part_bytes);
    for (int64_t row = 0; row < c->w.rows; row++)
        memcpy(blocks + (size_t)row * part_bytes,
               c->blocks + (size_t)row * row_bytes + dtype_bytes(c->w.dtype, held_begin), part_bytes);
    struct matrix w = pack(c->w.dtype, blocks, c->w.rows, shape.first_col, shape.cols);
    struct q8_rows x = new_q8_rows(c->n_tokens, end - begin);
    for (int64_t token = 0; token < c->n_tokens; token++)
        kernels->quantize(c->x_floats + token * c->w.cols + begin, token, &x);
    kernels->matmul_quantized_exact(&w, 0, w.rows, block, &x, scale, c->n_tokens, out->sums[0], ROWS_MAX,
                                    out->bad);
    free_q8_rows(&x);
    free((void *)(uintptr_t)w.data);
    free(blocks);
}

static void exact_sums_do_not_depend_on_sets_or_ranks(void **state) {
    (void)state;
    struct draw draw = {.seed = 16};
    struct exact_sums *expected = must_have(sizeof *expected), *actual = must_have(sizeof *actual);
    for (int i = 0; i < 200; i++) {
        struct product_case c;
        draw_product_case(&draw, packed_types[i % N_PACKED_TYPES], (enum flavour)(i % FLAVOUR_COUNT), &c);
        float scale[TOKENS_MAX];
        draw_floats(&draw, FLAVOUR_PLAIN, TOKENS_MAX, scale);
        const float *scale_or_null = i % 3 ? scale : NULL;
        const int64_t block = QUANT_BLOCK * draw_between(&draw, 1, 4);
        memset(expected, 0, sizeof *expected);
        multiply_columns(kernels_at_level(0), &c, 0, c.w.cols, block, scale_or_null, expected);
        for (int level = 0; level <= vector_levels(); level++) {
            const int64_t cut = block * draw_between(&draw, 0, (c.w.cols - 1) / block);
            memset(actual, 0, sizeof *actual);
            multiply_columns(kernels_at_level(level), &c, 0, cut, block, scale_or_null, actual);
            multiply_columns(kernels_at_level(level), &c, cut, c.w.cols, block, scale_or_null, actual);
            assert_memory_equal(expected, actual, sizeof *expected);
        }
        case_free(&c);
    }
    free(expected);
    free(actual);
}

static void weights_are_quantised_to_the_nearest(void **state) {
    (void)state;
    struct draw draw = {.seed = 17};
    float x[QUANT_BLOCK], loaded[QUANT_BLOCK];
    uint8_t block[34];
    for (int i = 0; i < 1000; i++) {
        const enum dtype dtype = quantized_to[i % N_QUANTIZED_TO];
        draw_floats(&draw, FLAVOUR_PLAIN, QUANT_BLOCK, x);
        quantize_weights(x, QUANT_BLOCK, dtype, block);
        kernels_at_level(0)->load(block, dtype, QUANT_BLOCK, loaded);
        float max = 0;
        for (int j = 0; j < QUANT_BLOCK; j++)
            max = fmaxf(max, fabsf(x[j]));
        /* half a step; with 4 bits a whole one at the end without a level; and the scale's rounding */
        const float step = dtype == DTYPE_Q8_0 ? max / 127 * 0.6f : max / 8 * 1.01f;
        for (int j = 0; j < QUANT_BLOCK; j++)
            assert_true(fabsf(loaded[j] - x[j]) <= step);
    }
}

static void hopeless_weights_become_nan(void **state) {
    (void)state;
    const float hopeless[] = {NAN, INFINITY, -INFINITY, 3e38f};
    uint8_t block[34];
    float loaded[QUANT_BLOCK];
    for (int i = 0; i < N_QUANTIZED_TO; i++)
        for (size_t j = 0; j < sizeof hopeless / sizeof *hopeless; j++) {
            float x[QUANT_BLOCK] = {1, hopeless[j], 2};
            quantize_weights(x, QUANT_BLOCK, quantized_to[i], block);
            kernels_at_level(0)->load(block, quantized_to[i], QUANT_BLOCK, loaded);
            assert_true(isnan(loaded[1]));
        }
    const float tiny[QUANT_BLOCK] = {0x1p-140f, -0x1p-149f};
    for (int i = 0; i < N_QUANTIZED_TO; i++) {
        quantize_weights(tiny, QUANT_BLOCK, quantized_to[i], block);
        kernels_at_level(0)->load(block, quantized_to[i], QUANT_BLOCK, loaded);
        for (int j = 0; j < QUANT_BLOCK; j++)
            assert_true(loaded[j] == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packing_keeps_every_weight),
        cmocka_unit_test(super_blocks_are_loaded_as_ggml_defines_them),
        cmocka_unit_test(quantize_equals_ref),
        cmocka_unit_test(quantize_is_within_half_a_step),
        cmocka_unit_test(activations_round_to_even),
        cmocka_unit_test(products_equal_ref),
        cmocka_unit_test(ref_is_the_product),
        cmocka_unit_test(exact_sums_do_not_depend_on_sets_or_ranks),
        cmocka_unit_test(weights_are_quantised_to_the_nearest),
        cmocka_unit_test(hopeless_weights_become_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
