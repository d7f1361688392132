/* The product of bf16 with bf16, where the machine has one: near the true sum, and independent of how rows
 * and tokens are split. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "kernel_cases.h"

struct bf16_case {
    struct matrix w;
    uint16_t *weights, *x; /* [rows, cols], [n_tokens, cols] */
    int64_t n_tokens;
};

static struct bf16_case case_create(struct draw *draw, int64_t rows, int64_t cols, int64_t n_tokens) {
    struct bf16_case c = {.n_tokens = n_tokens};
    c.weights = must_have((size_t)(rows * cols) * sizeof *c.weights);
    c.x = must_have((size_t)(n_tokens * cols) * sizeof *c.x);
    draw_weights(draw, FLAVOUR_PLAIN, DTYPE_BF16, rows * cols, (uint8_t *)c.weights);
    draw_weights(draw, FLAVOUR_PLAIN, DTYPE_BF16, n_tokens * cols, (uint8_t *)c.x);
    c.w = (struct matrix){DTYPE_BF16, rows, cols, c.weights, 0};
    return c;
}

static void case_free(struct bf16_case *c) {
    free(c->weights);
    free(c->x);
}

static float *new_y(const struct bf16_case *c) {
    float *y = must_have((size_t)(c->n_tokens * c->w.rows) * sizeof *y);
    for (int64_t i = 0; i < c->n_tokens * c->w.rows; i++)
        y[i] = 12345;
    return y;
}

static matmul_bf16 *must_be_there(void) {
    matmul_bf16 *product = kernels_matmul_bf16(kernels_best_level());
    if (!product) skip();
    return product;
}

static double value(uint16_t half) {
    float x;
    kernels_at_level(0)->load(&half, DTYPE_BF16, 1, &x);
    return (double)x;
}

/* Two products a step and lane, each rounded, then a tree of four; subnormals may count as zeros. */
static void check_near(const struct bf16_case *c, int64_t row, int64_t token, float y) {
    const int64_t cols = c->w.cols;
    double sum = 0, magnitude = 0;
    for (int64_t i = 0; i < cols; i++) {
        const double product = value(c->weights[row * cols + i]) * value(c->x[token * cols + i]);
        sum += product;
        magnitude += fabs(product);
    }
    const double bound = (double)(cols / 16 + 6) * 0x1p-24 * magnitude + (double)cols * 0x1p-120;
    if (fabs((double)y - sum) > bound)
        fail_msg("row %lld of %lld, token %lld of %lld, %lld columns: %a, not %a", (long long)row,
                 (long long)c->w.rows, (long long)token, (long long)c->n_tokens, (long long)cols, (double)y,
                 sum);
}

static void it_is_near_the_true_sum(void **state) {
    (void)state;
    matmul_bf16 *product = must_be_there();
    struct draw draw = {.seed = 1};
    for (int i = 0; i < 60; i++) {
        struct bf16_case c = case_create(&draw, draw_between(&draw, 1, 37), draw_between(&draw, 1, 200),
                                         draw_between(&draw, 1, 23));
        const int64_t begin = draw_between(&draw, 0, c.w.rows), end = draw_between(&draw, begin, c.w.rows);
        float *y = new_y(&c);
        product(&c.w, begin, end, c.x, c.n_tokens, y, c.w.rows);
        for (int64_t token = 0; token < c.n_tokens; token++)
            for (int64_t row = 0; row < c.w.rows; row++) {
                const float got = y[token * c.w.rows + row];
                if (row < begin || row >= end)
                    assert_true(got == 12345);
                else
                    check_near(&c, row, token, got);
            }
        free(y);
        case_free(&c);
    }
}

/* More tokens, too, than are multiplied at once. */
static void rows_and_tokens_may_be_split(void **state) {
    (void)state;
    matmul_bf16 *product = must_be_there();
    struct draw draw = {.seed = 2};
    const int64_t shapes[][3] = {{23, 544, 19}, {5, 100001, 29}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct bf16_case c = case_create(&draw, shapes[i][0], shapes[i][1], shapes[i][2]);
        float *whole = new_y(&c), *parts = new_y(&c);
        product(&c.w, 0, c.w.rows, c.x, c.n_tokens, whole, c.w.rows);
        for (int64_t row = 0, next; row < c.w.rows; row = next) {
            next = row + draw_between(&draw, 1, c.w.rows - row);
            for (int64_t token = 0, end; token < c.n_tokens; token = end) {
                end = token + draw_between(&draw, 1, c.n_tokens - token);
                product(&c.w, row, next, c.x + token * c.w.cols, end - token, parts + token * c.w.rows,
                        c.w.rows);
            }
        }
        assert_same_bits(whole, parts, c.n_tokens * c.w.rows, "a product computed in parts");
        check_near(&c, c.w.rows - 1, c.n_tokens - 1, whole[c.n_tokens * c.w.rows - 1]);
        free(whole);
        free(parts);
        case_free(&c);
    }
}

static void what_is_not_a_number_stays_none(void **state) {
    (void)state;
    matmul_bf16 *product = must_be_there();
    struct draw draw = {.seed = 3};
    struct bf16_case c = case_create(&draw, 4, 70, 6);
    const float bad[] = {NAN, INFINITY};
    for (size_t i = 0; i < 2; i++) {
        kernels_at_level(0)->store(&bad[i], 1, DTYPE_BF16, &c.x[2 * c.w.cols + 69]);
        float *y = new_y(&c);
        product(&c.w, 0, 4, c.x, c.n_tokens, y, 4);
        for (int64_t j = 0; j < c.n_tokens * 4; j++)
            assert_true(isfinite(y[j]) == (j / 4 != 2));
        free(y);
    }
    case_free(&c);
}

/* Ranks agree on the lowest level: what one has and another has not is used by none. */
static void lower_levels_have_none(void **state) {
    (void)state;
    for (int level = 0; level < kernels_best_level(); level++)
        assert_null(kernels_matmul_bf16(level));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_near_the_true_sum),
        cmocka_unit_test(rows_and_tokens_may_be_split),
        cmocka_unit_test(what_is_not_a_number_stays_none),
        cmocka_unit_test(lower_levels_have_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
