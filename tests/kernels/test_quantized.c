/* Products of packed weights and activations in 8 bits: every set has ref's bits, ref is the true product of
 * what was quantised, and no result depends on how rows, tokens or columns are split. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/packed_impl.h"
#include "tests/kernels/packed_cases.h"

enum { ROWS_MAX = 70, TOKENS_MAX = 11 };

static void draw_product_case(struct draw *draw, enum dtype dtype, enum flavour flavour,
                              struct product_case *c) {
    const int64_t rows = draw_between(draw, 1, ROWS_MAX), n_tokens = draw_between(draw, 1, TOKENS_MAX);
    *c = product_create(draw, dtype, flavour, rows, draw_first_col(draw, dtype),
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
        product_free(&c);
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
        product_free(&c);
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
    struct matrix w = pack_blocks(c->w.dtype, blocks, c->w.rows, shape.first_col, shape.cols);
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
        product_free(&c);
    }
    free(expected);
    free(actual);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_equal_ref),
        cmocka_unit_test(ref_is_the_product),
        cmocka_unit_test(exact_sums_do_not_depend_on_sets_or_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
