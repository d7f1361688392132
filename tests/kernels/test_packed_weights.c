/* Packed weights: packing loses nothing, and loading and quantising give what ggml's blocks say. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "kernels/packed_impl.h"
#include "tests/kernels/packed_cases.h"

static const enum dtype quantized_to[] = {DTYPE_Q8_0, DTYPE_Q4_0}; /* while loading */
enum { N_QUANTIZED_TO = sizeof quantized_to / sizeof *quantized_to };

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
            struct product_case c = product_create(&draw, packed_types[i], FLAVOUR_SPECIAL, rows,
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
            product_free(&c);
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
        cmocka_unit_test(weights_are_quantised_to_the_nearest),
        cmocka_unit_test(hopeless_weights_become_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
