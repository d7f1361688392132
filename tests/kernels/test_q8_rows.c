/* Activations in 8 bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/kernels/packed_cases.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantize_equals_ref),
        cmocka_unit_test(quantize_is_within_half_a_step),
        cmocka_unit_test(activations_round_to_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
