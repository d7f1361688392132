/* matmul: every set has ref's bits; ref is near the true product; nothing depends on how rows and tokens
 * are split. */
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

struct matmul_case {
    struct matrix w;
    uint8_t *bytes; /* w.data is somewhere inside, unaligned */
    float *x;       /* [n_tokens, x_stride] */
    int64_t x_stride, n_tokens, y_stride;
};

static struct matmul_case case_create(struct draw *draw, enum dtype dtype, enum flavour flavour, int64_t rows,
                                      int64_t cols, int64_t n_tokens) {
    struct matmul_case c = {.n_tokens = n_tokens, .x_stride = cols + draw_between(draw, 0, 5)};
    const int64_t misaligned = draw_between(draw, 0, 3);
    c.bytes = must_have(dtype_bytes(dtype, rows * cols) + 4);
    draw_weights(draw, flavour, dtype, rows * cols, c.bytes + misaligned);
    c.w = (struct matrix){dtype, rows, cols, c.bytes + misaligned, 0};
    c.x = must_have((size_t)(n_tokens * c.x_stride) * sizeof(float));
    draw_floats(draw, flavour, n_tokens * c.x_stride, c.x);
    c.y_stride = rows + draw_between(draw, 0, 3);
    return c;
}

static void case_free(struct matmul_case *c) {
    free(c->bytes);
    free(c->x);
}

/* y as it is where nothing was computed */
static float *new_y(const struct matmul_case *c) {
    float *y = must_have((size_t)(c->n_tokens * c->y_stride) * sizeof(float));
    for (int64_t i = 0; i < c->n_tokens * c->y_stride; i++)
        y[i] = 12345;
    return y;
}

static int64_t draw_cols(struct draw *draw, enum dtype dtype, int64_t most) {
    const int64_t block = dtype_layout(dtype)->block_elements;
    return block * draw_between(draw, 1, most / block);
}

static void compare_sets(const struct matmul_case *c, int64_t row_begin, int64_t row_end) {
    float *expected = new_y(c);
    kernels_at_level(0)->matmul(&c->w, row_begin, row_end, c->x, c->x_stride, c->n_tokens, expected,
                                c->y_stride);
    for (int level = 1; level <= vector_levels(); level++) {
        const struct kernels *kernels = kernels_at_level(level);
        char what[128];
        snprintf(what, sizeof what, "%s matmul %s [%lld, %lld] x %lld tokens", kernels->name,
                 dtype_layout(c->w.dtype)->name, (long long)c->w.rows, (long long)c->w.cols,
                 (long long)c->n_tokens);
        float *y = new_y(c);
        kernels->matmul(&c->w, row_begin, row_end, c->x, c->x_stride, c->n_tokens, y, c->y_stride);
        assert_same_bits(expected, y, c->n_tokens * c->y_stride, what);
        free(y);
    }
    free(expected);
}

static void sets_equal_ref(void **state) {
    (void)state;
    struct draw draw = {.seed = 1};
    for (enum dtype dtype = 0; dtype < FLOAT_DTYPES; dtype++)
        for (enum flavour flavour = 0; flavour < FLAVOUR_COUNT; flavour++)
            for (int i = 0; i < 12; i++) {
                const int64_t rows = draw_between(&draw, 1, 21), n_tokens = draw_between(&draw, 1, 7);
                struct matmul_case c = case_create(&draw, dtype, flavour, rows,
                                                   draw_cols(&draw, dtype, i % 2 ? 96 : 300), n_tokens);
                const int64_t begin = draw_between(&draw, 0, rows), end = draw_between(&draw, begin, rows);
                compare_sets(&c, begin, end);
                compare_sets(&c, 0, rows);
                case_free(&c);
            }
}

/* Rows longer than the columns, and batches larger than the tokens, that the vector body takes at once; the
 * last has more activations than it keeps in the cache. */
static void long_rows_and_batches_equal_ref(void **state) {
    (void)state;
    struct draw draw = {.seed = 2};
    for (enum dtype dtype = 0; dtype < FLOAT_DTYPES; dtype++) {
        const int64_t block = dtype_layout(dtype)->block_elements;
        const int64_t shapes[][2] = {{512, 3},  {512 + block, 5}, {1024, 1}, {1536 + 3 * block, 2},
                                     {64, 131}, {40000, 30}};
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            struct matmul_case c = case_create(&draw, dtype, i % 2 ? FLAVOUR_WIDE : FLAVOUR_PLAIN, 11,
                                               shapes[i][0], shapes[i][1]);
            compare_sets(&c, 0, c.w.rows);
            case_free(&c);
        }
    }
}

static void rows_and_tokens_may_be_split(void **state) {
    (void)state;
    struct draw draw = {.seed = 3};
    for (enum dtype dtype = 0; dtype < FLOAT_DTYPES; dtype++) {
        struct matmul_case c = case_create(&draw, dtype, FLAVOUR_PLAIN, 23, 544, 9);
        for (int level = 0; level <= vector_levels(); level++) {
            const struct kernels *kernels = kernels_at_level(level);
            float *whole = new_y(&c), *parts = new_y(&c);
            kernels->matmul(&c.w, 0, c.w.rows, c.x, c.x_stride, c.n_tokens, whole, c.y_stride);
            for (int64_t row = 0, next; row < c.w.rows; row = next) {
                next = row + draw_between(&draw, 1, c.w.rows - row);
                for (int64_t token = 0, end; token < c.n_tokens; token = end) {
                    end = token + draw_between(&draw, 1, c.n_tokens - token);
                    kernels->matmul(&c.w, row, next, c.x + token * c.x_stride, c.x_stride, end - token,
                                    parts + token * c.y_stride, c.y_stride);
                }
            }
            assert_same_bits(whole, parts, c.n_tokens * c.y_stride, "a product computed in parts");
            free(whole);
            free(parts);
        }
        case_free(&c);
    }
}

/* A chain of n/16 roundings, then a tree of four: docs/numerics.md. */
static void ref_is_within_its_bound(void **state) {
    (void)state;
    struct draw draw = {.seed = 4};
    for (enum dtype dtype = 0; dtype < FLOAT_DTYPES; dtype++) {
        const int64_t cols = draw_cols(&draw, dtype, 2000);
        struct matmul_case c = case_create(&draw, dtype, FLAVOUR_PLAIN, 6, cols, 3);
        float *y = new_y(&c), *row = must_have((size_t)cols * sizeof(float));
        kernels_at_level(0)->matmul(&c.w, 0, c.w.rows, c.x, c.x_stride, c.n_tokens, y, c.y_stride);
        for (int64_t r = 0; r < c.w.rows; r++) {
            kernels_at_level(0)->load((const uint8_t *)c.w.data + (size_t)r * dtype_bytes(dtype, cols), dtype,
                                      cols, row);
            for (int64_t t = 0; t < c.n_tokens; t++) {
                double sum = 0, magnitude = 0;
                for (int64_t i = 0; i < cols; i++) {
                    sum += (double)row[i] * c.x[t * c.x_stride + i];
                    magnitude += fabs((double)row[i] * c.x[t * c.x_stride + i]);
                }
                const double bound = ((double)cols / 16 + 5) * 0x1p-24 * 1.01 * magnitude;
                assert_true(fabs(y[t * c.y_stride + r] - sum) <= bound);
            }
        }
        free(row);
        free(y);
        case_free(&c);
    }
}

/* The definition, spelled out for one row: lanes, then the tree. */
static void the_order_of_summation_is_fixed(void **state) {
    (void)state;
    float w[20], x[20];
    for (int i = 0; i < 20; i++) {
        w[i] = 1;
        x[i] = i == 0 ? 0x1p24f : i == 8 ? 1 : i == 4 ? -0x1p24f : i == 16 ? 1 : 0;
    }
    /* lane 0: 2^24 + 1 -> 2^24; lane 0 + lane 8: 2^24 + 1 -> 2^24; + lane 4: 0. Another order gives 1 or 2.
     */
    const struct matrix matrix = {DTYPE_F32, 1, 20, w, 0};
    for (int level = 0; level <= vector_levels(); level++) {
        float y = 5;
        kernels_at_level(level)->matmul(&matrix, 0, 1, x, 20, 1, &y, 1);
        assert_true(y == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_equal_ref),
        cmocka_unit_test(long_rows_and_batches_equal_ref),
        cmocka_unit_test(rows_and_tokens_may_be_split),
        cmocka_unit_test(ref_is_within_its_bound),
        cmocka_unit_test(the_order_of_summation_is_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
